// Markdown inside a paragraph: code, strong, emphasis, strike, links, line breaks. One pass finds the
// pieces and which markers match, a second builds nodes; both are linear in the text, whatever it is.

import { el } from "./dom.js";

const MAX_DEPTH = 16;
const ESCAPABLE = "\\`*_{}[]()#+-.!|~<>\"'";
const TAGS = { em: ["em"], strong: ["strong"], both: ["strong", "em"], strike: ["del"] };

const isWord = (c) => c !== undefined && /[\p{L}\p{N}]/u.test(c);
const isSpace = (c) => c === undefined || c.trim() === "";

// The address as the browser reads it, if it is http or https; else null.
export function safeUrl(text) {
  if (!/^https?:\/\//i.test(text)) return null;
  try {
    const url = new URL(text);
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
  } catch {
    return null;
  }
}

// Lines joined by newlines, and where each character stands in the source.
class Joined {
  constructor(lines) {
    this.text = lines.map((line) => line.t).join("\n");
    this.lines = lines;
    this.starts = [];
    let at = 0;
    for (const line of lines) {
      this.starts.push(at);
      at += line.t.length + 1;
    }
    this.line = 0;
  }

  // Asked for places in rising order.
  place(i) {
    while (this.line + 1 < this.starts.length && this.starts[this.line + 1] <= i) ++this.line;
    return this.lines[this.line].o + (i - this.starts[this.line]);
  }
}

class Scanner {
  constructor(text) {
    this.text = text;
    this.pieces = []; // {kind: "text"|"code", from, to} | {kind: "break"} | {kind: "mark", ...}
    this.open = []; // Marks that may still be closed.
    this.counts = new Map(); // Of each sort in `open`.
    this.plain = 0; // Where the text that is not yet a piece begins.
    this.ticks = null;
  }

  flush(to) {
    if (to > this.plain) this.pieces.push({ kind: "text", from: this.plain, to });
  }

  scan() {
    const { text } = this;
    let i = 0;
    while (i < text.length) {
      const c = text[i];
      if (c === "\\" && ESCAPABLE.includes(text[i + 1] ?? "\n")) {
        this.flush(i);
        this.plain = i + 1;
        i += 2;
      } else if (c === "\n") {
        this.flush(i);
        this.pieces.push({ kind: "break" });
        this.plain = ++i;
      } else if (c === "`") i = this.code(i);
      else if (c === "*" || c === "_" || c === "~") i = this.emphasis(i, c);
      else if (c === "[") i = this.push(i, 1, "link");
      else if (c === "]") i = this.link(i);
      else if (c === "h" && !isWord(text[i - 1])) i = this.bare(i);
      else ++i;
    }
    this.flush(text.length);
    return this.pieces;
  }

  // The places where runs of `length` backticks begin, found once for all.
  runs(length) {
    if (!this.ticks) {
      this.ticks = new Map();
      for (const match of this.text.matchAll(/`+/g)) {
        if (!this.ticks.has(match[0].length)) this.ticks.set(match[0].length, { next: 0, at: [] });
        this.ticks.get(match[0].length).at.push(match.index);
      }
    }
    return this.ticks.get(length);
  }

  code(i) {
    let end = i;
    while (this.text[end] === "`") ++end;
    const runs = this.runs(end - i);
    if (!runs) return end; // A backslash took one of its backticks.
    while (runs.next < runs.at.length && runs.at[runs.next] < end) ++runs.next;
    if (runs.next === runs.at.length) return end; // Nothing closes it: plain backticks.
    const close = runs.at[runs.next];
    let [from, to] = [end, close];
    if (this.text[from] === " " && this.text[to - 1] === " " && to - from > 2)
      [from, to] = [from + 1, to - 1];
    this.flush(i);
    this.pieces.push({ kind: "code", from, to });
    this.plain = close + (end - i);
    return this.plain;
  }

  push(i, length, sort) {
    this.flush(i);
    const mark = { kind: "mark", sort, from: i, to: i + length, role: "text", href: null };
    this.pieces.push(mark);
    this.open.push(mark);
    this.counts.set(sort, (this.counts.get(sort) ?? 0) + 1);
    this.plain = i + length;
    return this.plain;
  }

  pop() {
    const mark = this.open.pop();
    this.counts.set(mark.sort, this.counts.get(mark.sort) - 1);
    return mark;
  }

  // Takes the nearest open mark of a sort, and with it those above, which stay text.
  take(sort) {
    if (!this.counts.get(sort)) return null;
    let mark;
    do mark = this.pop();
    while (mark.sort !== sort);
    return mark;
  }

  emphasis(i, c) {
    const { text } = this;
    let end = i;
    while (text[end] === c) ++end;
    const length = end - i;
    const names = c === "~" ? [null, null, "strike"] : [null, "em", "strong", "both"];
    const name = names[length];
    if (!name) return end;
    const before = text[i - 1];
    const after = text[end];
    const inWord = c === "_" && isWord(before) && isWord(after);
    const canClose = !isSpace(before) && !inWord;
    const canOpen = !isSpace(after) && !inWord;
    const sort = c + length;
    if (canClose) {
      const mark = this.take(sort);
      if (mark) {
        mark.role = "open";
        mark.name = name;
        this.flush(i);
        this.pieces.push({ kind: "mark", role: "close" });
        this.plain = end;
        return end;
      }
    }
    return canOpen ? this.push(i, length, sort) : end;
  }

  link(i) {
    if (!this.counts.get("link")) return i + 1;
    const end = this.text[i + 1] === "(" ? this.destination(i + 2) : null;
    if (end === null) {
      // No link: the bracket is text, and marks inside it can no longer be closed.
      this.take("link");
      return i + 1;
    }
    const mark = this.take("link");
    mark.role = "open";
    mark.name = "link";
    mark.href = safeUrl(this.text.slice(i + 2, end).split(/[ \n]/, 1)[0]);
    this.flush(i);
    this.pieces.push({ kind: "mark", role: "close" });
    this.plain = end + 1;
    return this.plain;
  }

  // Where the bracket of a link's address closes. Brackets inside end the search, so that no part of
  // the text is looked through twice.
  destination(from) {
    let depth = 0;
    for (let i = from; i < this.text.length && i < from + 2000; ++i) {
      const c = this.text[i];
      if (c === "\n" || c === "[" || c === "]" || c === "<" || c === "`") return null;
      if (c === "(" && ++depth > 3) return null;
      if (c === ")" && depth-- === 0) return i;
    }
    return null;
  }

  bare(i) {
    const match = /^https?:\/\/[^\s<>"'`|\\[\]{}、。「」（）]+/.exec(this.text.slice(i, i + 2000));
    if (!match) return i + 1;
    let length = match[0].length;
    while (/[.,;:!?*_~]/.test(match[0][length - 1])) --length;
    // A closing bracket belongs to the address if an opening one does.
    const url = match[0].slice(0, length);
    if (url.endsWith(")") && !url.includes("(")) --length;
    if (length < 10 || !safeUrl(match[0].slice(0, length))) return i + 1;
    this.flush(i);
    this.pieces.push({ kind: "bare", from: i, to: i + length });
    this.plain = i + length;
    return this.plain;
  }
}

function anchor(href) {
  return el("a", { href, rel: "noopener noreferrer nofollow", target: "_blank" });
}

// Appends the nodes of `lines` to `parent`. `leaf(text, place)` makes the node of a piece of text.
export function appendInline(parent, lines, leaf) {
  const joined = new Joined(lines);
  const stack = [parent];
  const text = (from, to) => leaf(joined.text.slice(from, to), joined.place(from));
  for (const piece of new Scanner(joined.text).scan()) {
    const top = stack.at(-1);
    if (piece.kind === "text") top.append(text(piece.from, piece.to));
    else if (piece.kind === "break") top.append(el("br"));
    else if (piece.kind === "code") {
      const code = el("code");
      // A code span may go over a line's end; its pieces stand on one line each.
      let from = piece.from;
      for (const part of joined.text.slice(piece.from, piece.to).split("\n")) {
        if (from > piece.from) code.append(" ");
        if (part) code.append(text(from, from + part.length));
        from += part.length + 1;
      }
      top.append(code);
    } else if (piece.kind === "bare") {
      const link = anchor(safeUrl(joined.text.slice(piece.from, piece.to)));
      link.append(text(piece.from, piece.to));
      top.append(link);
    } else if (piece.role === "text") top.append(text(piece.from, piece.to));
    else if (piece.role === "close") stack.pop();
    else stack.push(opened(top, piece, stack.length));
  }
}

// The element that a matched mark opens; the one it stands in where there is none to open.
function opened(top, mark, depth) {
  if (depth > MAX_DEPTH) return top;
  if (mark.name === "link") {
    if (!mark.href || top.closest("a")) return top;
    const link = anchor(mark.href);
    top.append(link);
    return link;
  }
  let inner = top;
  for (const tag of TAGS[mark.name]) {
    const next = el(tag);
    inner.append(next);
    inner = next;
  }
  return inner;
}
