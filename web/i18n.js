// The page in English or Japanese: which one, and its texts put where the page names them.

import { en } from "./words_en.js";
import { ja } from "./words_ja.js";

const WORDS = { en, ja };
let current = "en";

export function language() {
  return current;
}

// "auto" is the first language of the browser that there is.
export function setLanguage(choice) {
  const wanted = choice === "auto" ? (navigator.languages ?? [navigator.language]) : [choice];
  current = wanted.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag in WORDS) ?? "en";
  document.documentElement.lang = current;
}

// The text of a key with {name} replaced by parameters. A key that is missing is a bug, and says so.
export function t(key, parameters = {}) {
  const text = WORDS[current][key] ?? WORDS.en[key];
  if (text === undefined) throw new Error(`no text named ${key}`);
  return text.replace(/\{(\w+)\}/g, (whole, name) => parameters[name] ?? whole);
}

// Fills data-t (text), data-t-label (name and tooltip) and data-t-placeholder below `root`.
export function applyTexts(root) {
  for (const node of root.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of root.querySelectorAll("[data-t-label]")) {
    node.setAttribute("aria-label", t(node.dataset.tLabel));
    if (node.tagName === "BUTTON") node.title = t(node.dataset.tLabel);
  }
  for (const node of root.querySelectorAll("[data-t-placeholder]"))
    node.placeholder = t(node.dataset.tPlaceholder);
}
