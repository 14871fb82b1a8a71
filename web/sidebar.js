// The list of conversations, in groups by age; on a narrow window a drawer.

import { el, iconButton } from "./dom.js";
import { t } from "./i18n.js";

const DAY_MS = 24 * 60 * 60 * 1000;

function group(updated) {
  const midnight = new Date().setHours(0, 0, 0, 0);
  if (updated >= midnight) return "today";
  if (updated >= midnight - DAY_MS) return "yesterday";
  return updated >= midnight - 7 * DAY_MS ? "week" : "earlier";
}

export class Sidebar {
  // `actions`: chat, store, more(id, title).
  constructor(actions) {
    this.actions = actions;
    this.list = document.getElementById("conversations");
    this.note = document.getElementById("sidebar-note");
    this.nav = document.getElementById("sidebar");
    this.scrim = document.getElementById("scrim");
    this.opener = document.getElementById("open-sidebar");
    this.narrow = window.matchMedia("(max-width: 820px)");
    this.narrow.addEventListener("change", () => this.close());
    this.opener.addEventListener("click", () => this.open());
    document.getElementById("close-sidebar").addEventListener("click", () => this.close(true));
    this.scrim.addEventListener("click", () => this.close());
    this.nav.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.isOpen) {
        event.stopPropagation();
        this.close(true);
      }
    });
    this.close();
  }

  get isOpen() {
    return this.nav.classList.contains("open");
  }

  open() {
    if (this.narrow.matches) {
      this.nav.inert = false;
      this.nav.classList.add("open");
      this.scrim.hidden = false;
      this.opener.setAttribute("aria-expanded", "true");
      document.querySelector(".main").inert = true;
    }
    (this.list.querySelector("[aria-current]") ?? document.getElementById("new-conversation")).focus();
  }

  close(giveBack = false) {
    this.nav.classList.remove("open");
    this.nav.inert = this.narrow.matches;
    this.scrim.hidden = true;
    this.opener.setAttribute("aria-expanded", "false");
    document.querySelector(".main").inert = false;
    if (giveBack) this.opener.focus();
  }

  draw() {
    const { chat, store } = this.actions;
    const focused = this.list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const rows = [];
    let last = null;
    for (const { id, title, updated } of store.list()) {
      const now = group(updated);
      if (now !== last) rows.push(el("li", { class: "group", role: "presentation" }, t(now)));
      last = now;
      rows.push(this.#row(id, title || t("untitled"), id === chat.conversation.id, chat.runs.has(id)));
    }
    this.list.replaceChildren(...rows);
    if (focused) this.list.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
    const notes = [];
    if (rows.length === 0) notes.push(t("noConversations"));
    if (store.unreadable > 0) notes.push(t("unreadable", { count: store.unreadable }));
    if (!store.persistent) notes.push(t("notStored"));
    this.note.textContent = notes.join(" ");
    this.note.hidden = notes.length === 0;
  }

  #row(id, title, current, busy) {
    const { chat, more } = this.actions;
    const open = el(
      "button",
      {
        type: "button",
        class: "conversation",
        "data-key": id,
        "aria-current": current ? "true" : null,
        title,
        onclick: () => {
          chat.open(id);
          this.close();
        },
      },
      el("span", { class: "conversation-title" }, title),
      busy ? el("span", { class: "busy", "aria-label": t("answering"), role: "img" }) : null,
    );
    return el(
      "li",
      { class: current ? "current" : null },
      open,
      iconButton("dots", t("more", { title }), () => more(id, title), { "data-key": `${id}-more` }),
    );
  }
}
