// Where a message is written and sent, and the figures below it: speed and use of the context.

import { speedOf } from "./chat.js";
import { language, t } from "./i18n.js";

const byId = (id) => document.getElementById(id);

export class Composer {
  // `actions`: chat, props(), editLast().
  constructor(actions) {
    this.actions = actions;
    this.input = byId("input");
    this.drafts = new Map(); // Conversation id to what was begun there.
    const { chat } = actions;
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    byId("stop").addEventListener("click", () => this.stop());
    this.input.addEventListener("input", () => this.#fit());
    this.input.addEventListener("keydown", (event) => this.#key(event));
    chat.addEventListener("open", () => this.#opened());
    chat.addEventListener("change", () => this.update());
    chat.addEventListener("progress", () => this.#figures());
    chat.addEventListener("finish", () => this.update());
    this.shown = chat.conversation.id;
  }

  focus() {
    this.input.focus();
  }

  stop() {
    this.actions.chat.stop();
    this.input.focus();
  }

  #key(event) {
    // Enter that ends an input method's composition chooses a word; it does not send. Safari reports it
    // after the composition has ended, with this key code.
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Enter" && !event.shiftKey && !event.ctrlKey && !event.altKey && !event.metaKey) {
      event.preventDefault();
      this.#send();
    } else if (event.key === "ArrowUp" && this.input.value === "" && this.actions.editLast())
      event.preventDefault();
  }

  #send() {
    const { chat } = this.actions;
    const text = this.input.value;
    if (text.trim() === "" || chat.run) return;
    this.input.value = "";
    this.#fit();
    chat.send(text);
    this.input.focus();
  }

  // Each conversation keeps what was begun in it.
  #opened() {
    this.drafts.set(this.shown, this.input.value);
    this.shown = this.actions.chat.conversation.id;
    this.input.value = this.drafts.get(this.shown) ?? "";
    this.#fit();
    this.update();
  }

  // As high as its text, up to the limit in the style sheet.
  #fit() {
    this.input.style.height = "auto";
    this.input.style.height = `${this.input.scrollHeight}px`;
  }

  update() {
    const busy = Boolean(this.actions.chat.run);
    byId("send").hidden = busy;
    byId("stop").hidden = !busy;
    this.#figures();
  }

  #figures() {
    const { chat, props } = this.actions;
    const { run } = chat;
    const last = chat.path.findLast((message) => message.role === "assistant");
    const speed = run ? speedOf(run) : (last?.meta?.speed ?? null);
    byId("speed").textContent = speed === null ? "" : t("speed", { speed: format(speed, 1) });
    const prompt = run ? run.prompt : (last?.meta?.prompt ?? null);
    const tokens = run ? run.tokens : (last?.meta?.tokens ?? 0);
    const total = props()?.context;
    byId("context").hidden = prompt === null || !total;
    if (prompt === null || !total) return;
    const used = prompt + tokens;
    byId("context-text").textContent = t("contextText", { used: format(used), total: format(total) });
    const meter = byId("context-meter");
    meter.value = Math.min(1, used / total);
    meter.high = 0.85;
    meter.title = byId("context-text").textContent;
  }
}

function format(value, digits = 0) {
  return new Intl.NumberFormat(language(), {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(value);
}
