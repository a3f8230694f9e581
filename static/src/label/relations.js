// How marked parts of a text belong together: from one span to another, with a label; a list, and arcs over the text.
import { h, replace } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { Arcs } from "./arcs.js";
import { paint } from "./colours.js";
import { proposal } from "./field.js";
import { MarksField } from "./marks.js";

const keyOf = (one) => JSON.stringify([one.from, one.to, one.label]);

export class RelationsField extends MarksField {
  constructor(definition, changed, context) {
    super(definition, changed, context);
    this.spans = context.fieldNamed(definition.spans);
    this.ends = [];
    this.cursor = 0;
    this.keys = [
      { keys: ["←", "→"], label: t("tool.key_span") },
      { keys: ["Enter"], label: t("tool.key_from_to") },
      ...this.markKeys,
    ];
    this.chips = h("div.relation-spans", { role: "group", "aria-label": t("tool.marked_parts") });
    this.said = h("p.form-hint", { role: "status" });
    this.element = this.frame(this.chips, this.said, this.palette, this.count, this.list);
    this.spans?.watchers?.add(() => this.onSpans());
    if (!this.spans?.painters) return;
    this.arcs = new Arcs(this.spans.stage, (id) => this.choose(id));
    this.paintArcs = () => this.drawArcs();
    this.spans.painters.add(this.paintArcs);
  }

  leave() {
    super.leave();
    this.spans?.painters?.delete(this.paintArcs);
    this.arcs?.leave();
  }

  start(data) {
    this.ends = [];
    this.cursor = 0;
    this.value = proposal(data, this.definition);
  }

  get available() {
    return this.spans?.sorted ?? [];
  }

  /** Relations of spans that are gone go too. */
  onSpans() {
    const known = new Set(this.available.map((span) => span.id));
    this.marks = this.marks.filter((one) => known.has(one.from) && known.has(one.to));
    this.ends = this.ends.filter((id) => known.has(id));
    this.draw();
  }

  drawStage() {
    const spans = this.available;
    this.cursor = Math.max(0, Math.min(this.cursor, spans.length - 1));
    const hadFocus = this.chips.contains(document.activeElement);
    replace(this.chips, spans.map((span, at) => {
      const place = this.ends.indexOf(span.id);
      const role = place < 0 ? "" : place === 0 ? t("tool.from") : t("tool.to");
      const chip = h(`button.relation-span${at === this.cursor ? ".is-cursor" : ""}${place >= 0 ? ".is-chosen" : ""}`, { type: "button", tabIndex: at === this.cursor ? 0 : -1, "aria-pressed": String(place >= 0), dataset: { span: span.id }, onclick: () => this.pick(span.id, at) }, role && h("small", {}, role), this.spans.describe(span));
      return paint(chip, this.spans.colourFor(span.label));
    }));
    this.said.textContent = spans.length < 2 ? t("tool.mark_two") : [t("tool.pick_from"), t("tool.pick_to"), t("tool.pick_relation")][this.ends.length];
    if (hadFocus) this.focus();
    this.drawArcs();
  }

  drawArcs() {
    const drawn = this.marks.map(({ id, from, to, label }) => ({ id, from: this.spans.boxes.get(from), to: this.spans.boxes.get(to), title: this.labelNamed(label).title, colour: this.colourFor(label), isSelected: id === this.selected }));
    this.arcs?.draw(drawn.filter(({ from, to }) => from && to));
  }

  pick(id, at) {
    this.cursor = at;
    this.selected = null;
    if (this.ends.includes(id)) this.ends = this.ends.filter((one) => one !== id);
    else this.ends = this.ends.length > 1 ? [id] : [...this.ends, id];
    if (this.ends.length === 2 && this.labels.length === 1) this.onLabel(this.labels[0].value);
    else this.draw();
  }

  onLabel(label) {
    if (this.ends.length < 2) return;
    const [from, to] = this.ends;
    this.ends = [];
    const made = { id: keyOf({ from, to, label }), from, to, label };
    if (this.marks.some((one) => one.id === made.id)) this.draw();
    else this.commit(() => this.marks.push(made));
  }

  describe({ from, to }) {
    const words = (id) => this.spans.describe(this.available.find((span) => span.id === id));
    return `${words(from)} → ${words(to)}`;
  }

  onToolKey(key) {
    const spans = this.available;
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[key];
    if (step && spans.length && !this.selected) {
      this.cursor = (this.cursor + step + spans.length) % spans.length;
      this.draw();
      this.focus();
    } else if ((key === "Enter" || key === " ") && spans[this.cursor]) {
      this.pick(spans[this.cursor].id, this.cursor);
    } else {
      return false;
    }
    return true;
  }

  focus() {
    this.chips.querySelector(".is-cursor")?.focus({ preventScroll: true });
  }

  get value() {
    return this.marks.map(({ from, to, label }) => ({ from, to, label }));
  }

  set value(given) {
    const known = new Set(this.available.map((span) => span.id));
    this.load((given ?? []).filter((one) => known.has(one.from) && known.has(one.to)).map((one) => ({ id: keyOf(one), from: one.from, to: one.to, label: one.label })));
  }
}
