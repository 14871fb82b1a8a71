// Markdown's blocks: text to a list of descriptions, in one pass per level of nesting. A line is
// {t: its text without the markers around it, o: where that begins in the source}, so that every
// piece of text knows its place in the source; that is what token probabilities hang on.

const MAX_DEPTH = 10; // Deeper quotes and lists are plain paragraphs.

export function toLines(source) {
  const lines = [];
  let at = 0;
  for (const t of source.split("\n")) {
    lines.push({ t: t.endsWith("\r") ? t.slice(0, -1) : t, o: at });
    at += t.length + 1;
  }
  return lines;
}

// Columns of white space at the beginning; a tab counts as four.
function indent(text) {
  let columns = 0;
  for (const c of text) {
    if (c === " ") columns += 1;
    else if (c === "\t") columns += 4;
    else break;
  }
  return columns;
}

// The line without up to `columns` of its white space.
function strip(line, columns) {
  let i = 0;
  for (let gone = 0; i < line.t.length && gone < columns; ++i) {
    if (line.t[i] === " ") gone += 1;
    else if (line.t[i] === "\t") gone += 4;
    else break;
  }
  return { t: line.t.slice(i), o: line.o + i };
}

const skip = (line, count) => ({ t: line.t.slice(count), o: line.o + count });
const blank = (line) => line.t.trim() === "";

function fenceOf(line) {
  const match = /^ {0,3}(`{3,}|~{3,})(.*)$/.exec(line.t);
  if (!match || (match[1][0] === "`" && match[2].includes("`"))) return null;
  return { mark: match[1], info: match[2].trim().split(/[ \t]/, 1)[0].slice(0, 40), indent: indent(line.t) };
}

const headingOf = (line) => /^ {0,3}(#{1,6})(?:[ \t]|$)/.exec(line.t);
const isQuote = (line) => /^ {0,3}>/.test(line.t);

function isRule(line) {
  const t = line.t.trim();
  if (t.length < 3 || !"*-_".includes(t[0])) return false;
  let count = 0;
  for (const c of t) {
    if (c === t[0]) ++count;
    else if (c !== " " && c !== "\t") return false;
  }
  return count >= 3;
}

function itemOf(line) {
  const match = /^([ \t]*)([-*+]|\d{1,9}[.)])(?:[ \t]|$)/.exec(line.t);
  if (!match || isRule(line)) return null;
  const ordered = match[2].length > 1;
  return {
    indent: indent(match[1]),
    mark: match[1].length + match[2].length,
    ordered,
    start: ordered ? Number.parseInt(match[2], 10) : 1,
    kind: ordered ? match[2].at(-1) : match[2],
  };
}

// The cells of a table's row: split at | that no backslash precedes.
export function cells(line) {
  const found = [];
  let from = 0;
  const add = (end) => {
    const raw = line.t.slice(from, end);
    const left = raw.length - raw.trimStart().length;
    found.push({ t: raw.trim(), o: line.o + from + left });
  };
  for (let i = 0; i < line.t.length; ++i) {
    if (line.t[i] === "\\") ++i;
    else if (line.t[i] === "|") {
      add(i);
      from = i + 1;
    }
  }
  add(line.t.length);
  if (found.length > 1 && found[0].t === "") found.shift();
  if (found.length > 1 && found.at(-1).t === "") found.pop();
  return found;
}

// How the columns are aligned, if this line is the one below a table's head.
function alignments(line) {
  if (!line || !line.t.includes("-") || !line.t.includes("|") || line.t.length > 4000) return null;
  const found = cells(line).map(({ t }) => (/^:?-+:?$/.test(t) ? t : null));
  if (found.includes(null)) return null;
  return found.map((t) =>
    t.endsWith(":") ? (t.startsWith(":") ? "center" : "right") : t.startsWith(":") ? "left" : null,
  );
}

function tableAt(lines, i) {
  if (!lines[i].t.includes("|")) return null;
  const align = alignments(lines[i + 1]);
  return align && cells(lines[i]).length === align.length ? align : null;
}

// True where a paragraph must end although no blank line says so.
function interrupts(lines, i) {
  const line = lines[i];
  const item = itemOf(line);
  return (
    fenceOf(line) ||
    headingOf(line) ||
    isQuote(line) ||
    isRule(line) ||
    (item && item.start === 1) ||
    tableAt(lines, i)
  );
}

// The blocks of `lines`; each has `from` and `to`, its lines.
export function parseBlocks(lines, depth = 0) {
  const blocks = [];
  for (let i = 0; i < lines.length;) {
    if (blank(lines[i])) {
      ++i;
      continue;
    }
    const block = blockAt(lines, i, depth);
    blocks.push({ ...block, from: i });
    i = block.to;
  }
  return blocks;
}

function blockAt(lines, i, depth) {
  const line = lines[i];
  const fence = fenceOf(line);
  if (fence) return code(lines, i, fence);
  const heading = headingOf(line);
  if (heading)
    return {
      type: "heading",
      level: heading[1].length,
      line: headingText(line, heading[0].length),
      to: i + 1,
    };
  if (isRule(line)) return { type: "rule", to: i + 1 };
  if (depth < MAX_DEPTH) {
    if (isQuote(line)) return quote(lines, i, depth);
    const item = itemOf(line);
    if (item) return list(lines, i, item, depth);
  }
  const align = tableAt(lines, i);
  return align ? table(lines, i, align) : paragraph(lines, i);
}

function headingText(line, length) {
  const rest = skip(line, length);
  const left = rest.t.length - rest.t.trimStart().length;
  let end = rest.t.trimEnd();
  let hashes = end.length;
  while (hashes > 0 && end[hashes - 1] === "#") --hashes;
  if (hashes === 0 || end[hashes - 1] === " ") end = end.slice(0, hashes).trimEnd();
  return { t: end.slice(left), o: rest.o + left };
}

function code(lines, i, fence) {
  const body = [];
  let to = i + 1;
  for (; to < lines.length; ++to) {
    const t = lines[to].t.trim();
    if (t.length >= fence.mark.length && indent(lines[to].t) < 4 && t === fence.mark[0].repeat(t.length)) {
      return { type: "code", info: fence.info, lines: body, to: to + 1 };
    }
    body.push(strip(lines[to], fence.indent));
  }
  return { type: "code", info: fence.info, lines: body, to }; // Still being written.
}

function quote(lines, i, depth) {
  const inner = [];
  let to = i;
  for (; to < lines.length; ++to) {
    const match = /^ {0,3}> ?/.exec(lines[to].t);
    if (match) inner.push(skip(lines[to], match[0].length));
    else if (!blank(lines[to]) && !blank(inner.at(-1)) && !interrupts(lines, to)) inner.push(lines[to]);
    else break;
  }
  return { type: "quote", blocks: parseBlocks(inner, depth + 1), to };
}

function list(lines, i, first, depth) {
  const items = [];
  let to = i;
  while (to < lines.length) {
    const item = itemOf(lines[to]);
    if (!item || item.kind !== first.kind || item.indent > first.indent + 3 || item.indent + 3 < first.indent)
      break;
    const body = skip(lines[to], item.mark);
    const content = item.indent + item.mark - (lines[to].t.length - lines[to].t.trimStart().length) + 1;
    const inner = [strip(body, 1)];
    let after = to + 1;
    for (; after < lines.length; ++after) {
      const line = lines[after];
      if (blank(line)) inner.push(strip(line, content));
      else if (belongs(lines, after, content, item)) inner.push(strip(line, content));
      else break;
    }
    while (inner.length > 1 && blank(inner.at(-1))) inner.pop();
    items.push(parseBlocks(inner, depth + 1));
    to = after;
  }
  return { type: "list", ordered: first.ordered, start: first.start, items, to };
}

// Whether a line goes on with an item: by its indent, or as the rest of a paragraph. Two columns are
// enough for what stands below a number, as models write it.
function belongs(lines, i, content, item) {
  const columns = indent(lines[i].t);
  if (columns >= content || columns >= item.indent + 2) return true;
  return !blank(lines[i - 1]) && !itemOf(lines[i]) && !interrupts(lines, i);
}

function table(lines, i, align) {
  const rows = [];
  let to = i + 2;
  for (; to < lines.length && !blank(lines[to]) && lines[to].t.includes("|"); ++to) {
    rows.push(cells(lines[to]).slice(0, align.length));
  }
  return { type: "table", head: cells(lines[i]), align, rows, to };
}

function paragraph(lines, i) {
  let to = i + 1;
  while (to < lines.length && !blank(lines[to]) && !interrupts(lines, to)) ++to;
  const trimmed = lines.slice(i, to).map((line) => {
    const left = line.t.length - line.t.trimStart().length;
    return { t: line.t.trim(), o: line.o + left };
  });
  return { type: "paragraph", lines: trimmed, to };
}
