// Which token a piece of an answer came from, how probable it was and what else it might have been.

import { el } from "./dom.js";
import { language, t } from "./i18n.js";

// The tokens of one answer, laid over its text. Kept in memory only.
export class TokenTrack {
  entries = []; // {text, from, to, logprob, top: [{token, logprob}], parts}, rising in `from`.
  #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #encoder = new TextEncoder();
  #pending = null; // Tokens whose bytes do not make a whole character yet.
  #end = 0;
  #checked = 0;
  #broken = false;

  // `content` is logprobs.content of a chunk, `text` the answer up to and with that chunk.
  add(content, text) {
    if (this.#broken || !Array.isArray(content)) return;
    for (const one of content) this.#addOne(one);
    this.#check(text);
  }

  #addOne({ token, bytes, logprob, top_logprobs: top }) {
    const raw = Array.isArray(bytes) ? Uint8Array.from(bytes) : this.#encoder.encode(token);
    const text = this.#decoder.decode(raw, { stream: true });
    const sum = (this.#pending?.logprob ?? 0) + logprob;
    const parts = (this.#pending?.parts ?? 0) + 1;
    if (text === "" && raw.length > 0) {
      this.#pending = { logprob: sum, parts };
      return;
    }
    this.#pending = null;
    if (text === "") return;
    this.entries.push({
      text,
      from: this.#end,
      to: this.#end + text.length,
      logprob: sum,
      parts,
      top: parts === 1 && Array.isArray(top) ? top : [],
    });
    this.#end += text.length;
  }

  // Tokens must spell the text; where they do not (a stop text was cut off), they end. A first token
  // may have a space that the text lacks.
  #check(text) {
    for (; this.#checked < this.entries.length; ++this.#checked) {
      const entry = this.entries[this.#checked];
      if (this.#checked === 0 && entry.text[0] === " " && text.length > 0 && text[0] !== " ")
        this.#shift(entry);
      if (entry.to > text.length && text.slice(entry.from) === entry.text.slice(0, text.length - entry.from))
        return;
      if (text.slice(entry.from, entry.to) === entry.text) continue;
      this.entries.length = this.#checked;
      this.#broken = true;
      return;
    }
  }

  #shift(first) {
    first.text = first.text.slice(1);
    this.#end -= 1;
    for (const entry of this.entries) {
      entry.from = Math.max(0, entry.from - 1);
      entry.to -= 1;
    }
  }

  // The index of the first entry that ends behind `place`.
  #first(place) {
    let [low, high] = [0, this.entries.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.entries[middle].to > place) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  // The nodes of a piece of text that begins at `place`: a span for each token.
  leaf(text, place) {
    const nodes = document.createDocumentFragment();
    let at = place;
    const end = place + text.length;
    for (let i = this.#first(place); i < this.entries.length && at < end; ++i) {
      const { to, logprob } = this.entries[i];
      const until = Math.min(to, end);
      nodes.append(
        el(
          "span",
          { class: `token share-${level(logprob)}`, "data-token": i, tabindex: "-1" },
          text.slice(at - place, until - place),
        ),
      );
      at = until;
    }
    if (at < end) nodes.append(text.slice(at - place));
    return nodes;
  }
}

// 0 (sure) to 4 (a surprise).
function level(logprob) {
  const share = Math.exp(logprob);
  return share >= 0.9 ? 0 : share >= 0.5 ? 1 : share >= 0.2 ? 2 : share >= 0.05 ? 3 : 4;
}

export function percent(share) {
  const digits = share >= 0.9995 || share < 0.00005 ? 0 : share >= 0.1 ? 1 : 2;
  const text = new Intl.NumberFormat(language(), {
    style: "percent",
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(share);
  return share > 0 && share < 0.00005
    ? `< ${new Intl.NumberFormat(language(), { style: "percent", maximumFractionDigits: 2 }).format(0.0001)}`
    : text;
}

// White space that would not be seen.
const visible = (text) =>
  text === ""
    ? "∅"
    : text
        .replaceAll("\n", "↵")
        .replaceAll("\t", "⇥")
        .replace(/^ | $/g, "␣")
        .replace(/^ +$/, (all) => "␣".repeat(all.length));

// One box for the whole page: hover, focus or touch of a token fills it.
export class TokenTip {
  constructor() {
    this.box = el("div", { class: "tip", role: "tooltip", id: "token-tip", hidden: true });
    document.body.append(this.box);
    this.anchor = null;
    this.box.addEventListener("pointerleave", (event) => {
      if (event.relatedTarget !== this.anchor) this.hide();
    });
    window.addEventListener("scroll", () => this.hide(), { capture: true, passive: true });
  }

  // Listens in `root`; `track()` gives its tokens now.
  watch(root, track) {
    const entryAt = (node) => {
      const span = node instanceof Element ? node.closest("[data-token]") : null;
      const entry = span && root.contains(span) ? track()?.entries[Number(span.dataset.token)] : null;
      return entry ? { span, entry } : null;
    };
    const show = (event) => {
      const found = entryAt(event.target);
      if (found) this.show(found.span, found.entry);
    };
    root.addEventListener("pointerover", show);
    root.addEventListener("focusin", show);
    root.addEventListener("pointerout", (event) => {
      if (!this.box.contains(event.relatedTarget)) this.hide();
    });
    root.addEventListener("focusout", () => this.hide());
    root.addEventListener("keydown", (event) => this.#walk(event, root));
  }

  // Left and right go from token to token.
  #walk(event, root) {
    const here = event.target instanceof Element ? event.target.closest("[data-token]") : null;
    if (!here) return;
    const all = [...root.querySelectorAll("[data-token]")];
    const at = all.indexOf(here);
    const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    all[Math.max(0, Math.min(next, all.length - 1))].focus();
  }

  show(span, entry) {
    this.hide();
    this.anchor = span;
    span.setAttribute("aria-describedby", this.box.id);
    const chosen = el(
      "p",
      { class: "tip-head" },
      el("span", { class: "tip-token" }, visible(entry.text)),
      el("span", { class: "tip-share" }, percent(Math.exp(entry.logprob))),
    );
    const rows = entry.top.map(({ token, logprob }) => {
      const share = Math.exp(logprob);
      const bar = el("span", { class: "tip-bar" });
      bar.style.setProperty("--share", String(share));
      return el(
        "tr",
        { class: token === entry.text ? "chosen" : null },
        el("td", { class: "tip-token" }, visible(token)),
        el("td", {}, bar),
        el("td", { class: "tip-share" }, percent(share)),
      );
    });
    const note =
      entry.parts > 1 ? el("p", { class: "tip-note" }, t("tokenParts", { count: entry.parts })) : null;
    this.box.replaceChildren(
      chosen,
      ...(note ? [note] : []),
      ...(rows.length > 0 ? [el("table", { "aria-label": t("alternatives") }, el("tbody", {}, rows))] : []),
    );
    this.box.hidden = false;
    this.#place(span);
  }

  // Below the token, above it where there is no room; always inside the window.
  #place(span) {
    const at = span.getClientRects()[0] ?? span.getBoundingClientRect();
    const { width, height } = this.box.getBoundingClientRect();
    const left = Math.max(8, Math.min(at.left, document.documentElement.clientWidth - width - 8));
    const below = at.bottom + 6;
    const top =
      below + height > window.innerHeight - 8 && at.top - height - 6 > 0 ? at.top - height - 6 : below;
    this.box.style.left = `${left}px`;
    this.box.style.top = `${top}px`;
  }

  // True if there was something to hide.
  hide() {
    const shown = !this.box.hidden;
    this.box.hidden = true;
    this.anchor?.removeAttribute("aria-describedby");
    this.anchor = null;
    return shown;
  }
}
