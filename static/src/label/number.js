// A figure within limits.
import { h } from "../lib/dom.js";
import { formatNumber, t } from "../lib/i18n.js";
import { Field } from "./field.js";

export class NumberField extends Field {
  constructor(definition, changed, context) {
    super(definition, changed, context);
    const { min, max, step } = definition;
    const given = Object.fromEntries(Object.entries({ min, max }).filter(([, value]) => value !== undefined && value !== null).map(([name, value]) => [name, String(value)]));
    this.input = h("input.form-control", { type: "number", inputmode: "decimal", step: step ? String(step) : "any", ...given, "aria-label": this.title });
    this.input.addEventListener("input", () => this.touch());
    this.element = this.frame(this.input, this.limits && h("div.form-hint", {}, this.limits));
  }

  get limits() {
    const { min, max } = this.definition;
    if (Number.isFinite(min) && Number.isFinite(max)) return t("tool.between", { min: formatNumber(min), max: formatNumber(max) });
    if (Number.isFinite(min)) return t("tool.at_least", { min: formatNumber(min) });
    return Number.isFinite(max) ? t("tool.at_most", { max: formatNumber(max) }) : "";
  }

  focus() {
    this.input.focus({ preventScroll: true });
    this.input.select();
  }

  get problem() {
    const { validity } = this.input;
    if (validity.badInput) return t("tool.no_number");
    if (validity.rangeUnderflow || validity.rangeOverflow) return this.limits;
    return validity.stepMismatch ? t("tool.step", { step: formatNumber(this.definition.step) }) : "";
  }

  get value() {
    return this.input.value === "" ? null : this.input.valueAsNumber;
  }

  set value(given) {
    this.input.value = typeof given === "number" ? String(given) : "";
  }
}
