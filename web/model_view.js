// The view of the model: what it is, how large, and its shares of -1, 0 and +1, layer by layer.

import { el, svg } from "./dom.js";
import { language, t } from "./i18n.js";
import { percent } from "./tokens.js";

const DIGITS = ["-1", "0", "+1"];
const NAMES = { "-1": "−1", 0: "0", "+1": "+1" };
const CLASSES = { "-1": "minus", 0: "zero", "+1": "plus" };

const number = (value) => new Intl.NumberFormat(language()).format(value);

// 2,412,820,480 as "2.41 B" or 「24.1億」.
export function short(value) {
  return new Intl.NumberFormat(language(), { notation: "compact", maximumSignificantDigits: 3 }).format(
    value,
  );
}

export function bytes(value) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  const power = value < 1000 ? 0 : Math.min(4, Math.floor(Math.log10(value) / 3));
  const scaled = value / 1000 ** power;
  return `${new Intl.NumberFormat(language(), { maximumSignificantDigits: 3 }).format(scaled)} ${units[power]}`;
}

const sound = (shares) => shares && DIGITS.every((digit) => Number.isFinite(shares[digit]));

// A bar of three parts. Decoration: the figures stand beside it as text.
export function shareBar(shares, height = 10) {
  let x = 0;
  const parts = DIGITS.map((digit) => {
    const width = Math.max(0, shares[digit] * 100);
    const part = svg("rect", { x, y: 0, width, height, class: CLASSES[digit] });
    x += width;
    return part;
  });
  return svg(
    "svg",
    {
      class: "share-bar",
      viewBox: `0 0 100 ${height}`,
      preserveAspectRatio: "none",
      "aria-hidden": "true",
      focusable: "false",
    },
    parts,
  );
}

export function legend(shares) {
  return el(
    "ul",
    { class: "legend" },
    DIGITS.map((digit) =>
      el(
        "li",
        {},
        el("span", { class: `swatch ${CLASSES[digit]}`, "aria-hidden": "true" }),
        `${NAMES[digit]} `,
        el("b", {}, percent(shares[digit])),
      ),
    ),
  );
}

function facts(pairs) {
  return el(
    "dl",
    { class: "facts-list" },
    pairs
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, String(value)))),
  );
}

function typesTable(types) {
  const rows = Object.entries(types)
    .filter(([, size]) => size > 0)
    .sort((a, b) => b[1] - a[1]);
  const total = rows.reduce((sum, [, size]) => sum + size, 0);
  return el(
    "table",
    { class: "bars" },
    el(
      "thead",
      { class: "off-screen" },
      el(
        "tr",
        {},
        [t("storageType"), t("share"), t("size")].map((name) => el("th", { scope: "col" }, name)),
      ),
    ),
    el(
      "tbody",
      {},
      rows.map(([name, size]) =>
        el(
          "tr",
          {},
          el("th", { scope: "row" }, name),
          el(
            "td",
            { class: "bar-cell" },
            svg(
              "svg",
              {
                class: "size-bar",
                viewBox: "0 0 100 10",
                preserveAspectRatio: "none",
                "aria-hidden": "true",
                focusable: "false",
              },
              svg("rect", {
                x: 0,
                y: 0,
                width: Math.max(0.5, (size / total) * 100),
                height: 10,
                class: "size",
              }),
            ),
          ),
          el("td", { class: "figure" }, bytes(size)),
        ),
      ),
    ),
  );
}

function layersTable(layers) {
  return el(
    "table",
    { class: "bars layers" },
    el("caption", { class: "off-screen" }, t("layersCaption")),
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        el("th", { scope: "col" }, t("layer")),
        el("td", {}),
        DIGITS.map((digit) => el("th", { scope: "col", class: "figure" }, NAMES[digit])),
      ),
    ),
    el(
      "tbody",
      {},
      layers.map((shares, index) =>
        el(
          "tr",
          {},
          el("th", { scope: "row" }, number(index)),
          sound(shares)
            ? [
                el("td", { class: "bar-cell" }, shareBar(shares)),
                DIGITS.map((digit) => el("td", { class: "figure" }, percent(shares[digit]))),
              ]
            : el("td", { colspan: "4", class: "hint" }, t("notTernary")),
        ),
      ),
    ),
  );
}

// Fills `body` from what /props says.
export function showModel(body, props) {
  const { model } = props;
  const heads =
    model.kv_heads && model.kv_heads !== model.heads
      ? t("headsOf", { heads: model.heads, kv: model.kv_heads })
      : model.heads;
  const parts = [
    el("p", { class: "model-id" }, model.id),
    facts([
      [t("architecture"), model.architecture],
      [t("file"), model.path],
      [t("parameters"), number(model.parameters)],
      [t("size"), bytes(model.bytes)],
      [t("layers"), number(model.layers)],
      [t("hidden"), number(model.hidden)],
      [t("heads"), heads],
      [t("vocabulary"), number(model.vocab)],
      [t("trainedContext"), number(model.context)],
      [t("servedContext"), number(props.context)],
      [t("kvType"), props.kv_type],
      [t("slots"), number(props.slots)],
      [t("chatTemplate"), t(props.chat ? "yes" : "no")],
      [t("tools"), t(props.tools ? "yes" : "no")],
      [t("version"), props.version],
    ]),
  ];
  if (sound(model.ternary)) {
    parts.push(
      el("section", {}, el("h3", {}, t("ternaryWeights")), shareBar(model.ternary, 6), legend(model.ternary)),
    );
  }
  if (Array.isArray(model.ternary_layers) && model.ternary_layers.length > 0) {
    parts.push(el("section", {}, el("h3", {}, t("byLayer")), layersTable(model.ternary_layers)));
  }
  if (model.types && Object.keys(model.types).length > 0) {
    parts.push(el("section", {}, el("h3", {}, t("storage")), typesTable(model.types)));
  }
  if (props.chat && props.chat_template) {
    parts.push(
      el(
        "details",
        { class: "template" },
        el("summary", {}, t("showTemplate")),
        el("pre", { tabindex: "0", "aria-label": t("chatTemplate") }, el("code", {}, props.chat_template)),
      ),
    );
  }
  body.replaceChildren(...parts);
}
