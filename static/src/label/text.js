// One free answer: written anew, or corrected with the difference from the original in sight.
import { h, replace } from "../lib/dom.js";
import { difference } from "../lib/diff.js";
import { t } from "../lib/i18n.js";

export class TextField {
  constructor(definition, changed) {
    this.definition = definition;
    this.changed = changed;
    this.original = "";
    const { name, label, required, placeholder } = definition;
    this.area = h("textarea.form-control", { rows: "4", placeholder: placeholder || t("label.write"), "aria-label": label || name });
    this.area.addEventListener("input", () => {
      this.show();
      changed(this);
    });
    this.change = h("div.text-change.prewrap", { "aria-live": "off" });
    this.restore = h("button.btn.btn-sm.btn-ghost-secondary", { type: "button", onclick: () => this.goBack() }, t("label.original"));
    this.note = h("span.text-secondary");
    this.element = h("fieldset.label-field", {}, h(`legend${required ? ".required" : ""}`, {}, label || name), this.area, h("div.text-foot", {}, this.note, this.restore), this.change, h("div.invalid-feedback"));
  }

  goBack() {
    this.value = this.original;
    this.changed(this);
    this.area.focus();
  }

  start(original) {
    this.original = original;
    this.value = original;
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

  onKey() {
    return false;
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

  entry() {
    return { q: this.definition.name, type: "text", value: this.value };
  }
}
