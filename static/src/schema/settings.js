// What can be set for a question: one control for each property, made for the kind of the question.
import { h, replace } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { icon } from "../lib/icons.js";
import { readColour, suggestedColour } from "../label/colours.js";
import { readChoices, readTree, writeChoices, writeTree } from "./kinds.js";

const MOST_ROWS = 40;
let serial = 0;

/** A label above a control, with a hint below it. */
export function line(label, control, hint = "") {
  const id = `builder-${(serial += 1)}`;
  control.id = id;
  return h("div.builder-line", {}, h("label.form-label", { for: id }, label), control, hint && h("div.form-hint", {}, hint));
}

function text(field, name, changed, attributes = {}) {
  const box = h("input.form-control", { type: "text", value: field[name] ?? "", dataset: { path: name }, ...attributes });
  box.addEventListener("input", () => changed({ [name]: box.value }));
  return box;
}

function figure(field, name, changed, whole = false) {
  const box = h("input.form-control", { type: "number", step: whole ? "1" : "any", value: field[name] === undefined || field[name] === null ? "" : String(field[name]), dataset: { path: name } });
  box.addEventListener("input", () => changed({ [name]: box.value === "" ? undefined : Number(box.value) }));
  return box;
}

export function tick(field, name, label, changed, usual = false) {
  const box = h("input.form-check-input", { type: "checkbox", checked: field[name] ?? usual, dataset: { path: name } });
  box.addEventListener("change", () => changed({ [name]: box.checked }));
  return h("label.form-check", {}, box, h("span.form-check-label", {}, label));
}

/** Several of a few: [{value, label}]; at least one stays. */
function several(field, name, options, title, changed) {
  const chosen = new Set(field[name] ?? options.map((option) => option.value));
  return h("fieldset.builder-line", {}, h("legend.form-label", {}, title), options.map(({ value, label }) => {
    const box = h("input.form-check-input", { type: "checkbox", checked: chosen.has(value), dataset: { path: name } });
    box.addEventListener("change", () => {
      if (box.checked) chosen.add(value);
      else chosen.delete(value);
      if (chosen.size === 0) {
        chosen.add(value);
        box.checked = true;
      }
      changed({ [name]: options.map((option) => option.value).filter((one) => chosen.has(one)) });
    });
    return h("label.form-check.form-check-inline", {}, box, h("span.form-check-label", {}, label));
  }));
}

function select(field, name, options, changed) {
  const box = h("select.form-select", { dataset: { path: name } }, options.map(({ value, label }) => h("option", { value, selected: field[name] === value }, label)));
  box.addEventListener("change", () => changed({ [name]: box.value }));
  return box;
}

/** Choices or labels: what is shown, what is stored, key and colour; long lists as lines. */
export class OptionsEditor {
  constructor(field, name, title, changed) {
    this.options = (field[name] ?? []).map((one) => (typeof one === "string" ? { value: one } : { ...one }));
    this.name = name;
    this.title = title;
    this.tell = () => changed({ [name]: this.options.map((one) => ({ ...one })) });
    this.asLines = this.options.length > MOST_ROWS;
    this.element = h("fieldset.builder-line", {});
    this.draw();
  }

  draw() {
    const more = h("button.btn.btn-sm", { type: "button", onclick: () => this.add() }, icon("plus"), t("builder.add_one"));
    const swap = h("button.btn.btn-sm.btn-ghost-secondary", { type: "button", onclick: () => this.swap() }, this.asLines ? t("builder.one_by_one") : t("builder.as_lines"));
    replace(this.element, h("legend.form-label", {}, this.title), this.asLines ? this.lines() : this.options.map((one, at) => this.row(one, at)), h("div.builder-buttons", {}, !this.asLines && more, (this.asLines ? this.options.length <= MOST_ROWS : true) && swap));
  }

  swap() {
    this.asLines = !this.asLines;
    this.draw();
    this.element.querySelector("input, textarea")?.focus();
  }

  add() {
    this.options.push({ value: "" });
    this.draw();
    [...this.element.querySelectorAll(".option-label")].at(-1).focus();
  }

  lines() {
    const area = h("textarea.form-control", { rows: String(Math.min(14, Math.max(4, this.options.length + 1))), "aria-label": this.title, spellcheck: "false", dataset: { path: this.name } });
    area.value = writeChoices(this.options);
    area.addEventListener("input", () => {
      this.options = readChoices(area.value, this.options);
      this.tell();
    });
    return [area, h("div.form-hint", {}, t("builder.lines_hint"))];
  }

  row(option, at) {
    const number = at + 1;
    const path = `${this.name}.${at}`;
    const label = h("input.form-control.option-label", { type: "text", value: option.label || option.value, placeholder: t("builder.shown_as"), "aria-label": `${t("builder.shown_as")} ${number}`, dataset: { path: `${path}.label` } });
    const stored = h("input.form-control.option-value", { type: "text", value: option.label && option.label !== option.value ? option.value : "", placeholder: option.value || t("builder.stored_as"), "aria-label": `${t("builder.stored_as")} ${number}`, dataset: { path: `${path}.value` } });
    const hotkey = h("input.form-control.option-key", { type: "text", maxlength: "1", value: option.hotkey ?? "", placeholder: number <= 9 ? String(number) : "", "aria-label": `${t("builder.key")} ${number}`, dataset: { path: `${path}.hotkey` } });
    const colour = h("input.form-control.form-control-color.option-colour", { type: "color", value: readColour(option.color) || suggestedColour(at), "aria-label": `${t("builder.colour")} ${number}` });
    const named = () => {
      option.label = label.value.trim();
      option.value = stored.value.trim() || option.label;
      if (option.label === option.value) delete option.label;
      this.tell();
    };
    label.addEventListener("input", named);
    label.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.isComposing) {
        event.preventDefault();
        this.add();
      }
    });
    stored.addEventListener("input", named);
    hotkey.addEventListener("input", () => {
      option.hotkey = hotkey.value.trim();
      this.tell();
    });
    colour.addEventListener("input", () => {
      option.color = colour.value;
      this.tell();
    });
    const tool = (name, words, run, disabled = false) => h("button.btn.btn-icon.btn-sm.btn-ghost-secondary", { type: "button", disabled, "aria-label": `${words} ${number}`, title: words, onclick: run }, icon(name));
    const move = () => {
      this.options.splice(at - 1, 0, ...this.options.splice(at, 1));
      this.draw();
      this.tell();
    };
    const remove = () => {
      this.options.splice(at, 1);
      this.draw();
      this.tell();
    };
    return h("div.option-row", {}, colour, label, stored, hotkey, tool("up", t("tool.move_up"), move, at === 0), tool("x", t("builder.remove"), remove));
  }
}

function dimensions(field, changed) {
  const list = (field.dimensions ?? []).map((one) => ({ ...one }));
  const element = h("fieldset.builder-line", {});
  const tell = () => changed({ dimensions: list.map((one) => ({ ...one })) });
  const draw = () => {
    const rows = list.map((one, at) => {
      const box = (name, label, attributes) => {
        const input = h("input.form-control", { value: String(one[name] ?? ""), "aria-label": `${label} ${at + 1}`, placeholder: label, dataset: { path: `dimensions.${at}.${name}` }, ...attributes });
        input.addEventListener("input", () => {
          one[name] = attributes.type === "number" ? Number(input.value) : input.value;
          tell();
        });
        return input;
      };
      const remove = h("button.btn.btn-icon.btn-sm.btn-ghost-secondary", { type: "button", disabled: list.length === 1, "aria-label": `${t("builder.remove")} ${at + 1}`, onclick: () => {
        list.splice(at, 1);
        draw();
        tell();
      } }, icon("x"));
      return h("div.dimension-row", {}, box("label", t("builder.shown_as"), { type: "text" }), box("name", t("builder.stored_as"), { type: "text" }), box("min", t("builder.from"), { type: "number" }), box("max", t("builder.to"), { type: "number" }), remove);
    });
    const more = h("button.btn.btn-sm", { type: "button", onclick: () => {
      list.push({ name: `scale_${list.length + 1}`, label: "", min: 1, max: 5 });
      draw();
      tell();
    } }, icon("plus"), t("builder.add_one"));
    replace(element, h("legend.form-label", {}, t("builder.dimensions")), rows, more);
  };
  draw();
  return element;
}

function nodes(field, changed) {
  const area = h("textarea.form-control", { rows: "8", spellcheck: "false", dataset: { path: "nodes" } });
  area.value = writeTree(field.nodes);
  area.addEventListener("input", () => changed({ nodes: readTree(area.value) }));
  return line(t("builder.tree"), area, t("builder.tree_hint"));
}

function scale(field, changed) {
  const words = h("input.form-control", { type: "text", value: (field.labels ?? []).join(", "), placeholder: t("builder.scale_words_example"), dataset: { path: "labels" } });
  words.addEventListener("input", () => {
    const list = words.value.split(/[,，]/).map((word) => word.trim());
    changed({ labels: list.some(Boolean) ? list : undefined });
  });
  return [h("div.builder-pair", {}, line(t("builder.from"), figure(field, "min", changed, true)), line(t("builder.to"), figure(field, "max", changed, true))), line(t("builder.scale_words"), words, t("builder.scale_words_hint"))];
}

const named = (pairs) => pairs.map(([value, label]) => ({ value, label }));

/** `changed(values)` takes new properties; `before`: the questions above this one. */
const drawings = {
  choices: (field, changed) => new OptionsEditor(field, "choices", t("builder.choices"), changed).element,
  labels: (field, changed) => new OptionsEditor(field, "labels", t("tool.labels"), changed).element,
  verdicts: (field, changed) => new OptionsEditor(field, "verdicts", t("builder.verdicts"), changed).element,
  multiple: (field, changed) => tick(field, "multiple", t("builder.multiple"), changed),
  overlap: (field, changed) => tick(field, "overlap", t("builder.overlap"), changed),
  transcribe: (field, changed) => tick(field, "transcribe", t("builder.transcribe"), changed),
  ties: (field, changed) => tick(field, "ties", t("builder.ties"), changed, true),
  proposal: (field, changed) => {
    const box = h("input.form-check-input", { type: "checkbox", checked: field.source === "label" });
    box.addEventListener("change", () => changed({ source: box.checked ? "label" : undefined }));
    return h("label.form-check", {}, box, h("span.form-check-label", {}, t("builder.propose_label")));
  },
  begin: (field, changed) => line(t("builder.begin"), select({ source: field.source ?? "" }, "source", named([["", t("builder.begin_empty")], ["messages.last", t("builder.begin_answer")], ["text", t("builder.begin_text")], ...(["", "messages.last", "text", undefined].includes(field.source) ? [] : [[field.source, field.source]])]), (values) => changed({ source: values.source || undefined }))),
  placeholder: (field, changed) => line(t("builder.placeholder"), text(field, "placeholder", changed)),
  min: (field, changed) => line(t("builder.min"), figure(field, "min", changed)),
  max: (field, changed) => line(t("builder.max"), figure(field, "max", changed)),
  step: (field, changed) => line(t("builder.step"), figure(field, "step", changed)),
  scale,
  dimensions,
  nodes,
  media: (field, changed) => line(t("builder.media"), select(field, "media", named([["audio", t("builder.media_audio")], ["video", t("builder.media_video")]]), changed)),
  tools: (field, changed) => several(field, "tools", named([["box", t("tool.box")], ["polygon", t("tool.polygon")], ["point", t("tool.point")]]), t("tool.shape"), changed),
  options: (field, changed) => several(field, "options", named([["a", t("tool.better_a")], ["b", t("tool.better_b")], ["tie", t("tool.tie")], ["both_bad", t("tool.both_bad")]]), t("builder.choices"), changed),
  roles: (field, changed) => several(field, "roles", named([["system", t("role.system")], ["user", t("role.user")], ["assistant", t("role.assistant")], ["tool", t("role.tool")]]), t("builder.roles"), changed),
  spans: (field, changed, before) => line(t("builder.spans_of"), select(field, "spans", [{ value: "", label: "–" }, ...before.filter((one) => one.type === "spans").map((one) => ({ value: one.name, label: one.label || one.name }))], changed)),
};

/** The controls of a question, by the settings of its kind. */
export function settingsOf(field, settings, changed, before) {
  return settings.map((name) => drawings[name](field, changed, before));
}

/** Values that an earlier question can have, for a condition; null: any text. */
function valuesOf(field) {
  if (field.type === "choice") return (field.choices ?? []).map((one) => ({ value: one.value, label: one.label || one.value }));
  if (field.type === "pairwise") return named([["a", t("tool.better_a")], ["b", t("tool.better_b")], ["tie", t("tool.tie")], ["both_bad", t("tool.both_bad")]]);
  if (field.type === "rating") return Array.from({ length: Math.min(20, (field.max ?? 5) - (field.min ?? 1) + 1) }, (_, at) => ({ value: (field.min ?? 1) + at, label: String((field.min ?? 1) + at) }));
  return null;
}

/** When a question is asked: always, or only after certain answers to one above it. */
export function conditionOf(field, changed, before) {
  const askable = before.filter((one) => valuesOf(one)?.length);
  const holder = h("div.builder-condition", {});
  const draw = () => {
    const { when } = field;
    const other = askable.find((one) => one.name === when?.field);
    const question = h("select.form-select", { dataset: { path: "when.field" } }, h("option", { value: "" }, t("builder.always")), askable.map((one) => h("option", { value: one.name, selected: one === other }, t("builder.only_when", { question: one.label || one.name }))));
    question.addEventListener("change", () => {
      const next = askable.find((one) => one.name === question.value);
      changed({ when: next ? { field: next.name, is: [valuesOf(next)[0].value] } : undefined });
      draw();
    });
    const wanted = new Set([when?.is].flat());
    const values = other && h("fieldset", {}, h("legend.form-label", {}, t("builder.is_one_of")), valuesOf(other).map(({ value, label }) => {
      const box = h("input.form-check-input", { type: "checkbox", checked: wanted.has(value) });
      box.addEventListener("change", () => {
        if (box.checked) wanted.add(value);
        else wanted.delete(value);
        changed({ when: { field: other.name, is: [...wanted].filter((one) => one !== undefined) } });
      });
      return h("label.form-check.form-check-inline", {}, box, h("span.form-check-label", {}, label));
    }));
    replace(holder, line(t("builder.when"), question), values);
  };
  if (askable.length === 0 && !field.when) return null;
  draw();
  return holder;
}
