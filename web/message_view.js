// Shows one message: its text, what can be done with it, and how its answer went.

import { copyButton, el, iconButton } from "./dom.js";
import { language, t } from "./i18n.js";
import { renderMarkdown } from "./markdown.js";
import * as tree from "./conversation.js";

// Japanese has its own forms of many characters, and its own rules for line breaks.
const languageOf = (text) => (/[\u3041-\u30ff]/.test(text) ? "ja" : null);

const number = (value, digits = 0) =>
  new Intl.NumberFormat(language(), { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(
    value,
  );

export class MessageView {
  // `actions`: {chat, settings, tip, confirmRemove, openSettings}.
  constructor(message, actions) {
    this.message = message;
    this.actions = actions;
    this.body = el("div", { class: "body" });
    this.foot = el("div", { class: "foot" });
    const name = t(message.role === "user" ? "you" : "model");
    this.root = el(
      "li",
      { class: `message ${message.role}`, "data-id": message.id },
      el("article", { "aria-label": name }, el("h2", { class: "off-screen" }, name), this.body, this.foot),
    );
    if (message.role === "assistant") actions.tip.watch(this.body, () => message.track);
    this.update();
  }

  // Everything anew but what of the text stands already.
  update({ fresh = false } = {}) {
    if (this.editing) return;
    this.showText({ fresh });
    this.#showFoot();
  }

  showText({ fresh = false } = {}) {
    const { message } = this;
    const streaming = message.state === "streaming";
    this.root.classList.toggle("streaming", streaming);
    this.body.setAttribute("aria-busy", String(streaming));
    const lang = languageOf(message.text.slice(0, 400));
    if (lang) this.body.lang = lang;
    else this.body.removeAttribute("lang");
    if (message.role === "user") {
      this.body.textContent = message.text;
      return;
    }
    const tracked = this.actions.settings.get("probabilities") && message.track?.entries.length > 0;
    this.body.classList.toggle("coloured", Boolean(tracked) && this.actions.settings.get("colour"));
    renderMarkdown(this.body, message.text, {
      fresh,
      leaf: tracked ? (text, place) => message.track.leaf(text, place) : undefined,
    });
  }

  #showFoot() {
    const { message } = this;
    const busy = Boolean(this.actions.chat.run);
    this.foot.replaceChildren();
    const error = this.#error();
    if (error) this.foot.append(error);
    if (message.state === "streaming") return;
    const tools = el("div", { class: "tools" }, this.#branches(busy), ...this.#buttons(busy));
    const facts = this.#facts();
    this.foot.append(
      el("div", { class: "tool-row" }, tools, facts ? el("span", { class: "facts" }, facts) : null),
    );
  }

  #buttons(busy) {
    const { message } = this;
    const { chat } = this.actions;
    const off = busy ? { disabled: true } : {};
    const copy = copyButton(t("copyMessage"), t("copied"), () => message.text);
    const remove = iconButton("trash", t("deleteMessage"), () => this.actions.confirmRemove(message), off);
    if (message.role === "user") return [copy, iconButton("edit", t("edit"), () => this.edit(), off), remove];
    const tokens =
      message.track?.entries.length > 0 && this.actions.settings.get("probabilities")
        ? iconButton("tokens", t("walkTokens"), () => this.body.querySelector("[data-token]")?.focus())
        : null;
    return [
      copy,
      iconButton("again", t("regenerate"), () => chat.regenerate(message), {
        ...off,
        "data-action": "regenerate",
      }),
      tokens,
      remove,
    ];
  }

  // Which of several versions this is, and the way to the others.
  #branches(busy) {
    const { chat } = this.actions;
    const all = tree.siblings(chat.conversation, this.message);
    if (all.length < 2) return null;
    const at = all.indexOf(this.message);
    const go = (name, label, to) =>
      iconButton(
        name,
        label,
        () => chat.select(all[to]),
        busy || to < 0 || to >= all.length ? { disabled: true } : {},
      );
    return el(
      "span",
      { class: "branches", role: "group", "aria-label": t("versions") },
      go("left", t("previousVersion"), at - 1),
      el("span", { class: "branch-count" }, `${at + 1} / ${all.length}`),
      go("right", t("nextVersion"), at + 1),
    );
  }

  #facts() {
    const { state, meta, role } = this.message;
    if (role === "user") return null;
    const facts = [];
    if (state === "stopped") facts.push(t("stopped"));
    if (state === "length") facts.push(t("lengthReached"));
    if (meta?.tokens) facts.push(t("tokensCount", { count: number(meta.tokens) }));
    if (meta?.speed) facts.push(t("speed", { speed: number(meta.speed, 1) }));
    return facts.join(" · ");
  }

  #error() {
    const { state, error } = this.message;
    if (state !== "lost" && state !== "error") return null;
    const [heading, advice] = errorWords(state, error);
    const again = el(
      "button",
      { type: "button", class: "button small", onclick: () => this.actions.chat.regenerate(this.message) },
      t("tryAgain"),
    );
    const key =
      error?.status === 401
        ? el(
            "button",
            { type: "button", class: "button small", onclick: this.actions.openSettings },
            t("settings"),
          )
        : null;
    return el(
      "div",
      { class: "error" },
      el("p", { class: "error-head" }, heading),
      error?.sentence ? el("p", { class: "error-sentence", lang: "en" }, error.sentence) : null,
      advice ? el("p", {}, advice) : null,
      el("p", { class: "error-buttons" }, again, key),
    );
  }

  // The text as a field; Esc leaves it as it was.
  edit() {
    const { message } = this;
    this.editing = true;
    const area = el("textarea", { class: "edit", rows: "3", "aria-label": t("editMessage") });
    area.value = message.text;
    const close = () => {
      this.editing = false;
      this.update();
      this.root.querySelector(".tools button")?.focus();
    };
    const send = () => {
      const text = area.value;
      if (text.trim() === "" || this.actions.chat.run) return;
      this.editing = false;
      this.actions.chat.edit(message, text);
    };
    area.addEventListener("keydown", (event) => {
      if (event.isComposing || event.keyCode === 229) return;
      if (event.key === "Escape") {
        event.stopPropagation();
        close();
      } else if (event.key === "Enter" && !event.shiftKey) {
        event.preventDefault();
        send();
      }
    });
    this.body.replaceChildren(area);
    this.foot.replaceChildren(
      el(
        "div",
        { class: "edit-buttons" },
        el("span", { class: "hint" }, t("editHint")),
        el("button", { type: "button", class: "button small", onclick: close }, t("cancel")),
        el("button", { type: "button", class: "button small primary", onclick: send }, t("send")),
      ),
    );
    area.focus();
    area.setSelectionRange(area.value.length, area.value.length);
  }
}

// What went wrong, and what to do about it.
export function errorWords(state, error) {
  if (state === "lost") return [t("errorLost"), t("errorLostAdvice")];
  if (error?.kind === "network") return [t("errorNetwork"), t("errorNetworkAdvice")];
  if (error?.kind === "stream") return [t("errorStream"), null];
  if (error?.code === "context_length_exceeded") return [t("errorContext"), t("errorContextAdvice")];
  const words = {
    401: "errorKey",
    403: "errorForbidden",
    404: "errorNotFound",
    413: "errorTooLarge",
    429: "errorBusy",
    503: "errorUnavailable",
  };
  const key = words[error?.status] ?? (error?.status >= 500 ? "errorServer" : "errorRequest");
  return [t(key), error?.status === 401 ? t("errorKeyAdvice") : null];
}
