// Renders Markdown as nodes, never as HTML. While a text grows, only its last blocks are made anew.

import { copyButton, el } from "./dom.js";
import { t } from "./i18n.js";
import { parseBlocks, toLines } from "./markdown_blocks.js";
import { appendInline } from "./markdown_inline.js";

const rendered = new WeakMap(); // Container to [{source, node}].

// Makes `container` show `source`. `leaf(text, place)` gives the node of a piece of text that begins at
// `place` of the source; `fresh` forgets what was rendered before.
export function renderMarkdown(
  container,
  source,
  { leaf = (text) => document.createTextNode(text), fresh = false } = {},
) {
  const lines = toLines(source);
  const blocks = parseBlocks(lines);
  const before = fresh ? [] : (rendered.get(container) ?? []);
  const after = [];
  let same = !fresh && before.length > 0;
  if (!same) container.replaceChildren();
  blocks.forEach((block, index) => {
    const from = lines[block.from].o;
    const text = source.slice(from, block.to < lines.length ? lines[block.to].o : source.length);
    const old = before[index];
    // The last block of before may have got more tokens without other text.
    if (same && old && old.text === text && index < before.length - 1) {
      after.push(old);
      return;
    }
    if (same) {
      for (const { node } of before.slice(index)) node.remove();
      same = false;
    }
    const node = blockNode(block, leaf);
    container.append(node);
    after.push({ text, node });
  });
  if (same) for (const { node } of before.slice(blocks.length)) node.remove();
  rendered.set(container, after);
}

function blockNode(block, leaf) {
  switch (block.type) {
    case "heading": {
      // The page has h1 and h2 of its own.
      const node = el(`h${Math.min(block.level + 2, 6)}`, { class: `level-${block.level}` });
      appendInline(node, [block.line], leaf);
      return node;
    }
    case "rule":
      return el("hr");
    case "code":
      return codeNode(block, leaf);
    case "quote":
      return el(
        "blockquote",
        {},
        block.blocks.map((inner) => blockNode(inner, leaf)),
      );
    case "list":
      return listNode(block, leaf);
    case "table":
      return tableNode(block, leaf);
    default: {
      const node = el("p");
      appendInline(node, block.lines, leaf);
      return node;
    }
  }
}

function codeNode(block, leaf) {
  const code = el("code");
  block.lines.forEach((line, index) => {
    const last = index === block.lines.length - 1;
    if (line.t || !last) code.append(leaf(last ? line.t : line.t + "\n", line.o));
  });
  const text = () => block.lines.map((line) => line.t).join("\n");
  return el(
    "figure",
    { class: "code" },
    el(
      "figcaption",
      {},
      el("span", { class: "code-name" }, block.info || t("code")),
      copyButton(t("copyCode"), t("copied"), text),
    ),
    el("pre", { tabindex: "0", "aria-label": block.info || t("code") }, code),
  );
}

function listNode(block, leaf) {
  const node = el(block.ordered ? "ol" : "ul", {
    start: block.ordered && block.start !== 1 ? block.start : null,
  });
  for (const blocks of block.items) {
    const item = el("li");
    for (const inner of blocks) {
      // A lone paragraph needs no box of its own.
      if (inner.type === "paragraph" && inner === blocks[0]) appendInline(item, inner.lines, leaf);
      else item.append(blockNode(inner, leaf));
    }
    node.append(item);
  }
  return node;
}

function tableNode(block, leaf) {
  const cell = (tag, content, column) => {
    const node = el(tag, {
      class: block.align[column] ? `align-${block.align[column]}` : null,
      scope: tag === "th" ? "col" : null,
    });
    appendInline(node, [content], leaf);
    return node;
  };
  const head = el(
    "tr",
    {},
    block.head.map((content, column) => cell("th", content, column)),
  );
  const rows = block.rows.map((row) =>
    el(
      "tr",
      {},
      row.map((content, column) => cell("td", content, column)),
    ),
  );
  return el(
    "div",
    { class: "table", tabindex: "0", role: "region", "aria-label": t("table") },
    el("table", {}, el("thead", {}, head), el("tbody", {}, rows)),
  );
}
