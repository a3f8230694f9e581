// One question with choices, for one answer or several, made for the keyboard.
import { h, replace } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { colourOf, paint } from "./colours.js";
import { Field, proposal } from "./field.js";
import { sourceText } from "./record.js";

const LETTERS = "abcdefghijklmnopqrtvwxyz"; // without s (skip) and u (undo)
const MOST_KEYS = 9 + 12;

/** The key of each choice: its own, else 1–9, then letters; long lists are filtered by typing instead of letters. */
export function assignKeys(choices) {
  const taken = new Set(choices.map((choice) => choice.hotkey).filter(Boolean));
  const free = [..."123456789", ...(choices.length <= MOST_KEYS ? LETTERS : "")].filter((key) => !taken.has(key));
  return choices.map((choice) => ({ ...choice, label: choice.label || choice.value, key: choice.hotkey || free.shift() || "" }));
}

export class ChoiceField extends Field {
  constructor(definition, changed, context) {
    super(definition, changed, context);
    this.multiple = Boolean(definition.multiple);
    this.choices = assignKeys(definition.choices ?? []);
    this.byTyping = this.choices.length > MOST_KEYS;
    this.chosen = new Set();
    this.likely = [];
    this.keys = [{ keys: ["1 – 9"], label: t("label.key_choose") }, ...(this.choices.length > 9 ? [{ keys: ["/"], label: t("label.filter") }] : [])];
    this.cursor = -1;
    this.build();
    this.show();
  }

  build() {
    this.list = h("div.choice-list", { role: this.multiple ? "group" : "radiogroup", "aria-label": this.title });
    if (this.choices.length > 9) {
      this.search = h("input.form-control", { type: "search", placeholder: t("label.filter"), "aria-label": t("label.filter"), autocomplete: "off", spellcheck: "false" });
      this.search.addEventListener("input", () => {
        this.cursor = this.search.value ? 0 : -1;
        this.show();
      });
      this.search.addEventListener("keydown", (event) => this.onSearchKey(event));
    }
    this.element = this.frame(this.search, this.list);
  }

  get visible() {
    const typed = this.search?.value ?? "";
    const found = this.choices.filter((choice) => this.matches(choice, typed));
    return this.byTyping && this.likely.length && !typed ? [...this.likely, ...found.filter((choice) => !this.likely.includes(choice))] : found;
  }

  /** A long list begins with what a model holds likeliest, so that a digit picks it. */
  rank(values) {
    this.likely = (values ?? []).map((value) => this.choices.find((choice) => choice.value === value)).filter(Boolean);
    if (this.byTyping) this.show();
  }

  /** Every typed word is somewhere in the label or the value. */
  matches(choice, typed) {
    const text = `${choice.label} ${choice.value}`.toLowerCase();
    return typed.toLowerCase().split(/\s+/).filter(Boolean).every((word) => text.includes(word));
  }

  /** In a long list the digits pick what is on the screen, unless a label goes on with that digit. */
  keyOf(choice, at) {
    if (!this.byTyping) return choice.key;
    const digit = String(at + 1);
    if (at < this.likely.length && at < 9 && !this.search.value) return digit;
    return at < 9 && !this.choices.some((one) => this.matches(one, this.search.value + digit)) ? digit : "";
  }

  show() {
    const shown = this.visible;
    replace(
      this.list,
      shown.map((choice, at) => {
        const isChosen = this.chosen.has(choice.value);
        const key = this.keyOf(choice, at);
        const button = h(
          `button.choice${choice.color ? ".has-colour" : ""}${isChosen ? ".is-chosen" : ""}${at === this.cursor ? ".is-cursor" : ""}`,
          { type: "button", role: this.multiple ? "checkbox" : "radio", "aria-checked": String(isChosen), dataset: { value: choice.value }, onclick: () => this.pick(choice.value) },
          key && h("kbd", {}, key),
          h("span", {}, choice.label),
        );
        return choice.color ? paint(button, colourOf(choice, at)) : button;
      }),
      shown.length === 0 && h("p.text-secondary.m-0", {}, t("label.no_match")),
    );
    this.list.querySelector(".is-cursor")?.scrollIntoView({ block: "nearest" });
  }

  pick(value) {
    if (this.multiple) {
      if (!this.chosen.delete(value)) this.chosen.add(value);
    } else {
      this.chosen = new Set([value]);
    }
    if (this.search) this.search.value = "";
    this.cursor = -1;
    this.show();
    this.touch();
  }

  onSearchKey(event) {
    const shown = this.visible;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      this.cursor = Math.max(0, Math.min(shown.length - 1, this.cursor + step));
      this.show();
    } else if (event.key === "Enter" && !event.ctrlKey && !event.metaKey && this.cursor >= 0 && shown[this.cursor]) {
      event.preventDefault();
      this.pick(shown[this.cursor].value);
    } else if (event.key === "Escape") {
      this.search.value = "";
      this.cursor = -1;
      this.show();
      if (!this.byTyping) this.search.blur();
    } else if (this.byTyping && /^[1-9]$/.test(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey) {
      if (this.onKey(event.key)) event.preventDefault();
    }
  }

  /** Whether a key pressed outside a text field chose something here. */
  onKey(key) {
    const shown = this.visible;
    const match = shown.find((choice, at) => this.keyOf(choice, at) === key);
    if (match) this.pick(match.value);
    return Boolean(match);
  }

  focus() {
    if (this.byTyping && matchMedia("(pointer: fine)").matches) this.search.focus();
  }

  get value() {
    const chosen = this.choices.filter((choice) => this.chosen.has(choice.value)).map((choice) => choice.value);
    return this.multiple ? chosen : (chosen[0] ?? null);
  }

  set value(given) {
    if (this.search) this.search.value = "";
    this.cursor = -1;
    this.chosen = new Set([given].flat().filter((value) => value !== null && value !== undefined));
    this.show();
  }

  start(data) {
    const { source } = this.definition;
    this.value = source?.startsWith("annotations.") ? proposal(data, this.definition) : source ? sourceText(data, source) || null : null;
  }
}
