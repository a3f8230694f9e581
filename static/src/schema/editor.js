// The questions of a schema as cards: added, opened, set, moved, removed; or as JSON for those who like it.
import { h, replace } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { icon } from "../lib/icons.js";
import { kinds, nameFor, trimmed } from "./kinds.js";
import { conditionOf, line, settingsOf, tick } from "./settings.js";

export class SchemaEditor {
  /** `changed()` is told after every change. */
  constructor(changed) {
    this.changed = changed;
    this.kinds = kinds();
    this.fields = [];
    this.open = 0;
    this.asJson = false;
    this.list = h("ol.question-list");
    this.json = h("textarea.form-control.schema-json", { rows: "22", spellcheck: "false", "aria-label": t("builder.json") });
    this.jsonNote = h("div.invalid-feedback");
    this.json.addEventListener("input", () => this.readJson());
    this.add = h("div.dropdown", {}, h("button.btn.w-100", { type: "button", "aria-expanded": "false", dataset: { bsToggle: "dropdown" } }, icon("plus"), t("builder.add_question")), h("div.dropdown-menu.kind-menu", {}, Object.entries(this.kinds).map(([type, kind]) => h("button.dropdown-item", { type: "button", dataset: { kind: type }, onclick: () => this.addQuestion(type) }, kind.title))));
    this.swap = h("button.btn.btn-sm.btn-ghost-secondary", { type: "button", "aria-pressed": "false", onclick: () => this.toggleJson() }, t("builder.as_json"));
    this.body = h("div", {}, this.list, this.add);
    this.element = h("section.schema-editor", { "aria-label": t("builder.questions") }, h("div.builder-head", {}, h("h2.h4.m-0", {}, t("builder.questions")), this.swap), this.body);
  }

  get schema() {
    return { fields: this.fields.map(trimmed) };
  }

  load(schema) {
    this.fields = structuredClone(schema.fields ?? []);
    this.open = 0;
    this.draw();
    if (this.asJson) this.writeJson();
  }

  // --- JSON ---

  toggleJson() {
    this.asJson = !this.asJson;
    this.swap.setAttribute("aria-pressed", String(this.asJson));
    this.swap.textContent = this.asJson ? t("builder.as_cards") : t("builder.as_json");
    if (this.asJson) this.writeJson();
    else this.draw();
    replace(this.body, ...(this.asJson ? [this.json, this.jsonNote] : [this.list, this.add]));
  }

  writeJson() {
    this.json.value = JSON.stringify(this.schema, null, 2);
    this.sayJson("");
  }

  sayJson(text) {
    this.jsonNote.textContent = text;
    this.jsonNote.classList.toggle("d-block", text !== "");
  }

  readJson() {
    try {
      const given = JSON.parse(this.json.value);
      if (!Array.isArray(given?.fields) || !given.fields.every((field) => field && typeof field === "object")) throw new SyntaxError(t("builder.json_fields"));
      this.fields = given.fields;
      this.sayJson("");
      this.changed();
    } catch (error) {
      this.sayJson(t("builder.json_wrong", { reason: error.message }));
    }
  }

  // --- cards ---

  draw() {
    this.cards = this.fields.map((field, at) => this.card(field, at));
    replace(this.list, this.cards, this.fields.length === 0 && h("li.text-secondary", {}, t("builder.no_questions")));
  }

  card(field, at) {
    const kind = this.kinds[field.type] ?? { title: field.type, settings: [] };
    const isOpen = at === this.open;
    const tool = (name, words, run, disabled) => h("button.btn.btn-icon.btn-sm.btn-ghost-secondary", { type: "button", disabled, "aria-label": t("builder.tool_of", { tool: words, number: at + 1 }), title: words, onclick: run }, icon(name));
    const title = h("span.question-title", {}, field.label || field.name);
    const head = h("div.question-head", {}, h("button.question-open", { type: "button", "aria-expanded": String(isOpen), onclick: () => this.toggle(at) }, icon("chevron-right"), h("span.question-number", {}, String(at + 1)), title, h("span.question-kind", {}, kind.title), field.when && h("span.turn-badge", {}, t("builder.conditional"))), tool("up", t("tool.move_up"), () => this.move(at, -1), at === 0), tool("down", t("tool.move_down"), () => this.move(at, 1), at === this.fields.length - 1), tool("trash", t("builder.remove"), () => this.remove(at)));
    const card = h(`li.question-card${isOpen ? ".is-open" : ""}`, { dataset: { at } }, head, h("div.question-trouble", { role: "alert", hidden: true }), isOpen && this.settings(field, at, kind, title));
    return card;
  }

  settings(field, at, kind, title) {
    const before = this.fields.slice(0, at);
    const set = (values) => {
      Object.assign(field, values);
      this.quiet(at);
      this.changed();
    };
    const label = h("input.form-control", { type: "text", value: field.label ?? "", maxlength: "200", dataset: { path: "label" } });
    const name = h("input.form-control", { type: "text", value: field.name ?? "", maxlength: "60", spellcheck: "false", dataset: { path: "name" } });
    label.addEventListener("input", () => {
      if (field.isNamedBySelf) {
        this.rename(field, nameFor(label.value, field.type, this.fields.filter((one) => one !== field).map((one) => one.name)));
        name.value = field.name;
      }
      title.textContent = label.value || field.name;
      set({ label: label.value });
    });
    name.addEventListener("input", () => {
      hide(field, "isNamedBySelf", false);
      this.rename(field, name.value);
      set({});
    });
    const help = h("textarea.form-control", { rows: "2", maxlength: "2000", dataset: { path: "help" } });
    help.value = field.help ?? "";
    help.addEventListener("input", () => set({ help: help.value }));
    const source = h("input.form-control", { type: "text", value: field.source ?? "", spellcheck: "false", placeholder: { spans: "text", dialogue: "messages", trace: "messages", ranking: "responses", pairwise: "responses", response_rating: "responses" }[field.type] ?? "", dataset: { path: "source" } });
    source.addEventListener("input", () => set({ source: source.value.trim() || undefined }));
    return h("div.question-body", {},
      line(t("builder.label"), label),
      settingsOf(field, kind.settings, set, before),
      tick(field, "required", t("builder.required"), set, true),
      h("details.builder-more", { open: Boolean(field.help || field.when) }, h("summary", {}, t("builder.more")), line(t("builder.help"), help), conditionOf(field, set, before), line(t("builder.name"), name, t("builder.name_hint")), line(t("builder.source"), source, t("builder.source_hint"))),
    );
  }

  /** Conditions and relations follow when a question gets another name. */
  rename(field, name) {
    for (const one of this.fields) {
      if (one.when?.field === field.name) one.when.field = name;
      if (one.spans === field.name) one.spans = name;
    }
    field.name = name;
  }

  toggle(at) {
    this.open = this.open === at ? null : at;
    this.draw();
    this.cards[at].querySelector(".question-open").focus();
  }

  addQuestion(type) {
    const { title, make } = this.kinds[type];
    const field = { name: nameFor("", type, this.fields.map((one) => one.name)), type, label: title, required: true, ...make(this.fields) };
    hide(field, "isNamedBySelf", true);
    this.fields.push(field);
    this.open = this.fields.length - 1;
    this.draw();
    const box = this.cards.at(-1).querySelector("[data-path=label]");
    box.focus();
    box.select();
    this.changed();
  }

  move(at, by) {
    const to = at + by;
    this.fields.splice(to, 0, ...this.fields.splice(at, 1));
    if (this.open === at) this.open = to;
    else if (this.open === to) this.open = at;
    this.draw();
    this.cards[to].querySelector(".question-open").focus();
    this.changed();
  }

  remove(at) {
    this.fields.splice(at, 1);
    if (this.open === at) this.open = null;
    else if (this.open > at) this.open -= 1;
    this.draw();
    (this.cards[Math.min(at, this.fields.length - 1)]?.querySelector(".question-open") ?? this.add.querySelector("button")).focus();
    this.changed();
  }

  // --- what the server says ---

  quiet(at) {
    const trouble = this.cards[at]?.querySelector(".question-trouble");
    if (trouble) trouble.hidden = true;
    for (const box of this.cards[at]?.querySelectorAll(".is-invalid") ?? []) box.classList.remove("is-invalid");
  }

  /** Show an error of the server at the question and the setting that it is about; false when it is about neither. */
  complain(sentence, { place = "", field: named = "", name = "", reason = "" } = {}) {
    const parts = String(place).split(".");
    let at = parts[0] === "fields" ? Number(parts[1]) : -1;
    if (at < 0 && (named || name)) at = this.fields.findLastIndex((field) => [field.label, field.name].includes(named || name) || (name && JSON.stringify(field).includes(JSON.stringify(name))));
    if (!(at >= 0 && at < this.fields.length)) return false;
    if (this.asJson) {
      this.sayJson(sentence);
      return true;
    }
    // Beside its setting the reason says enough, without the path.
    const message = reason ? `${reason[0].toUpperCase()}${reason.slice(1)}` : sentence;
    this.open = at;
    this.draw();
    const card = this.cards[at];
    const trouble = card.querySelector(".question-trouble");
    trouble.textContent = message;
    trouble.hidden = false;
    // "fields.0.choice.choices.1.value": the third part is the kind
    const path = parts.slice(2).filter((part, index) => !(index === 0 && part === this.fields[at].type)).join(".");
    const controls = [...card.querySelectorAll("[data-path]")];
    const box = path && (controls.find((one) => path === one.dataset.path || path.startsWith(`${one.dataset.path}.`)) ?? controls.find((one) => one.dataset.path.startsWith(`${path}.`)));
    box?.classList.add("is-invalid");
    box?.closest("details")?.setAttribute("open", "");
    (box ?? card.querySelector(".question-open")).focus();
    card.scrollIntoView({ block: "nearest" });
    return true;
  }
}

/** Remember something beside a question that is not part of it. */
function hide(field, name, value) {
  Object.defineProperty(field, name, { value, enumerable: false, writable: true, configurable: true });
}
