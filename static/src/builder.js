// Builder island: a new label project from a preset or from nothing, its questions edited with a live preview over real
// records; the page's form sends them. Contract and attributes: docs/frontend.md.
import "./label.css";
import "./label/tools.css";
import "./builder.css";
import { api } from "./lib/api.js";
import { debounce, h, isTyping, replace } from "./lib/dom.js";
import { t } from "./lib/i18n.js";
import { icon } from "./lib/icons.js";
import { island } from "./lib/islands.js";
import { toast } from "./lib/toast.js";
import { AnswerForm } from "./label/form.js";
import { SchemaEditor } from "./schema/editor.js";
import { kinds } from "./schema/kinds.js";

const RECORDS = 8;

class Preview {
  constructor(host) {
    this.mediaUrl = host.dataset.mediaUrl;
    this.records = [];
    this.at = 0;
    this.turn = 0;
    this.said = h("span.text-secondary", { role: "status" });
    const step = (name, words, by) => h("button.btn.btn-icon.btn-sm", { type: "button", "aria-label": words, onclick: () => this.go(by) }, icon(name));
    this.bar = h("div.builder-head", {}, h("h2.h4.m-0", {}, t("builder.preview")), this.said, step("chevron-left", t("builder.record_before"), -1), step("chevron-right", t("builder.record_after"), 1));
    this.place = h("div.builder-place");
    this.value = h("pre.log", { tabIndex: 0 });
    this.stored = h("details.builder-more", {}, h("summary", {}, t("builder.stored")), this.value);
    this.element = h("section.builder-preview", { "aria-label": t("builder.preview") }, this.bar, this.place, this.stored);
    this.element.addEventListener("keydown", (event) => this.onKey(event));
    this.later = debounce(350, (schema) => this.show(schema));
  }

  go(by) {
    if (!this.records.length) return;
    this.at = (this.at + by + this.records.length) % this.records.length;
    this.start();
  }

  onKey(event) {
    if (isTyping(event.target) || event.ctrlKey || event.metaKey || event.altKey || !this.place.contains(event.target)) return;
    if (!this.form?.onKey(event)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Draw the questions; only the newest call counts, since modules take a while to come. */
  async show(schema) {
    this.turn += 1;
    const { turn } = this;
    let form;
    try {
      if (schema.fields.length === 0) throw new Error(t("builder.no_questions"));
      form = await AnswerForm.make(schema, { changed: () => this.showValue(), context: { mediaUrl: this.mediaUrl } });
      if (turn !== this.turn) return form.leave();
      this.form?.leave();
      this.form = form;
      replace(this.place, form.left, h("section.card", { "aria-label": t("label.answer") }, h("div.card-body", {}, form.questions)));
      this.start();
    } catch (error) {
      if (turn !== this.turn) return undefined;
      form?.leave();
      this.form = null;
      replace(this.place, h("p.alert.alert-warning.m-0", {}, t("builder.unfinished")), h("p.visually-hidden", {}, error.message));
    }
    return undefined;
  }

  start() {
    this.said.textContent = this.records.length ? t("builder.record", { number: this.at + 1, count: this.records.length }) : "";
    if (!this.form) return;
    this.form.start(this.records[this.at] ?? { id: "", messages: [], responses: [] });
    this.showValue();
  }

  showValue() {
    this.value.textContent = JSON.stringify(this.form.value(), null, 1);
  }
}

const embedded = (id) => JSON.parse(document.getElementById(id)?.textContent || "null");

class Builder {
  constructor(host) {
    this.host = host;
    this.preview = new Preview(host);
    this.editor = new SchemaEditor(() => this.preview.later(this.editor.schema));
    this.form = host.querySelector("form");
    this.trouble = embedded(host.dataset.troubleId);
    this.questions = embedded(host.dataset.questionsId);
    this.build();
    this.begin();
  }

  build() {
    this.presets = h("div.preset-list", { role: "radiogroup", "aria-label": t("builder.preset") });
    this.form.prepend(
      h("section.card", {}, h("div.card-body", {}, h("h2.h4", {}, t("builder.preset")), this.presets)),
      h("div.card", {}, h("div.card-body", {}, this.editor.element)),
    );
    this.host.append(this.preview.element);
    this.button = this.form.querySelector("button:not([type])");
    this.button.disabled = true;
    this.form.addEventListener("submit", () => (this.form.elements.questions.value = JSON.stringify(this.editor.schema)));
    // Enter in a setting goes on editing; it does not make the project.
    this.editor.element.addEventListener("keydown", (event) => event.key === "Enter" && event.target.matches("input") && event.preventDefault());
  }

  async begin() {
    try {
      const [presets, records] = await Promise.all([api(this.host.dataset.presetsUrl), api(`${this.host.dataset.recordsUrl}?limit=${RECORDS}`)]);
      this.preview.records = records.items.map((row) => row.data);
      this.showPresets(presets);
    } catch (error) {
      toast(error.message, "error");
    }
  }

  showPresets(presets) {
    const all = [...presets, { name: "", title: t("builder.from_nothing"), description: t("builder.from_nothing_text"), schema: { fields: [] } }];
    this.button.disabled = false;
    const isBack = Boolean(this.questions?.fields);
    replace(this.presets, all.map((preset, at) => {
      const box = h("input.form-check-input", { type: "radio", name: "preset", value: preset.name, checked: at === 0 && !isBack });
      box.addEventListener("change", () => this.usePreset(preset));
      return h("label.preset.is-choice", {}, box, h("span", {}, h("b", {}, preset.title), h("small", {}, preset.description)));
    }));
    if (!isBack) {
      this.usePreset(all[0]);
      return;
    }
    this.editor.load(this.questions);
    this.preview.show(this.editor.schema);
    if (this.trouble) this.editor.complain(this.trouble.message, this.trouble.details);
  }

  /** A preset whose labels have to be typed begins with two. */
  usePreset(preset) {
    const blank = { name: "label", type: "choice", label: t("builder.which_label"), required: true, ...kinds().choice.make() };
    this.editor.load(preset.schema ?? { fields: [blank] });
    this.preview.show(this.editor.schema);
  }

  leave() {
    this.preview.form?.leave();
  }
}

island("builder", (element) => {
  const builder = new Builder(element);
  return () => builder.leave();
});
