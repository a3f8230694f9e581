// Two answers beside each other: which one is better?
import { h, replace } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { Field, proposal } from "./field.js";
import { responseBody, responseLetter, responsesOf } from "./responses.js";

const KEYS = { a: ["1", "a", "ArrowLeft"], b: ["2", "b", "ArrowRight"], tie: ["3", "=", "t"], both_bad: ["4", "0", "x"] };
const words = () => ({ a: t("tool.better_a"), b: t("tool.better_b"), tie: t("tool.tie"), both_bad: t("tool.both_bad") });

export class PairwiseField extends Field {
  constructor(definition, changed, context) {
    super(definition, changed, context);
    this.options = (definition.options ?? Object.keys(KEYS)).filter((option) => option in KEYS);
    this.covers = ["responses"];
    this.chosen = null;
    this.pair = [];
    const said = words();
    const arrows = { a: "←", b: "→" };
    this.keys = this.options.map((option) => ({ keys: [KEYS[option][0], arrows[option] ?? KEYS[option][1]], label: said[option] }));
    this.stage = h("div.pair");
    this.list = h("div.choice-list", { role: "radiogroup", "aria-label": this.title });
    this.element = this.frame(this.list);
    this.show();
  }

  start(data) {
    this.pair = responsesOf(data, this.definition).slice(0, 2);
    this.value = proposal(data, this.definition);
  }

  show() {
    const said = words();
    replace(this.list, this.options.map((option) => {
      const isChosen = option === this.chosen;
      return h(`button.choice${isChosen ? ".is-chosen" : ""}`, { type: "button", role: "radio", "aria-checked": String(isChosen), dataset: { value: option }, onclick: () => this.pick(option) }, h("kbd", {}, KEYS[option][0]), h("span", {}, said[option]));
    }));
    replace(this.stage, this.pair.length < 2 ? h("p.text-secondary.m-0", {}, t("tool.no_pair")) : this.pair.map((one, at) => {
      const wins = this.chosen === ["a", "b"][at];
      return h(`article.response${wins ? ".is-best" : ""}`, { tabIndex: 0, "aria-label": t("tool.answer_letter", { letter: one.letter }) }, responseLetter(one), responseBody(one));
    }));
  }

  pick(option) {
    this.chosen = option;
    this.show();
    this.touch();
  }

  onKey(key) {
    const option = this.options.find((one) => KEYS[one].includes(key));
    if (!option) return false;
    this.pick(option);
    return true;
  }

  get value() {
    return this.chosen;
  }

  set value(given) {
    this.chosen = this.options.includes(given) ? given : null;
    this.show();
  }
}
