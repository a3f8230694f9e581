// What tools that put labelled marks on something share: the labels, the list of marks, keys, and undo.
import "./marks.css";
import { h, replace, uuid } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { icon } from "../lib/icons.js";
import { colourOf, paint, whenThemeChanges } from "./colours.js";
import { Field } from "./field.js";

const MOST_STATES = 200;

/** The key of each label: its own, else 1–9. */
function withKeys(labels) {
  const taken = new Set(labels.map((label) => label.hotkey).filter(Boolean));
  const free = [..."123456789"].filter((key) => !taken.has(key));
  return labels.map((label, at) => ({ ...label, at, title: label.label || label.value, key: label.hotkey || free.shift() || "" }));
}

export class MarksField extends Field {
  constructor(definition, changed, context) {
    super(definition, changed, context);
    this.labels = withKeys(definition.labels ?? []);
    this.label = this.labels[0]?.value ?? null;
    this.marks = [];
    this.selected = null;
    this.past = [];
    this.future = [];
    this.rows = new Map();
    this.palette = h("div.mark-labels", { role: "radiogroup", "aria-label": t("tool.labels") });
    this.list = h("ol.mark-list");
    this.count = h("p.mark-count", { role: "status" });
    this.forgetTheme = whenThemeChanges(() => this.draw());
  }

  /** Lines of "?" that all these tools have. */
  get markKeys() {
    return [
      ...(this.labels.length ? [{ keys: this.labels.length > 1 ? ["1 – 9"] : ["1"], label: t("tool.key_label") }] : []),
      { keys: ["j", "k"], label: t("tool.key_next_mark") },
      { keys: ["Delete"], label: t("tool.key_delete_mark") },
      { keys: ["Ctrl Z", "Ctrl Shift Z"], label: t("tool.key_history") },
    ];
  }

  leave() {
    this.forgetTheme();
  }

  newId() {
    return uuid().slice(0, 8);
  }

  get current() {
    return this.marks.find((mark) => mark.id === this.selected) ?? null;
  }

  labelNamed(value) {
    return this.labels.find((label) => label.value === value) ?? { value, title: value ?? "", at: this.labels.length };
  }

  colourFor(value) {
    const label = this.labelNamed(value);
    return colourOf(label, label.at);
  }

  // --- changes ---

  /** Change the marks, show it, tell the page. */
  commit(change) {
    this.past.push(structuredClone(this.marks));
    if (this.past.length > MOST_STATES) this.past.shift();
    this.future = [];
    change();
    this.draw();
    this.touch();
  }

  travel(from, to) {
    if (!from.length) return;
    to.push(this.marks);
    this.marks = from.pop();
    if (!this.current) this.selected = null;
    this.draw();
    this.touch();
  }

  /** Begin with these marks, without a past. */
  load(marks) {
    this.marks = marks;
    this.selected = null;
    this.past = [];
    this.future = [];
    this.draw();
  }

  select(id) {
    this.selected = id;
    this.draw();
    this.list.querySelector(".is-selected")?.scrollIntoView({ block: "nearest" });
  }

  remove(id) {
    const at = this.sorted.findIndex((mark) => mark.id === id);
    this.commit(() => {
      this.marks = this.marks.filter((mark) => mark.id !== id);
      this.selected = null;
    });
    const next = this.sorted[Math.min(at, this.marks.length - 1)];
    if (next && this.list.contains(document.activeElement)) this.choose(next.id);
  }

  /** Select a mark of the list and give it the keyboard. */
  choose(id) {
    this.select(id);
    this.list.querySelector(".is-selected .mark")?.focus({ preventScroll: true });
  }

  /** A label was chosen: the selected mark gets it, or the next one will. */
  useLabel(value) {
    this.label = value;
    if (this.current && this.current.label !== value) this.commit(() => (this.current.label = value));
    else if (!this.current) this.onLabel(value);
    this.drawLabels();
  }

  onLabel() {}

  /** The marks in the order of the list. */
  get sorted() {
    return this.marks;
  }

  // --- the list ---

  draw() {
    this.drawLabels();
    this.drawList();
    this.drawStage();
  }

  drawStage() {}

  drawLabels() {
    const chosen = this.current?.label ?? this.label;
    replace(this.palette, this.labels.map((label) => {
      const isChosen = label.value === chosen;
      return paint(h(`button.mark-label${isChosen ? ".is-chosen" : ""}`, { type: "button", role: "radio", "aria-checked": String(isChosen), dataset: { value: label.value }, onclick: () => this.useLabel(label.value) }, label.key && h("kbd", {}, label.key), h("span", {}, label.title)), this.colourFor(label.value));
    }));
  }

  /** Rows are kept and say what is new, so that a change costs one row and the focus stays. */
  drawList() {
    const focused = this.list.contains(document.activeElement) ? document.activeElement.closest("li")?.dataset.id : null;
    this.count.textContent = this.marks.length ? t("tool.marks", { count: this.marks.length }) : t("tool.no_marks");
    const before = this.rows;
    this.rows = new Map(this.sorted.map((mark) => [mark.id, before.get(mark.id) ?? this.row(mark.id)]));
    for (const mark of this.marks) this.rows.get(mark.id).say(mark);
    const order = [...this.rows.keys()];
    if (order.length === this.list.children.length && order.every((id, at) => this.list.children[at].dataset.id === id)) return;
    replace(this.list, [...this.rows.values()].map((row) => row.element));
    if (!focused || this.list.contains(document.activeElement)) return;
    // The focus comes back without choosing anew.
    this.isListing = true;
    this.rows.get(focused)?.name.focus({ preventScroll: true });
    this.isListing = false;
  }

  /** A row of the list; `say(mark)` makes it tell of the mark as it is now. */
  row(id) {
    const [title, words] = [h("b"), h("span")];
    const name = h("button.mark", { type: "button", onclick: () => this.choose(id) }, title, words);
    name.addEventListener("focus", () => !this.isListing && this.selected !== id && this.select(id));
    const drop = h("button.btn.btn-icon.btn-sm.btn-ghost-secondary", { type: "button", tabIndex: -1, onclick: () => this.remove(id) }, icon("x"));
    const more = this.more(id);
    const element = h("li.mark-row", { dataset: { id } }, name, drop, more?.element);
    let said = "";
    const say = (mark) => {
      const label = mark.label === undefined || mark.label === null ? "" : this.labelNamed(mark.label).title;
      const [described, colour, isSelected] = [this.describe(mark), this.colourFor(mark.label), id === this.selected];
      more?.say(mark);
      const now = JSON.stringify([label, described, colour, isSelected]);
      if (now === said) return;
      said = now;
      title.textContent = label;
      title.hidden = label === "";
      words.textContent = described;
      name.setAttribute("aria-pressed", String(isSelected));
      drop.setAttribute("aria-label", t("tool.remove_named", { name: label || described }));
      element.classList.toggle("is-selected", isSelected);
      paint(element, colour);
    };
    return { element, name, say };
  }

  describe() {
    return "";
  }

  /** What stands below a row: {element, say(mark)}. */
  more() {
    return null;
  }

  // --- keys ---

  onKey(key, event) {
    if (this.onToolKey(key, event)) return true;
    const label = this.labels.find((one) => one.key === key);
    if (label) this.useLabel(label.value);
    else if ((key === "Delete" || key === "Backspace") && this.selected) this.remove(this.selected);
    else if (key === "Escape" && this.selected) this.select(null);
    else if ((key === "j" || key === "k") && this.marks.length) this.stepMark(key === "j" ? 1 : -1);
    else return false;
    return true;
  }

  onToolKey() {
    return false;
  }

  stepMark(by) {
    const order = this.sorted;
    const at = order.findIndex((mark) => mark.id === this.selected);
    this.choose(order[at < 0 ? (by > 0 ? 0 : order.length - 1) : (at + by + order.length) % order.length].id);
  }

  /** Keys with Ctrl or Alt. */
  onCommand(event) {
    const key = event.key.toLowerCase();
    if (event.altKey || (key !== "z" && key !== "y")) return false;
    if (key === "y" || event.shiftKey) this.travel(this.future, this.past);
    else this.travel(this.past, this.future);
    return true;
  }
}
