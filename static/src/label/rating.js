// One number on a short scale.
import { t } from "../lib/i18n.js";
import { Field } from "./field.js";
import { Scale } from "./scale.js";

export class RatingField extends Field {
  constructor(definition, changed, context) {
    super(definition, changed, context);
    this.scale = new Scale({ low: definition.min ?? 1, high: definition.max ?? 5, labels: definition.labels, title: this.title, pick: () => this.touch() });
    this.keys = [{ keys: [`${this.scale.low} – ${this.scale.high === 10 ? 0 : this.scale.high}`], label: t("tool.key_rate") }];
    this.element = this.frame(this.scale.element);
  }

  onKey(key) {
    const number = this.scale.numberOf(key);
    if (number === null) return false;
    this.scale.choose(number);
    return true;
  }

  get value() {
    return this.scale.chosen;
  }

  set value(given) {
    this.scale.chosen = typeof given === "number" ? given : null;
    this.scale.show();
  }
}
