// Each answer rated on several scales; digits fill the scales one after the other.
import { h, replace } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { Field } from "./field.js";
import { responseBody, responseLetter, responsesOf } from "./responses.js";
import { Scale } from "./scale.js";

export class ResponseRatingField extends Field {
  constructor(definition, changed, context) {
    super(definition, changed, context);
    this.dimensions = definition.dimensions?.length ? definition.dimensions : [{ name: "rating", min: 1, max: 5 }];
    this.covers = ["responses"];
    this.responses = [];
    this.cells = [];
    this.at = 0;
    this.keys = [
      { keys: ["1 – 9"], label: t("tool.key_rate_next") },
      { keys: ["↑", "↓"], label: t("tool.key_cell") },
      { keys: ["Delete"], label: t("tool.key_clear") },
    ];
    this.stage = h("div.rated-responses");
    this.note = h("p.text-secondary.m-0", { "aria-live": "polite" });
    this.element = this.frame(this.note);
  }

  start(data) {
    this.responses = responsesOf(data, this.definition);
    this.build();
    super.start(data);
  }

  build() {
    this.cells = [];
    replace(this.stage, this.responses.length === 0 && h("p.text-secondary.m-0", {}, t("tool.no_responses")), this.responses.map((one) => {
      const scales = this.dimensions.map((dimension) => {
        const name = dimension.label || dimension.name;
        const cell = { response: one.id, dimension: dimension.name };
        cell.scale = new Scale({ low: dimension.min ?? 1, high: dimension.max ?? 5, title: `${t("tool.answer_letter", { letter: one.letter })}: ${name}`, pick: () => this.picked(cell) });
        cell.row = h("div.rating-row", {}, h("span.rating-name", {}, name), cell.scale.element);
        cell.row.addEventListener("focusin", () => this.mark(this.cells.indexOf(cell)));
        this.cells.push(cell);
        return cell.row;
      });
      return h("article.response.is-rated", {}, responseLetter(one), responseBody(one), h("div.rating-rows", {}, scales));
    }));
    this.mark(0);
  }

  mark(at) {
    this.at = Math.max(0, Math.min(at, this.cells.length - 1));
    this.cells.forEach((cell, index) => cell.row.classList.toggle("is-cursor", index === this.at));
    const rated = this.cells.filter((cell) => cell.scale.chosen !== null).length;
    this.note.textContent = t("tool.rated", { count: rated, total: this.cells.length });
  }

  picked(cell) {
    this.mark(this.cells.indexOf(cell));
    this.touch();
  }

  onKey(key) {
    const cell = this.cells[this.at];
    if (!cell) return false;
    const number = cell.scale.numberOf(key);
    if (number !== null) {
      cell.scale.choose(number);
      this.go(this.at + 1);
    } else if (key === "ArrowDown" || key === "ArrowUp") {
      this.go(this.at + (key === "ArrowDown" ? 1 : -1));
    } else if (key === "Delete" || key === "Backspace") {
      cell.scale.chosen = null;
      cell.scale.show();
      this.picked(cell);
    } else {
      return false;
    }
    return true;
  }

  go(at) {
    this.mark(at);
    this.cells[this.at].row.scrollIntoView({ block: "nearest" });
  }

  /** Where every answer must be rated, none may be left out. */
  get problem() {
    const open = this.cells.find((cell) => cell.scale.chosen === null);
    if (!open || this.isEmpty || !this.definition.required) return "";
    this.go(this.cells.indexOf(open));
    return t("tool.unrated");
  }

  get value() {
    const rated = {};
    for (const { response, dimension, scale } of this.cells) {
      if (scale.chosen !== null) (rated[response] ??= {})[dimension] = scale.chosen;
    }
    return rated;
  }

  set value(given) {
    for (const cell of this.cells) {
      const number = given?.[cell.response]?.[cell.dimension];
      cell.scale.chosen = typeof number === "number" ? number : null;
      cell.scale.show();
    }
    this.mark(0);
  }

  get isEmpty() {
    return this.cells.every((cell) => cell.scale.chosen === null);
  }
}
