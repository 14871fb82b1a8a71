// Keeps conversations in the browser's localStorage, one entry each: tern/chat/ID. What cannot be
// read is left as it is and counted; where nothing can be stored, the page works from memory.

import { plain, revive } from "./conversation.js";

const PREFIX = "tern/chat/";

// Stands in where the browser refuses storage (blocked, or a sandboxed frame).
class Memory {
  #entries = new Map();
  get length() {
    return this.#entries.size;
  }
  key(index) {
    return [...this.#entries.keys()][index] ?? null;
  }
  getItem(key) {
    return this.#entries.get(key) ?? null;
  }
  setItem(key, text) {
    this.#entries.set(key, text);
  }
  removeItem(key) {
    this.#entries.delete(key);
  }
}

export function openStorage() {
  try {
    localStorage.getItem("tern/settings");
    return localStorage;
  } catch {
    return new Memory();
  }
}

export class Store {
  constructor(storage = openStorage()) {
    this.storage = storage;
    this.unreadable = 0;
    this.persistent = !(storage instanceof Memory);
    this.#readAll();
  }

  #readAll() {
    this.summaries = new Map();
    this.unreadable = 0;
    const keys = [];
    for (let i = 0; i < this.storage.length; ++i) keys.push(this.storage.key(i));
    for (const key of keys) {
      if (!key.startsWith(PREFIX)) continue;
      const conversation = this.#read(key.slice(PREFIX.length));
      if (conversation) this.#remember(conversation);
      else ++this.unreadable;
    }
  }

  #read(id) {
    try {
      const conversation = revive(JSON.parse(this.storage.getItem(PREFIX + id)));
      return conversation?.id === id ? conversation : null;
    } catch {
      return null;
    }
  }

  #remember({ id, title, updated }) {
    this.summaries.set(id, { id, title, updated });
  }

  // {id, title, updated} of each, latest first.
  list() {
    return [...this.summaries.values()].sort((a, b) => b.updated - a.updated);
  }

  load(id) {
    return this.#read(id);
  }

  // False where the browser did not take it, as when its space is full.
  save(conversation) {
    this.#remember(conversation);
    try {
      this.storage.setItem(PREFIX + conversation.id, JSON.stringify(plain(conversation)));
      return true;
    } catch {
      return false;
    }
  }

  remove(id) {
    this.summaries.delete(id);
    try {
      this.storage.removeItem(PREFIX + id);
    } catch {
      // What cannot be removed was not stored either.
    }
  }

  // Calls back with the id of a conversation that another tab has changed.
  onForeignChange(callback) {
    window.addEventListener("storage", (event) => {
      if (event.key !== null && !event.key.startsWith(PREFIX)) return;
      this.#readAll();
      callback(event.key === null ? null : event.key.slice(PREFIX.length));
    });
  }
}
