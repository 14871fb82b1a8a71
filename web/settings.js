// The settings: what they may be, and where they are kept. A number that is not set is the server's
// default and is not sent.

import { openStorage } from "./store.js";

const KEY = "tern/settings";

// What a request may carry: its name in the API, bounds, step; whole numbers where the step is 1.
export const SAMPLING = [
  { name: "temperature", min: 0, max: 5, step: 0.05 },
  { name: "top_p", min: 0, max: 1, step: 0.01 },
  { name: "top_k", min: 0, max: 1000000, step: 1 },
  { name: "min_p", min: 0, max: 1, step: 0.01 },
  { name: "repeat_penalty", min: 0.1, max: 10, step: 0.05 },
  { name: "max_tokens", min: 1, max: 1000000, step: 1 },
  { name: "seed", min: 0, max: 4294967295, step: 1 },
];

const CHOICES = {
  theme: ["auto", "light", "dark"],
  language: ["auto", "en", "ja"],
};

const SWITCHES = { probabilities: true, colour: false };
const TEXTS = ["api_key", "system"];

// The number that a text is, or null where it is empty or out of bounds.
export function parseNumber(rule, text) {
  if (String(text).trim() === "") return null;
  const value = Number(text);
  if (!Number.isFinite(value) || value < rule.min || value > rule.max) return null;
  return rule.step === 1 && !Number.isInteger(value) ? null : value;
}

function sound(stored) {
  const from = stored !== null && typeof stored === "object" ? stored : {};
  const values = {};
  for (const rule of SAMPLING) {
    values[rule.name] = typeof from[rule.name] === "number" ? parseNumber(rule, from[rule.name]) : null;
  }
  for (const [name, allowed] of Object.entries(CHOICES)) {
    values[name] = allowed.includes(from[name]) ? from[name] : "auto";
  }
  for (const [name, usual] of Object.entries(SWITCHES)) {
    values[name] = typeof from[name] === "boolean" ? from[name] : usual;
  }
  for (const name of TEXTS) values[name] = typeof from[name] === "string" ? from[name] : "";
  return values;
}

export class Settings extends EventTarget {
  constructor(storage = openStorage()) {
    super();
    this.storage = storage;
    this.values = this.#read();
    window.addEventListener("storage", (event) => {
      if (event.key !== KEY) return;
      this.values = this.#read();
      this.dispatchEvent(new Event("change"));
    });
  }

  #read() {
    try {
      return sound(JSON.parse(this.storage.getItem(KEY)));
    } catch {
      return sound(null);
    }
  }

  get(name) {
    return this.values[name];
  }

  set(name, value) {
    this.#write({ ...this.values, [name]: value });
  }

  // The numbers alone: a key or a system prompt is not a thing to lose by one press.
  resetSampling() {
    this.#write({ ...this.values, ...Object.fromEntries(SAMPLING.map((rule) => [rule.name, null])) });
  }

  #write(values) {
    this.values = sound(values);
    try {
      this.storage.setItem(KEY, JSON.stringify(this.values));
    } catch {
      // They hold until the page is closed.
    }
    this.dispatchEvent(new Event("change"));
  }
}
