// The dialogs: settings, one conversation, keyboard shortcuts, and the question before deleting.
// <dialog> keeps the focus inside, closes on Esc and gives the focus back.

import { el } from "./dom.js";
import { t } from "./i18n.js";
import { parseNumber, SAMPLING } from "./settings.js";

const byId = (id) => document.getElementById(id);

// Close buttons, and a press on what lies behind a dialog.
export function wireDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.querySelector("[data-close]")?.addEventListener("click", () => dialog.close());
    dialog.addEventListener("pointerdown", (event) => {
      if (event.target !== dialog) return;
      const box = dialog.getBoundingClientRect();
      const inside =
        event.clientX >= box.left &&
        event.clientX <= box.right &&
        event.clientY >= box.top &&
        event.clientY <= box.bottom;
      if (!inside) dialog.close("no");
    });
  }
}

export function openDialog(id) {
  if (!document.querySelector("dialog[open]")) byId(id).showModal();
}

// Asks; true if the answer is `yes`.
export function ask(question, yes) {
  const dialog = byId("confirm-dialog");
  byId("confirm-text").textContent = question;
  byId("confirm-yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

export class SettingsDialog {
  // `usual(name)` is what is used where a number is not set, or null where that is not known.
  constructor(settings, usual) {
    Object.assign(this, { settings, usual, form: byId("settings-form") });
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("input", (event) => this.#take(event.target));
    byId("reset-sampling").addEventListener("click", () => {
      settings.resetSampling();
      this.#fill();
    });
    this.drawFields();
  }

  drawFields() {
    byId("sampling-fields").replaceChildren(
      ...SAMPLING.map((rule) => {
        const id = `setting-${rule.name}`;
        return el(
          "div",
          { class: "field" },
          el("label", { for: id }, t(`sampling_${rule.name}`)),
          el("input", {
            id,
            name: rule.name,
            type: "number",
            inputmode: rule.step === 1 ? "numeric" : "decimal",
            min: rule.min,
            max: rule.max,
            step: "any",
            autocomplete: "off",
            "aria-describedby": `${id}-hint`,
          }),
          el("p", { class: "field-hint", id: `${id}-hint` }, t(`sampling_${rule.name}_hint`)),
        );
      }),
    );
    this.#fill();
  }

  open() {
    this.#fill();
    openDialog("settings-dialog");
  }

  #fill() {
    for (const field of this.form.elements) {
      if (!field.name) continue;
      const value = this.settings.get(field.name);
      if (field.type === "checkbox") field.checked = value;
      else field.value = value ?? "";
      if (field.type !== "number") continue;
      field.placeholder = this.usual(field.name) ?? "";
      field.setCustomValidity("");
      field.removeAttribute("aria-invalid");
    }
  }

  // What is wrong is marked and not kept.
  #take(field) {
    if (field.type === "checkbox") this.settings.set(field.name, field.checked);
    else if (field.type !== "number") this.settings.set(field.name, field.value);
    else {
      const rule = SAMPLING.find(({ name }) => name === field.name);
      const value = parseNumber(rule, field.value);
      const wrong = field.validity.badInput || (value === null && field.value.trim() !== "");
      field.setCustomValidity(wrong ? t("outOfBounds", { min: rule.min, max: rule.max }) : "");
      field.toggleAttribute("aria-invalid", wrong);
      if (wrong) {
        field.setAttribute("aria-invalid", "true");
        field.reportValidity();
      } else this.settings.set(field.name, value);
    }
  }
}

// Renames, exports or deletes one conversation.
export class ConversationDialog {
  // `actions`: rename(id, title), markdown(id), json(id), remove(id).
  constructor(actions) {
    this.dialog = byId("conversation-dialog");
    this.form = byId("conversation-form");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      const title = this.form.elements.title.value.trim();
      if (title) actions.rename(this.id, title);
      this.dialog.close();
    });
    byId("export-markdown").addEventListener("click", () => actions.markdown(this.id));
    byId("export-json").addEventListener("click", () => actions.json(this.id));
    byId("delete-conversation").addEventListener("click", () => {
      this.dialog.close();
      actions.remove(this.id);
    });
  }

  open(id, title) {
    this.id = id;
    this.form.elements.title.value = title;
    openDialog("conversation-dialog");
    this.form.elements.title.select();
  }
}

const isMac = /Mac|iPhone|iPad/.test(navigator.platform ?? "");

export function drawShortcuts() {
  const alt = isMac ? "⌥" : "Alt";
  const rows = [
    [["Enter"], "keySend"],
    [["Shift", "Enter"], "keyNewline"],
    [["Esc"], "keyStop"],
    [["↑"], "keyEditLast"],
    [[alt, "N"], "newConversation"],
    [[alt, "C"], "conversations"],
    [[alt, "M"], "keyModel"],
    [[alt, ","], "settings"],
    [[alt, "/"], "shortcuts"],
    [["←", "→"], "keyTokens"],
  ];
  byId("shortcuts-body").replaceChildren(
    el(
      "dl",
      { class: "keys" },
      rows.map(([keys, words]) =>
        el(
          "div",
          {},
          el(
            "dt",
            {},
            keys.flatMap((key, index) => [
              index > 0 && keys[0] !== "←" ? " + " : index > 0 ? " " : "",
              el("kbd", {}, key),
            ]),
          ),
          el("dd", {}, t(words)),
        ),
      ),
    ),
  );
}
