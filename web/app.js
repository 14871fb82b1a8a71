// The page: puts its parts together and wires them to the window.

import { Api } from "./api.js";
import { Chat } from "./chat.js";
import { Composer } from "./composer.js";
import { toJson, toMarkdown } from "./conversation.js";
import {
  ask,
  ConversationDialog,
  drawShortcuts,
  openDialog,
  SettingsDialog,
  wireDialogs,
} from "./dialogs.js";
import { el, icon, mark, saveFile } from "./dom.js";
import { applyTexts, setLanguage, t } from "./i18n.js";
import { MessageList } from "./message_list.js";
import { bytes, legend, shareBar, short, showModel } from "./model_view.js";
import { Settings } from "./settings.js";
import { Sidebar } from "./sidebar.js";
import { Store } from "./store.js";
import { TokenTip } from "./tokens.js";

const RETRY_MS = [500, 1000, 2000, 4000, 8000];
const byId = (id) => document.getElementById(id);

class App {
  props = null;
  notices = new Map(); // What is to be said at the top, by kind.

  constructor() {
    this.settings = new Settings();
    this.store = new Store();
    this.api = new Api(() => this.settings.get("api_key"));
    const { settings, store, api } = this;
    this.chat = new Chat({ api, store, settings, props: () => this.props });
    setLanguage(settings.get("language"));
    for (const node of document.querySelectorAll("[data-icon]")) node.prepend(icon(node.dataset.icon));
    byId("brand").prepend(mark());
    applyTexts(document);
    drawShortcuts();
    wireDialogs();
    this.tip = new TokenTip();
    this.settingsDialog = new SettingsDialog(settings, (name) => this.#usual(name));
    this.conversationDialog = new ConversationDialog({
      rename: (id, title) => this.chat.rename(id, title),
      markdown: (id) =>
        this.#export(id, "md", "text/markdown", (one) =>
          toMarkdown(one, { system: t("systemPrompt"), user: t("you"), assistant: t("model") }),
        ),
      json: (id) => this.#export(id, "json", "application/json", toJson),
      remove: (id) => this.#removeConversation(id),
    });
    this.sidebar = new Sidebar({
      chat: this.chat,
      store,
      more: (id, title) => this.conversationDialog.open(id, title),
    });
    this.messages = new MessageList({
      chat: this.chat,
      settings,
      tip: this.tip,
      openSettings: () => this.settingsDialog.open(),
      confirmRemove: (message) => this.#removeMessage(message),
    });
    this.composer = new Composer({
      chat: this.chat,
      props: () => this.props,
      editLast: () => this.messages.editLast(),
    });
    this.#wire();
    this.#drawAll();
    this.connect();
    this.composer.focus();
  }

  #wire() {
    const { chat } = this;
    byId("new-conversation").addEventListener("click", () => this.#fresh());
    byId("open-settings").addEventListener("click", () => this.settingsDialog.open());
    byId("open-shortcuts").addEventListener("click", () => openDialog("shortcuts-dialog"));
    byId("open-model").addEventListener("click", () => this.#openModel());
    byId("system-text").addEventListener("change", (event) => chat.setSystem(event.target.value));
    document.addEventListener("keydown", (event) => this.#key(event));
    window.addEventListener("pagehide", () => chat.saveNow());
    chat.addEventListener("open", () => this.#drawConversation());
    chat.addEventListener("change", () => {
      this.#drawWelcome();
      this.sidebar.draw();
    });
    chat.addEventListener("list", () => this.sidebar.draw());
    chat.addEventListener("full", () => this.#say("full", t("storageFull")));
    this.settings.addEventListener("change", () => this.#settingsChanged());
    this.shown = { language: this.settings.get("language"), key: this.settings.get("api_key") };
    this.#applyTheme();
  }

  // Alt with a key: one without would get in the way of typing and of screen readers.
  #key(event) {
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Escape") {
      if (this.tip.hide() || document.querySelector("dialog[open]")) return;
      if (this.chat.run) this.composer.stop();
      return;
    }
    if (!event.altKey || event.ctrlKey || event.metaKey || document.querySelector("dialog[open]")) return;
    const actions = {
      KeyN: () => this.#fresh(),
      KeyC: () => this.sidebar.open(),
      KeyM: () => this.#openModel(),
      Comma: () => this.settingsDialog.open(),
      Slash: () => openDialog("shortcuts-dialog"),
    };
    if (!actions[event.code]) return;
    event.preventDefault();
    actions[event.code]();
  }

  #fresh() {
    this.chat.fresh();
    this.sidebar.close();
    this.composer.focus();
  }

  #openModel() {
    if (!this.props) return;
    showModel(byId("model-body"), this.props);
    openDialog("model-dialog");
  }

  #usual(name) {
    if (name === "seed") return t("random");
    if (name === "max_tokens") return String(this.chat.maxTokens());
    const value = this.props?.defaults?.[name];
    return value === undefined ? null : String(value);
  }

  #export(id, ending, type, write) {
    const conversation = this.chat.get(id);
    if (!conversation) return;
    const name = conversation.title
      .replace(/[^\p{L}\p{N}]+/gu, "-")
      .replace(/^-+|-+$/g, "")
      .slice(0, 60);
    saveFile(`${name || "conversation"}.${ending}`, type, write(conversation));
  }

  async #removeConversation(id) {
    const title = this.chat.get(id)?.title || t("untitled");
    if (await ask(t("askDeleteConversation", { title }), t("delete"))) this.chat.removeConversation(id);
    this.composer.focus();
  }

  async #removeMessage(message) {
    if (await ask(t("askDeleteMessage"), t("delete"))) this.chat.remove(message);
    this.composer.focus();
  }

  #settingsChanged() {
    this.#applyTheme();
    const { settings, shown } = this;
    if (shown.language !== settings.get("language")) {
      setLanguage(settings.get("language"));
      applyTexts(document);
      drawShortcuts();
      this.settingsDialog.drawFields();
      this.#drawAll();
    } else this.messages.redraw();
    if (shown.key !== settings.get("api_key")) this.connect();
    this.shown = { language: settings.get("language"), key: settings.get("api_key") };
  }

  #applyTheme() {
    const theme = this.settings.get("theme");
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  }

  // Asks for /props until the server has answered; says meanwhile why not.
  async connect() {
    const mine = Symbol("attempt");
    this.attempt = mine;
    for (let failures = 0; this.attempt === mine; ++failures) {
      try {
        this.props = await this.api.props();
        if (this.attempt !== mine) return;
        this.#say("connection", null);
        this.#drawAll();
        return;
      } catch (error) {
        if (this.attempt !== mine) return;
        if (error.status === 401) {
          this.#say("connection", t("keyWanted"));
          return; // Another key tries again.
        }
        this.#say(
          "connection",
          error.status === 503 ? t("loading") : error.kind === "http" ? error.message : t("unreachable"),
        );
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]));
    }
  }

  #say(kind, text) {
    if (text === null) this.notices.delete(kind);
    else this.notices.set(kind, text);
    const box = byId("notice");
    box.replaceChildren(...[...this.notices.values()].map((one) => el("p", {}, one)));
    box.hidden = this.notices.size === 0;
  }

  #drawAll() {
    this.#say("template", this.props && !this.props.chat ? t("noTemplate") : null);
    const id = this.props?.model?.id ?? "tern";
    byId("model-name").textContent = id;
    byId("open-model").setAttribute("aria-label", t("aboutModel", { id }));
    byId("open-model").title = t("aboutModel", { id });
    this.#drawConversation();
  }

  #drawConversation() {
    byId("system-text").value = this.chat.conversation.system;
    byId("system").open = this.chat.conversation.system !== "" && this.chat.path.length === 0;
    this.messages.draw();
    this.#drawWelcome();
    this.sidebar.draw();
    this.composer.update();
  }

  #drawWelcome() {
    const { conversation } = this.chat;
    document.title = conversation.title ? `${conversation.title} – tern` : "tern";
    const box = byId("welcome");
    box.hidden = conversation.messages.length > 0;
    byId("system").classList.toggle("given", conversation.system.trim() !== "");
    if (box.hidden) return;
    const model = this.props?.model;
    const facts = model
      ? [
          el("p", { class: "welcome-model" }, model.id),
          el(
            "p",
            { class: "welcome-facts" },
            t("welcomeFacts", {
              parameters: short(model.parameters),
              layers: model.layers,
              size: bytes(model.bytes),
            }),
          ),
          model.ternary
            ? el("div", { class: "welcome-shares" }, shareBar(model.ternary, 4), legend(model.ternary))
            : null,
        ]
      : [];
    box.replaceChildren(
      ...[mark(), ...facts, el("p", { class: "welcome-words" }, t("welcome"))].filter(Boolean),
    );
  }
}

new App();
