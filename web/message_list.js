// The messages of the open conversation: drawn, kept up to date while an answer grows, read out once
// it has ended, and scrolled.

import { t } from "./i18n.js";
import { errorWords, MessageView } from "./message_view.js";

const NEAR_PX = 80; // So close to the end, the end is followed.

export class MessageList {
  constructor(actions) {
    this.actions = actions;
    this.root = document.getElementById("messages");
    this.scroller = document.getElementById("main");
    this.jump = document.getElementById("jump");
    this.announcer = document.getElementById("announce");
    this.views = new Map(); // Message id to its view.
    this.follow = true;
    this.grown = null;
    const { chat } = actions;
    chat.addEventListener("change", () => this.draw());
    chat.addEventListener("progress", ({ detail }) => this.#grow(detail));
    chat.addEventListener("finish", ({ detail }) => this.#announce(detail));
    this.scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.jump.addEventListener("click", () => {
      this.follow = true;
      this.#toEnd();
    });
    new ResizeObserver(() => this.follow && this.#toEnd()).observe(this.scroller);
  }

  // Shows what the conversation says now; a message that stays keeps its nodes, and so the focus.
  draw() {
    const { chat } = this.actions;
    const opened = this.conversation !== chat.conversation.id;
    if (opened) this.views.clear();
    this.conversation = chat.conversation.id;
    const focused = this.root.contains(document.activeElement)
      ? document.activeElement.closest("li")?.dataset.id
      : null;
    const shown = new Map();
    for (const message of chat.path) {
      let view = this.views.get(message.id);
      if (view) {
        view.message = message;
        view.update();
      } else view = new MessageView(message, this.actions);
      shown.set(message.id, view);
    }
    const added = [...shown.keys()].some((id) => !this.views.has(id));
    this.views = shown;
    this.#place([...shown.values()].map((view) => view.root));
    if (added) this.follow = true;
    if (this.follow) this.#toEnd();
    if (focused && !document.activeElement?.closest("#messages, dialog"))
      document.getElementById("input").focus();
  }

  // Makes `nodes` the children with as few moves as may be: a moved node loses the focus.
  #place(nodes) {
    for (const child of [...this.root.children]) if (!nodes.includes(child)) child.remove();
    nodes.forEach((node, index) => {
      if (this.root.children[index] !== node) this.root.insertBefore(node, this.root.children[index] ?? null);
    });
  }

  // Everything anew, as after a change of settings or language.
  redraw() {
    for (const view of this.views.values()) view.update({ fresh: true });
  }

  editLast() {
    const users = [...this.views.values()].filter((view) => view.message.role === "user");
    if (users.length === 0 || this.actions.chat.run) return false;
    users.at(-1).edit();
    return true;
  }

  // At most once per picture.
  #grow(message) {
    if (this.grown === null)
      requestAnimationFrame(() => {
        const view = this.views.get(this.grown?.id);
        this.grown = null;
        view?.showText();
        if (this.follow) this.#toEnd();
      });
    this.grown = message;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    this.follow = scrollHeight - scrollTop - clientHeight < NEAR_PX;
    this.jump.hidden = this.follow;
  }

  #toEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  // The whole answer at once: a screen reader that is given tokens stammers.
  #announce(message) {
    if (!this.views.has(message.id)) return;
    const failed = message.state === "error" || message.state === "lost";
    this.announcer.textContent = failed
      ? t("answerFailed", { reason: errorWords(message.state, message.error)[0] })
      : message.state === "stopped"
        ? t("answerStopped")
        : t("finished", { text: message.text });
  }
}
