// What all questions have in common: the frame around them, where their answer begins, and the shape of the answer.
import { h } from "../lib/dom.js";

/** What the record brought for a question: `annotations.<q>` is an answer as it is stored. */
export function proposal(data, { source, type }) {
  if (!source?.startsWith("annotations.")) return null;
  const found = data.annotations?.find((one) => one.q === source.slice("annotations.".length) && one.type === type);
  return found ? structuredClone(found.value) : null;
}

/** Where in the record the thing to judge stands; `annotations.<q>` names a proposal, so the usual place counts then. */
export const placeOf = ({ source }, usual) => (source && !source.startsWith("annotations.") ? source : usual);

/** What a dotted path of the record holds ("responses", "extra.answers"). */
export const valueAt = (data, path) => path.split(".").reduce((part, key) => part?.[key], data);

/**
 * A question. A kind of question sets `element` (and `stage`, when it needs the wide side of the page), keeps its answer
 * in `value`, and calls `touch()` when the person has changed it. `covers`: parts of the record it shows itself.
 */
export class Field {
  constructor(definition, changed, context = {}) {
    this.definition = definition;
    this.context = context;
    this.touch = () => changed(this);
    this.stage = null;
    this.covers = [];
    this.keys = [];
  }

  frame(...content) {
    const { name, label, help, required } = this.definition;
    const legend = h(`legend${required ? ".required" : ""}`, {}, label || name);
    return h("fieldset.label-field", { dataset: { field: name } }, legend, help && h("p.label-help", {}, help), content, h("div.invalid-feedback"));
  }

  get title() {
    return this.definition.label || this.definition.name;
  }

  /** A new record: begin with what it proposes. */
  start(data) {
    this.value = proposal(data, this.definition);
  }

  /** Whether a key that was pressed outside a text field meant something here. */
  onKey() {
    return false;
  }

  focus() {}

  leave() {}

  /** A sentence when the answer cannot be submitted as it is. */
  get problem() {
    return "";
  }

  get isEmpty() {
    const { value } = this;
    return value === null || value === undefined || value === "" || (Array.isArray(value) && value.length === 0);
  }

  entry() {
    return { q: this.definition.name, type: this.definition.type, value: this.value };
  }
}
