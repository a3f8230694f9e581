// What an agent did, step by step, with a verdict on each step.
import { h, replace } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { Field, placeOf, proposal, valueAt } from "./field.js";
import { message } from "./record.js";

const usual = () => [
  { value: "right", label: t("tool.right") },
  { value: "wrong", label: t("tool.wrong") },
  { value: "unneeded", label: t("tool.unneeded") },
];

export class TraceField extends Field {
  constructor(definition, changed, context) {
    super(definition, changed, context);
    const names = new Map(usual().map((one) => [one.value, one.label]));
    const verdicts = definition.verdicts?.length ? definition.verdicts : usual();
    this.verdicts = verdicts.map((one, at) => ({ ...one, label: one.label || names.get(one.value) || one.value, key: one.hotkey || String(at + 1) }));
    this.covers = ["messages"];
    this.messages = [];
    this.steps = [];
    this.given = new Map();
    this.at = 0;
    this.keys = [
      { keys: this.verdicts.map((one) => one.key), label: t("tool.key_verdict") },
      { keys: ["↑", "↓"], label: t("tool.key_step") },
      { keys: ["n"], label: t("tool.key_note") },
      { keys: ["Delete"], label: t("tool.key_clear") },
    ];
    this.stage = h("div.trace.turn-cards");
    this.note = h("p.text-secondary.m-0", { role: "status" });
    this.element = this.frame(this.note);
  }

  start(data) {
    const found = valueAt(data, placeOf(this.definition, "messages"));
    this.messages = Array.isArray(found) ? found : [];
    const ofAgent = this.messages.map((turn, index) => ({ turn, index })).filter(({ turn }) => turn.role === "assistant");
    const calls = ofAgent.filter(({ turn }) => turn.tool_calls?.length);
    this.steps = (calls.length ? calls : ofAgent).map(({ index }) => index);
    this.value = proposal(data, this.definition);
  }

  draw() {
    this.cards = new Map();
    replace(this.stage, this.messages.map((turn, index) => {
      if (!this.steps.includes(index)) return message(turn);
      const card = this.stepCard(turn, index);
      this.cards.set(index, card);
      return card.element;
    }), this.messages.length === 0 && h("p.text-secondary.m-0", {}, t("tool.no_turns")));
    this.mark(this.at);
  }

  stepCard(turn, index) {
    const number = this.steps.indexOf(index) + 1;
    const verdicts = h("div.verdicts", { role: "radiogroup", "aria-label": t("tool.verdict_on", { number }) });
    const note = h("input.form-control.form-control-sm", { type: "text", placeholder: t("tool.note"), "aria-label": t("tool.note_on", { number }), maxlength: "2000" });
    note.value = this.given.get(index)?.note ?? "";
    note.addEventListener("input", () => this.say(index, { note: note.value }));
    note.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) note.blur();
    });
    const element = h("section.trace-step", { tabIndex: -1, "aria-label": t("tool.step_number", { number }), dataset: { step: index } }, h("span.trace-number", { "aria-hidden": "true" }, String(number)), message(turn), verdicts, note);
    element.addEventListener("focusin", () => this.mark(this.steps.indexOf(index)));
    const card = { element, note, show: () => {
      const chosen = this.given.get(index)?.verdict;
      note.hidden = !chosen;
      element.dataset.verdict = chosen ?? "";
      replace(verdicts, this.verdicts.map((one) => h(`button.choice.is-small${one.value === chosen ? ".is-chosen" : ""}`, { type: "button", tabIndex: -1, role: "radio", "aria-checked": String(one.value === chosen), onclick: () => this.judge(index, one.value) }, h("kbd", {}, one.key), h("span", {}, one.label))));
    } };
    card.show();
    return card;
  }

  say(index, words) {
    this.given.set(index, { ...this.given.get(index), ...words });
    this.count();
    this.touch();
  }

  judge(index, verdict) {
    this.say(index, { verdict });
    this.cards.get(index).show();
  }

  count() {
    const done = this.steps.filter((index) => this.given.get(index)?.verdict).length;
    this.note.textContent = t("tool.judged", { count: done, total: this.steps.length });
  }

  mark(at) {
    this.at = Math.max(0, Math.min(at, this.steps.length - 1));
    for (const [index, card] of this.cards) {
      const isCursor = index === this.steps[this.at];
      card.element.classList.toggle("is-cursor", isCursor);
      card.element.tabIndex = isCursor ? 0 : -1;
    }
    this.count();
  }

  go(at) {
    this.mark(at);
    const card = this.cards.get(this.steps[this.at]);
    card?.element.focus({ preventScroll: true });
    card?.element.scrollIntoView({ block: "nearest" });
  }

  onKey(key) {
    const index = this.steps[this.at];
    if (index === undefined) return false;
    const verdict = this.verdicts.find((one) => one.key === key);
    if (verdict) {
      this.judge(index, verdict.value);
      this.go(this.at + 1);
    } else if (key === "ArrowDown" || key === "ArrowUp") {
      this.go(this.at + (key === "ArrowDown" ? 1 : -1));
    } else if (key === "n" && this.given.get(index)?.verdict) {
      this.cards.get(index).note.focus();
    } else if (key === "Delete" || key === "Backspace") {
      this.given.delete(index);
      this.cards.get(index).note.value = "";
      this.cards.get(index).show();
      this.count();
      this.touch();
    } else {
      return false;
    }
    return true;
  }

  focus() {
    this.go(this.at);
  }

  get problem() {
    if (!this.definition.required || this.isEmpty) return "";
    const open = this.steps.findIndex((index) => !this.given.get(index)?.verdict);
    if (open < 0) return "";
    this.mark(open);
    return t("tool.unjudged");
  }

  get value() {
    return this.steps.filter((index) => this.given.get(index)?.verdict).map((index) => {
      const { verdict, note } = this.given.get(index);
      return { index, verdict, ...(note?.trim() ? { note } : {}) };
    });
  }

  set value(given) {
    this.given = new Map((given ?? []).map(({ index, verdict, note }) => [index, { verdict, note }]));
    this.at = 0;
    this.draw();
  }
}
