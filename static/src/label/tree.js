// Labels in levels (animal › cat): opened, closed and chosen with the arrows and Enter, found by typing.
import { h, replace } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { icon } from "../lib/icons.js";
import { Field } from "./field.js";

const MANY = 12;
let serial = 0;

const keyOf = (path) => JSON.stringify(path);

/** Every node, parents first: {path, labels, node, depth}. */
function flattened(nodes, above = { path: [], labels: [] }) {
  return (nodes ?? []).flatMap((node) => {
    const here = { path: [...above.path, node.value], labels: [...above.labels, node.label || node.value], node, depth: above.path.length };
    return [here, ...flattened(node.children, here)];
  });
}

export class TreeField extends Field {
  constructor(definition, changed, context) {
    super(definition, changed, context);
    this.rows = flattened(definition.nodes);
    this.open = new Set(this.rows.length <= MANY * 2 ? this.rows.map((row) => keyOf(row.path)) : []);
    this.chosen = new Map();
    this.cursor = 0;
    this.prefix = `tree-${(serial += 1)}`;
    this.keys = [
      { keys: ["↑", "↓"], label: t("tool.key_move") },
      { keys: ["→", "←"], label: t("tool.key_open") },
      { keys: ["Enter"], label: t("label.key_choose") },
    ];
    this.build();
    this.show();
  }

  build() {
    this.list = h("div.tree", { role: "tree", tabIndex: 0, "aria-label": this.title, "aria-multiselectable": String(Boolean(this.definition.multiple)) });
    if (this.rows.length > MANY) {
      this.search = h("input.form-control", { type: "search", placeholder: t("label.filter"), "aria-label": t("label.filter"), autocomplete: "off", spellcheck: "false" });
      this.search.addEventListener("input", () => {
        this.cursor = 0;
        this.show();
        const first = this.shown.findIndex((row) => this.matches(row));
        this.moveTo(Math.max(0, first));
      });
      this.search.addEventListener("keydown", (event) => this.onSearchKey(event));
    }
    this.picked = h("div.tree-picked", { "aria-live": "polite" });
    this.element = this.frame(this.search, this.list, this.picked);
  }

  onSearchKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      this.search.value = "";
      this.show();
    } else if (["ArrowDown", "ArrowUp", "Enter"].includes(event.key) && this.onKey(event.key)) {
      event.preventDefault();
    }
  }

  get typed() {
    return (this.search?.value ?? "").trim().toLowerCase();
  }

  matches(row) {
    return row.labels.at(-1).toLowerCase().includes(this.typed) || row.path.at(-1).toLowerCase().includes(this.typed);
  }

  /** Rows on the screen: below open nodes, or, while typing, those that match with what stands above them. */
  get shown() {
    if (!this.typed) return this.rows.filter((row) => row.path.slice(0, -1).every((_, at) => this.open.has(keyOf(row.path.slice(0, at + 1)))));
    const wanted = new Set();
    for (const row of this.rows) if (this.matches(row)) row.path.forEach((_, at) => wanted.add(keyOf(row.path.slice(0, at + 1))));
    return this.rows.filter((row) => wanted.has(keyOf(row.path)));
  }

  show() {
    const rows = this.shown;
    this.cursor = Math.max(0, Math.min(this.cursor, rows.length - 1));
    replace(this.list, rows.map((row, at) => this.item(row, at)), rows.length === 0 && h("p.text-secondary.m-0", {}, t("label.no_match")));
    if (rows.length) this.list.setAttribute("aria-activedescendant", `${this.prefix}-${this.cursor}`);
    this.list.querySelector(".is-cursor")?.scrollIntoView({ block: "nearest" });
    replace(this.picked, [...this.chosen.values()].map((row) => h("button.chip", { type: "button", "aria-label": t("tool.remove_named", { name: row.labels.join(" › ") }), onclick: () => this.pick(row) }, row.labels.join(" › "), icon("x"))));
  }

  item(row, at) {
    const isChosen = this.chosen.has(keyOf(row.path));
    const hasChildren = Boolean(row.node.children?.length);
    const isOpen = hasChildren && (this.typed !== "" || this.open.has(keyOf(row.path)));
    const item = h(
      `div.tree-item${isChosen ? ".is-chosen" : ""}${at === this.cursor ? ".is-cursor" : ""}`,
      { role: "treeitem", id: `${this.prefix}-${at}`, "aria-level": String(row.depth + 1), "aria-selected": String(isChosen), "aria-expanded": hasChildren ? String(isOpen) : null },
      h("span.tree-twist", { "aria-hidden": "true", onclick: () => hasChildren && this.toggle(row, at) }, hasChildren && icon("chevron-right")),
      h("span.tree-label", { onclick: () => this.pickAt(row, at) }, row.labels.at(-1)),
    );
    item.style.setProperty("--depth", row.depth);
    item.classList.toggle("is-open", isOpen);
    return item;
  }

  toggle(row, at) {
    const key = keyOf(row.path);
    if (!this.open.delete(key)) this.open.add(key);
    this.cursor = at;
    this.show();
  }

  pickAt(row, at) {
    this.cursor = at;
    this.pick(row);
  }

  pick(row) {
    const key = keyOf(row.path);
    const was = this.chosen.has(key);
    if (!this.definition.multiple) this.chosen.clear();
    if (was) this.chosen.delete(key);
    else this.chosen.set(key, row);
    this.show();
    this.touch();
  }

  moveTo(at) {
    this.cursor = at;
    this.show();
  }

  onKey(key) {
    const rows = this.shown;
    const row = rows[this.cursor];
    if (!row) return false;
    const hasChildren = Boolean(row.node.children?.length);
    const isOpen = this.open.has(keyOf(row.path)) || this.typed !== "";
    if (key === "ArrowDown") this.moveTo(this.cursor + 1);
    else if (key === "ArrowUp") this.moveTo(this.cursor - 1);
    else if (key === "Home") this.moveTo(0);
    else if (key === "End") this.moveTo(rows.length - 1);
    else if (key === "ArrowRight" && hasChildren) isOpen ? this.moveTo(this.cursor + 1) : this.toggle(row, this.cursor);
    else if (key === "ArrowLeft" && hasChildren && isOpen && !this.typed) this.toggle(row, this.cursor);
    else if (key === "ArrowLeft" && row.depth) this.moveTo(rows.findIndex((one) => keyOf(one.path) === keyOf(row.path.slice(0, -1))));
    else if (key === "Enter" || key === " ") this.pick(row);
    else return false;
    return true;
  }

  focus() {
    this.list.focus({ preventScroll: true });
  }

  get value() {
    return [...this.chosen.values()].map((row) => row.path);
  }

  set value(given) {
    const known = new Map(this.rows.map((row) => [keyOf(row.path), row]));
    this.chosen = new Map((given ?? []).map(keyOf).filter((key) => known.has(key)).map((key) => [key, known.get(key)]));
    for (const row of this.chosen.values()) row.path.forEach((_, at) => this.open.add(keyOf(row.path.slice(0, at + 1))));
    if (this.search) this.search.value = "";
    this.cursor = 0;
    this.show();
  }
}
