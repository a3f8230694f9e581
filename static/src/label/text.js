// One free answer: written anew, or corrected with the difference from the original in sight.
import { h, replace } from "../lib/dom.js";
import { difference } from "../lib/diff.js";
import { t } from "../lib/i18n.js";
import { Field, proposal } from "./field.js";
import { sourceText } from "./record.js";

export class TextField extends Field {
  constructor(definition, changed, context) {
    super(definition, changed, context);
    this.original = "";
    const { placeholder, rows, source } = definition;
    this.covers = source ? [source] : [];
    this.keys = [{ keys: ["Esc"], label: t("label.key_leave") }];
    this.area = h("textarea.form-control", { rows: String(rows ?? 4), placeholder: placeholder || t("label.write"), "aria-label": this.title });
    this.area.addEventListener("input", () => {
      this.show();
      this.touch();
    });
    this.change = h("div.text-change.prewrap", { "aria-live": "off" });
    this.restore = h("button.btn.btn-sm.btn-ghost-secondary", { type: "button", onclick: () => this.goBack() }, t("label.original"));
    this.note = h("span.text-secondary");
    this.element = this.frame(this.area, h("div.text-foot", {}, this.note, this.restore), this.change);
  }

  goBack() {
    this.value = this.original;
    this.touch();
    this.area.focus();
  }

  start(data) {
    const { source } = this.definition;
    this.original = source?.startsWith("annotations.") ? (proposal(data, this.definition) ?? "") : sourceText(data, source);
    this.value = this.original;
  }

  show() {
    const text = this.area.value;
    this.area.style.height = "auto";
    this.area.style.height = `${Math.min(480, this.area.scrollHeight + 2)}px`;
    this.note.textContent = t("label.characters", { count: [...text].length });
    const isChanged = this.original !== "" && text !== this.original;
    this.restore.hidden = !isChanged;
    this.change.hidden = !isChanged;
    if (isChanged) replace(this.change, difference(this.original, text).map(([kind, part]) => (kind === "same" ? part : h(kind === "new" ? "ins" : "del", {}, part))));
  }

  focus() {
    this.area.focus({ preventScroll: true });
    this.area.setSelectionRange(this.area.value.length, this.area.value.length);
  }

  get value() {
    return this.area.value;
  }

  set value(text) {
    this.area.value = text ?? "";
    this.show();
  }

  get isEmpty() {
    return this.area.value.trim() === "";
  }
}
