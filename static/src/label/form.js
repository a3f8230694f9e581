// The questions of a schema over one record: which are shown, which one keys act on, what is missing, and the answers.
import { h, replace } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { showRecord, withAddresses } from "./record.js";
import { loadWidgets } from "./widgets.js";

const PRESSABLE = "button, a, summary, [role=button]";

const equal = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/** Whether an answer is one of those that a condition names. */
function holds(value, wanted) {
  const given = Array.isArray(value) ? value : [value];
  return (Array.isArray(wanted) ? wanted : [wanted]).some((one) => given.some((each) => equal(each, one)));
}

export class AnswerForm {
  /** `changed(field)`; `context` is handed to every question (addresses of the page, the workspace). */
  static async make(schema, options) {
    return new AnswerForm(schema, await loadWidgets(schema), options);
  }

  constructor(schema, widgets, { changed, context = {} }) {
    this.schema = schema;
    this.changed = changed;
    this.mediaUrl = context.mediaUrl;
    this.fields = [];
    const shared = { ...context, players: new Map(), fieldNamed: (name) => this.fields.find((field) => field.definition.name === name) };
    for (const definition of schema.fields) {
      this.fields.push(new widgets[definition.type](definition, (field) => this.onChange(field), shared));
    }
    this.record = h("section.label-record.card", { "aria-label": t("label.record"), tabIndex: -1 });
    this.stages = this.fields.map((field) => field.stage && h("section.label-stage.card", { "aria-label": field.title, dataset: { stage: field.definition.name } }, h("div.card-body", {}, field.stage)));
    this.left = h("div.label-left", {}, this.record, this.stages);
    this.questions = h("div.label-questions", {}, this.fields.map((field) => field.element));
    this.fields.forEach((field, at) => {
      for (const part of [field.element, this.stages[at]]) part?.addEventListener("focusin", () => this.mark(field));
    });
  }

  leave() {
    for (const field of this.fields) field.leave();
  }

  get hasStage() {
    return this.stages.some(Boolean);
  }

  /** Keys of all questions for the "?" sheet, each line once. */
  get keys() {
    const lines = new Map();
    for (const line of this.fields.flatMap((field) => field.keys ?? [])) lines.set(line.keys.join() + line.label, line);
    if (this.fields.length > 1) lines.set("[", { keys: ["]", "["], label: t("tool.key_question") });
    return [...lines.values()];
  }

  /** Show a record, with answers that were begun (or none). */
  start(record, kept = null) {
    const data = withAddresses(record, this.mediaUrl);
    for (const field of this.fields) {
      field.start(data);
      this.complain(field, "");
    }
    const shown = showRecord(data, new Set(this.fields.flatMap((field) => field.covers)));
    this.record.hidden = !shown;
    replace(this.record, shown && h("div.card-body", {}, shown));
    this.fill(kept);
  }

  /** Put answers in place; questions without one stay as they are. */
  fill(answers) {
    for (const field of this.fields) {
      const entry = Array.isArray(answers) ? answers.find((one) => one.q === field.definition.name) : null;
      if (entry) field.value = entry.value;
    }
    this.showWanted();
  }

  /** The likeliest choices by question; null: the order of the schema. */
  rank(ranked) {
    for (const field of this.fields) field.rank?.(ranked?.[field.definition.name]);
  }

  onChange(field) {
    this.mark(field);
    this.complain(field, "");
    this.showWanted();
    this.changed(field);
  }

  isWanted(field) {
    const { when } = field.definition;
    if (!when) return true;
    const at = this.fields.findIndex((one) => one.definition.name === when.field);
    return at >= 0 && at < this.fields.indexOf(field) && this.isWanted(this.fields[at]) && holds(this.fields[at].value, when.is);
  }

  get wanted() {
    return this.fields.filter((field) => this.isWanted(field));
  }

  showWanted() {
    this.fields.forEach((field, at) => {
      const hidden = !this.isWanted(field);
      field.element.hidden = hidden;
      if (this.stages[at]) this.stages[at].hidden = hidden;
    });
    if (this.active && !this.isWanted(this.active)) this.mark(this.wanted[0]);
  }

  /** The question that keys act on. */
  mark(field) {
    this.active = field;
    for (const one of this.fields) one.element.classList.toggle("is-active", one === field && this.wanted.length > 1);
  }

  activate(field = this.wanted[0]) {
    if (!field) return;
    this.mark(field);
    const focused = document.activeElement;
    if (focused instanceof HTMLElement && [this.left, this.questions].some((part) => part.contains(focused))) focused.blur();
    field.focus();
  }

  /** Go to the next or the previous question. */
  step(by) {
    const shown = this.wanted;
    const next = shown[(shown.indexOf(this.active) + by + shown.length) % shown.length];
    this.activate(next);
    next.element.scrollIntoView({ block: "nearest" });
  }

  complain(field, text) {
    const feedback = field.element.querySelector(".invalid-feedback");
    feedback.textContent = text;
    feedback.classList.toggle("d-block", text !== "");
  }

  value() {
    return this.wanted.filter((field) => !field.isEmpty).map((field) => field.entry());
  }

  /** True when everything is answered; else the first question that is not says so and gets the keys. */
  check() {
    const wrong = [];
    for (const field of this.wanted) {
      const text = field.problem || (field.definition.required && field.isEmpty ? t("label.required") : "");
      this.complain(field, text);
      if (text) wrong.push(field);
    }
    if (wrong.length) {
      this.activate(wrong[0]);
      wrong[0].element.scrollIntoView({ block: "nearest" });
    }
    return wrong.length === 0;
  }

  /** Whether a key pressed outside a text field meant something to a question: the active one first. */
  onKey(event) {
    const { key } = event;
    if (key === "]" || key === "[") {
      if (this.wanted.length < 2) return false;
      this.step(key === "]" ? 1 : -1);
      return true;
    }
    if ((key === "Enter" || key === " ") && event.target.closest?.(PRESSABLE)) return false;
    const shown = this.wanted;
    const order = this.active && shown.includes(this.active) ? [this.active, ...shown.filter((field) => field !== this.active)] : shown;
    const asked = key.length === 1 && key !== " " ? order : order.slice(0, 1);
    return asked.some((field) => field.onKey(key, event));
  }

  /** Keys with Ctrl, ⌘ or Alt outside text fields, for the active question. */
  onCommand(event) {
    return Boolean(this.active?.onCommand?.(event));
  }

  get search() {
    return this.wanted.find((field) => field.search)?.search;
  }
}
