// Labelled parts of a text, marked with the mouse or with a cursor that goes from word to word. Offsets that leave this
// file are code points.
import { createTextAnnotator } from "@recogito/text-annotator";
import { h, replace } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { toast } from "../lib/toast.js";
import { paint } from "./colours.js";
import { placeOf, proposal } from "./field.js";
import { MarksField } from "./marks.js";
import { nextPlace, Offsets, wordsOf } from "./offsets.js";
import { sourceText } from "./record.js";

const SHOWN = 60;

// The annotator's own painter darkens text by blending and knows no names of labels: this file paints.
const unpainted = () => ({ destroy() {}, redraw() {}, setStyle() {}, setFilter() {}, setVisible() {}, on: () => () => {} });

export class SpansField extends MarksField {
  constructor(definition, changed, context) {
    super(definition, changed, context);
    this.place = placeOf(definition, "text");
    this.covers = [this.place];
    this.watchers = new Set();
    this.painters = new Set();
    this.boxes = new Map();
    this.offsets = new Offsets("");
    this.words = [];
    this.cursor = 0;
    this.anchor = 0;
    this.keys = [
      { keys: ["←", "→", "↑", "↓"], label: t("tool.key_word") },
      { keys: ["Shift ←", "Shift →"], label: t("tool.key_extend") },
      { keys: ["Shift ←", "Shift →", ",", "."], label: t("tool.key_span_edges") },
      ...this.markKeys,
    ];
    this.text = h("div.span-text.prewrap", { tabIndex: 0, role: "group", "aria-label": t("tool.text_to_mark") });
    this.caret = h("div.span-caret", { "aria-hidden": "true" });
    this.spoken = h("span.visually-hidden", { role: "status" });
    this.layer = h("div.span-layer", { "aria-hidden": "true" });
    this.missing = h("p.text-secondary.m-0", { hidden: true }, t("tool.no_text"));
    this.stage = h("div.span-stage", {}, this.missing, this.layer, this.text, this.caret, this.spoken);
    this.element = this.frame(this.palette, h("p.form-hint", {}, t("tool.span_hint")), this.count, this.list);
    this.text.addEventListener("focus", () => this.drawCaret());
    this.text.addEventListener("blur", () => this.drawCaret());
    this.resized = new ResizeObserver(() => {
      this.paintMarks();
      this.drawCaret();
    });
    this.resized.observe(this.stage);
  }

  leave() {
    super.leave();
    this.resized.disconnect();
    this.annotator?.destroy();
  }

  // --- the record ---

  start(data) {
    this.annotator?.destroy();
    this.offsets = new Offsets(sourceText(data, this.place));
    this.words = wordsOf(this.offsets.text);
    this.cursor = this.anchor = 0;
    this.text.textContent = this.offsets.text;
    this.missing.hidden = this.offsets.text !== "";
    this.annotator = createTextAnnotator(this.text, { renderer: unpainted });
    this.text.tabIndex = 0;
    this.annotator.on("createAnnotation", (made) => this.onMouseSelection(made));
    this.annotator.on("selectionChanged", ([chosen]) => {
      if (chosen && this.marks.some((mark) => mark.id === chosen.id) && chosen.id !== this.selected) this.select(chosen.id);
    });
    this.value = proposal(data, this.definition);
  }

  get value() {
    return this.sorted.map(({ id, start, end, label }) => ({ id, start, end, label, text: this.offsets.slice(start, end) }));
  }

  set value(given) {
    const length = this.offsets.units.length - 1;
    const fits = (span) => Number.isInteger(span.start) && Number.isInteger(span.end) && span.start < span.end && span.end <= length;
    this.load((given ?? []).filter(fits).map(({ id, start, end, label }) => ({ id: id ?? this.newId(), start, end, label })));
  }

  get sorted() {
    return [...this.marks].sort((one, other) => one.start - other.start || one.end - other.end);
  }

  // --- the picture ---

  /** How many marks lie around this one: outer marks are underlined lower. */
  depthOf(mark) {
    return this.marks.filter((one) => one !== mark && one.start < mark.end && one.end > mark.start && (one.end - one.start > mark.end - mark.start || (one.end - one.start === mark.end - mark.start && this.marks.indexOf(one) < this.marks.indexOf(mark)))).length;
  }

  paintMarks() {
    const home = this.stage.getBoundingClientRect();
    this.boxes.clear();
    replace(this.layer, this.sorted.map((mark) => {
      const rects = this.rects([this.offsets.toUnits(mark.start), this.offsets.toUnits(mark.end)]).filter((rect) => rect.width > 0);
      if (rects.length) this.boxes.set(mark.id, { left: rects[0].left - home.left, top: rects[0].top - home.top, width: rects[0].width, height: rects[0].height });
      return rects.map((rect, at) => {
        const piece = paint(h(`span.span-mark${mark.id === this.selected ? ".is-selected" : ""}`, { dataset: { mark: mark.id, label: at === 0 ? this.labelNamed(mark.label).title : "" } }), this.colourFor(mark.label));
        Object.assign(piece.style, { left: `${rect.left - home.left}px`, top: `${rect.top - home.top}px`, width: `${rect.width}px`, height: `${rect.height}px` });
        piece.style.setProperty("--depth", this.depthOf(mark));
        return piece;
      });
    }));
    for (const paintOver of this.painters) paintOver();
  }

  drawStage() {
    if (!this.annotator) return;
    const shapes = this.marks.map(({ id, start, end }) => ({
      id,
      bodies: [],
      target: { annotation: id, selector: [{ quote: this.offsets.slice(start, end), start: this.offsets.toUnits(start), end: this.offsets.toUnits(end) }] },
    }));
    this.annotator.setAnnotations(shapes, true);
    this.paintMarks();
    this.drawCaret();
    for (const tell of this.watchers) tell();
  }

  describe({ start, end }) {
    const text = [...this.offsets.slice(start, end)];
    return text.length > SHOWN ? `${text.slice(0, SHOWN).join("")}…` : text.join("");
  }

  /** The selected words as [from, to] in UTF-16 units, or null without words. */
  get range() {
    if (!this.words.length) return null;
    const [first, last] = [Math.min(this.cursor, this.anchor), Math.max(this.cursor, this.anchor)];
    return [this.words[first][0], this.words[last][1]];
  }

  rects([from, to]) {
    const node = this.text.firstChild;
    if (!(node instanceof Text)) return [];
    const range = document.createRange();
    range.setStart(node, from);
    range.setEnd(node, to);
    return [...range.getClientRects()];
  }

  drawCaret() {
    const isOn = document.activeElement === this.text && this.range !== null;
    this.caret.replaceChildren();
    if (!isOn) return;
    const home = this.stage.getBoundingClientRect();
    for (const rect of this.rects(this.range)) {
      const box = h("span");
      Object.assign(box.style, { left: `${rect.left - home.left}px`, top: `${rect.top - home.top}px`, width: `${rect.width}px`, height: `${rect.height}px` });
      this.caret.append(box);
    }
    const marks = this.marksAt(...this.range).map((mark) => this.labelNamed(mark.label).title);
    this.spoken.textContent = [this.offsets.text.slice(...this.range), ...marks].join(", ");
  }

  marksAt(from, to) {
    const [start, end] = [this.offsets.toPoints(from), this.offsets.toPoints(to)];
    return this.marks.filter((mark) => mark.start < end && mark.end > start);
  }

  focus() {
    this.text.focus({ preventScroll: true });
  }

  // --- marking ---

  onMouseSelection(made) {
    const [selector] = made.target.selector;
    document.getSelection()?.removeAllRanges();
    if (this.marks.some((mark) => mark.id === made.id)) return;
    const quote = this.offsets.text.slice(selector.start, selector.end);
    const from = selector.start + quote.length - quote.trimStart().length;
    const to = selector.end - (quote.length - quote.trimEnd().length);
    if (from >= to || !this.add(from, to, this.label)) this.drawStage();
  }

  /** A span over UTF-16 units, or its end when it is there already; false when it may not be there. */
  add(from, to, label) {
    const [start, end] = [this.offsets.toPoints(from), this.offsets.toPoints(to)];
    if (!this.mayBe({ start, end })) return false;
    const here = this.marks.filter((mark) => mark.start === start && mark.end === end);
    const same = here.find((mark) => mark.label === label);
    this.commit(() => {
      if (same) this.marks = this.marks.filter((mark) => mark !== same);
      else if (here.length && !this.definition.overlap) here[0].label = label;
      else this.marks.push({ id: this.newId(), start, end, label });
    });
    return true;
  }

  /** Whether a span may stand there beside the others (but `self`). */
  mayBe({ start, end }, self = null) {
    if (this.definition.overlap) return true;
    const other = this.marks.find((mark) => mark.id !== self && mark.start < end && mark.end > start && !(self === null && mark.start === start && mark.end === end));
    if (other) toast(t("tool.no_overlap"), "warning");
    return !other;
  }

  /** Without a selected span a label's key marks the words under the cursor. */
  onLabel(value) {
    if (this.range && document.activeElement === this.text) this.add(...this.range, value);
  }

  remove(id) {
    super.remove(id);
    if (document.activeElement === document.body) this.focus();
  }

  // --- keys ---

  onToolKey(key, event) {
    if (this.selected && document.activeElement !== this.text) return this.onSpanKey(key, event);
    if (key === "Delete" || key === "Backspace") {
      const found = this.range && this.marksAt(...this.range).sort((one, other) => one.end - one.start - (other.end - other.start))[0];
      if (found) this.remove(found.id);
      return Boolean(found);
    }
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (!this.words.length || !(step || ["ArrowUp", "ArrowDown", "Home", "End"].includes(key))) return false;
    if (document.activeElement !== this.text) this.focus();
    const last = this.words.length - 1;
    if (step) this.cursor = Math.max(0, Math.min(last, this.cursor + step));
    else if (key === "Home" || key === "End") this.cursor = key === "Home" ? 0 : last;
    else this.cursor = this.wordBeyond(key === "ArrowDown" ? 1 : -1);
    if (!event?.shiftKey) this.anchor = this.cursor;
    if (this.selected) this.select(null);
    this.drawCaret();
    this.scrollToCaret();
    return true;
  }

  scrollToCaret() {
    this.caret.firstElementChild?.scrollIntoView({ block: "nearest" });
  }

  /** The word above or below the cursor. */
  wordBeyond(by) {
    const [here] = this.rects(this.words[this.cursor]);
    if (!here) return this.cursor;
    let best = this.cursor;
    let least = Infinity;
    for (let at = this.cursor + by; at >= 0 && at < this.words.length; at += by) {
      const [rect] = this.rects(this.words[at]);
      if (!rect || Math.abs(rect.top - here.top) < here.height / 2) continue;
      const distance = Math.abs(rect.top - here.top) * 1000 + Math.abs(rect.left - here.left);
      if (distance > least) break;
      least = distance;
      best = at;
    }
    return best;
  }

  /** The edges of the selected span, sign by sign. */
  onSpanKey(key, event) {
    const end = event?.shiftKey ? { ArrowRight: 1, ArrowLeft: -1 }[key] : undefined;
    const begin = { ",": -1, ".": 1 }[key];
    if (!end && !begin) return false;
    const { start: oldStart, end: oldEnd } = this.current;
    const move = (point, by) => this.offsets.toPoints(nextPlace(this.offsets.text, this.offsets.toUnits(point), by));
    const edges = { start: begin ? move(oldStart, begin) : oldStart, end: end ? move(oldEnd, end) : oldEnd };
    if (edges.start < edges.end && this.mayBe(edges, this.selected)) this.commit(() => Object.assign(this.current, edges));
    return true;
  }
}
