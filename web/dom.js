// Builds elements. Text only ever becomes text nodes; nothing here reads HTML.

const SVG = "http://www.w3.org/2000/svg";

// el("button", {class: "x", "aria-label": "y", onclick: f}, "text", child, null): null children
// and attributes that are null or false are left out, true is the empty attribute.
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

// Strokes on a grid of 20.
const ICONS = {
  plus: "M10 4v12M4 10h12",
  menu: "M3 6h14M3 10h14M3 14h14",
  close: "M5 5l10 10M15 5L5 15",
  dots: "M4.5 10h.01M10 10h.01M15.5 10h.01",
  send: "M10 16V4M5 9l5-5 5 5",
  stop: "M6 6h8v8H6z",
  copy: "M7 7V4h9v9h-3M4 7h9v9H4z",
  check: "M4 10.5l4 4 8-9",
  edit: "M4 16l.8-3.2L13.5 4.1l2.4 2.4-8.7 8.7zM12 5.6l2.4 2.4",
  again: "M15.5 8A6 6 0 1 0 16 11.5M16 4v4h-4",
  trash: "M4 6h12M8 6V4h4v2M6 6l.7 10h6.6L14 6",
  left: "M12 5l-5 5 5 5",
  right: "M8 5l5 5-5 5",
  down: "M10 4v12M5 11l5 5 5-5",
  sliders: "M3 6h7M14 6h3M3 14h3M10 14h7M12 4v4M8 12v4",
  keyboard: "M2.5 5.5h15v9h-15zM5.5 8.5h.01M8.5 8.5h.01M11.5 8.5h.01M14.5 8.5h.01M7 11.5h6",
  tokens: "M3 5h5v4H3zM10 5h7v4h-7zM3 11h8v4H3zM13 11h4v4h-4z",
};

// Decoration beside a text or an aria-label: hidden from screen readers.
export function icon(name) {
  return svg(
    "svg",
    { viewBox: "0 0 20 20", class: "icon", "aria-hidden": "true", focusable: "false" },
    svg("path", { d: ICONS[name] }),
  );
}

// The tern: two wings.
export function mark() {
  return svg(
    "svg",
    { viewBox: "0 0 32 32", class: "mark", "aria-hidden": "true", focusable: "false" },
    svg("path", { d: "M1 13C8 7 13 9 16 15C19 9 24 7 31 13C25 12 20 14 16 22C12 14 7 12 1 13Z" }),
  );
}

// A button that shows an icon alone; the label is its name and its tooltip.
export function iconButton(name, label, onclick, extra = {}) {
  return el(
    "button",
    { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...extra },
    icon(name),
  );
}

// True if it worked. The clipboard's interface exists in secure contexts alone, so there is a second way.
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = el("textarea", { class: "off-screen", "aria-hidden": "true", tabindex: "-1" });
    area.value = text;
    const before = document.activeElement;
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    before?.focus?.();
    return copied;
  }
}

// A copy button that says for a moment that it has copied. `text` is asked when it is pressed.
export function copyButton(label, done, text) {
  const button = iconButton("copy", label, async () => {
    if (!(await copyText(text()))) return;
    button.replaceChildren(icon("check"));
    button.setAttribute("aria-label", done);
    button.title = done;
    setTimeout(() => {
      button.replaceChildren(icon("copy"));
      button.setAttribute("aria-label", label);
      button.title = label;
    }, 1500);
  });
  return button;
}

// Hands the browser a file to save.
export function saveFile(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
