// The conversation editor: turns are written, added, moved, removed, marked as learnt or not, and answered anew by a
// deployed model; every step can be undone, and the original stays in sight.
import { h, replace, store, isTyping } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { icon } from "../lib/icons.js";
import { toast } from "../lib/toast.js";
import { askModel, deployedModels } from "./answering.js";
import { Conversation } from "./conversation.js";
import { Field, placeOf, valueAt } from "./field.js";
import { readCall } from "./record.js";
import { TurnView } from "./turn.js";

const ROLES = ["system", "user", "assistant", "tool"];
const MODEL_KEY = "shuyuan.label.model";

export class DialogueField extends Field {
  constructor(definition, changed, context) {
    super(definition, changed, context);
    this.roles = ROLES.filter((role) => (definition.roles ?? ROLES).includes(role));
    this.covers = ["messages"];
    this.conversation = new Conversation([]);
    this.views = new Map();
    this.shown = new Set();
    this.cursor = null;
    this.badCalls = new Set();
    this.model = null;
    this.keys = [
      { keys: ["↑", "↓"], label: t("tool.key_turn") },
      { keys: ["Enter"], label: t("tool.key_write") },
      { keys: ["a"], label: t("tool.add_after") },
      { keys: ["Delete"], label: t("tool.delete_turn") },
      { keys: ["Shift ↑", "Shift ↓"], label: t("tool.key_reorder") },
      { keys: ["r"], label: t("tool.key_role") },
      { keys: ["t"], label: t("tool.key_train") },
      { keys: ["c"], label: t("tool.add_call") },
      { keys: ["g"], label: t("tool.regenerate") },
      { keys: ["v"], label: t("tool.key_changes") },
      { keys: ["Ctrl Z", "Ctrl Shift Z"], label: t("tool.key_history") },
    ];
    this.build();
    this.findModels();
  }

  build() {
    this.list = h("div.dialogue-turns");
    this.addEnd = h("button.btn.dialogue-add", { type: "button", onclick: () => this.addAfter(null) }, icon("plus"), t("tool.add_turn"));
    this.stage = h("div.dialogue", {}, this.list, this.addEnd);
    this.stage.addEventListener("keydown", (event) => this.onStageKey(event));
    this.summary = h("p.dialogue-summary", { role: "status" });
    const button = (name, label, run) => h("button.btn.btn-sm", { type: "button", onclick: run }, icon(name), label);
    this.undoButton = button("back", t("tool.undo_step"), () => this.travel("undo"));
    this.redoButton = button("forward", t("tool.redo_step"), () => this.travel("redo"));
    this.resetButton = button("refresh", t("label.original"), () => this.act(() => this.conversation.reset()));
    this.showAll = h("input.form-check-input", { type: "checkbox" });
    this.showAll.addEventListener("change", () => this.toggleChanges("all"));
    this.removed = h("div.dialogue-removed");
    this.models = h("div.dialogue-models");
    this.element = this.frame(
      this.summary,
      h("div.dialogue-history", {}, this.undoButton, this.redoButton, this.resetButton),
      h("label.form-check.form-switch.dialogue-show", {}, this.showAll, h("span", {}, t("tool.show_changes"))),
      this.removed,
      this.models,
    );
  }

  // --- the record ---

  start(data) {
    const found = valueAt(data, placeOf(this.definition, "messages"));
    const original = Array.isArray(found) ? found : typeof data.text === "string" ? [{ role: "user", content: data.text }] : [];
    const proposed = this.definition.source?.startsWith("annotations.") ? data.annotations?.find((one) => one.q === this.definition.source.slice(12))?.value : null;
    this.stop();
    this.conversation = new Conversation(original, Array.isArray(proposed) ? proposed : original);
    this.shown = new Set();
    this.showAll.checked = false;
    this.badCalls.clear();
    this.cursor = this.conversation.turns[0]?.key ?? null;
    this.draw();
  }

  get value() {
    return this.conversation.messages;
  }

  set value(given) {
    this.conversation.load(Array.isArray(given) ? given : this.conversation.original);
    this.badCalls.clear();
    this.cursor = this.conversation.turns[0]?.key ?? null;
    this.draw();
  }

  get problem() {
    const empty = this.conversation.turns.find((turn) => !turn.content.trim() && !turn.tool_calls?.length);
    if (this.abort) return t("tool.still_writing");
    if (empty) {
      this.point(empty.key);
      return t("tool.turn_is_empty", { number: this.conversation.indexOf(empty.key) + 1 });
    }
    return this.badCalls.size ? t("tool.bad_arguments") : "";
  }

  leave() {
    this.stop();
  }

  // --- the view ---

  /** Draw all turns anew; the caret stays where it was. */
  draw() {
    const focused = this.list.contains(document.activeElement) ? document.activeElement : null;
    const part = focused?.dataset.part;
    const from = focused?.selectionStart;
    const hadFocus = focused !== null;
    this.views = new Map(this.conversation.turns.map((turn, at) => [turn.key, new TurnView(this, turn, at + 1)]));
    replace(this.list, [...this.views.values()].map((view) => view.element), this.views.size === 0 && h("p.text-secondary", {}, t("tool.no_turns")));
    requestAnimationFrame(() => {
      for (const view of this.views.values()) view.fit();
    });
    if (!this.views.has(this.cursor)) this.cursor = this.conversation.turns[0]?.key ?? null;
    this.point(this.cursor);
    this.summarize();
    if (!hadFocus) return;
    const target = part && this.views.get(this.cursor)?.element.querySelector(`[data-part="${part}"]`);
    (target ?? this.views.get(this.cursor)?.element)?.focus({ preventScroll: true });
    if (target && from !== null && from !== undefined) target.setSelectionRange(from, from);
  }

  summarize() {
    const { edited, added, removed } = this.conversation.counts;
    const parts = [edited && t("tool.count_edited", { count: edited }), added && t("tool.count_new", { count: added }), removed && t("tool.count_removed", { count: removed }), this.conversation.isMoved && t("tool.moved")].filter(Boolean);
    this.summary.textContent = parts.length ? parts.join(" · ") : t("tool.unchanged");
    this.summary.classList.toggle("text-secondary", parts.length === 0);
    this.undoButton.disabled = this.conversation.past.length === 0;
    this.redoButton.disabled = this.conversation.future.length === 0;
    this.resetButton.disabled = parts.length === 0;
    replace(this.removed, this.showAll.checked && this.conversation.removed.map(({ message, index }) => h("div.removed-turn", {}, h("del", {}, `${t(`role.${message.role}`)}: ${[...message.content].slice(0, 160).join("")}`), h("button.btn.btn-sm", { type: "button", onclick: () => this.act(() => this.conversation.restore(index)) }, t("tool.restore")))));
  }

  point(key) {
    this.cursor = key;
    for (const [one, view] of this.views) {
      view.element.classList.toggle("is-cursor", one === key);
      view.element.tabIndex = one === key ? 0 : -1;
    }
  }

  focusCard(key = this.cursor) {
    this.point(key);
    this.views.get(key)?.element.focus({ preventScroll: true });
    this.views.get(key)?.element.scrollIntoView({ block: "nearest" });
  }

  write(key = this.cursor) {
    const area = this.views.get(key)?.area;
    if (!area) return;
    area.focus({ preventScroll: true });
    area.setSelectionRange(area.value.length, area.value.length);
    area.scrollIntoView({ block: "nearest" });
  }

  focus() {
    this.focusCard();
  }

  toggleChanges(key) {
    if (!this.shown.delete(key)) this.shown.add(key);
    if (key === "all") this.showAll.checked = this.shown.has("all");
    for (const view of this.views.values()) view.showState();
    this.summarize();
  }

  // --- what the person does ---

  /** Change the conversation, show it, tell the page. */
  act(change) {
    if (this.abort) return undefined;
    const result = change();
    this.draw();
    this.touch();
    return result;
  }

  edit(key, changes, what) {
    this.conversation.change(key, changes, what);
    this.summarize();
    this.touch();
  }

  travel(way) {
    if (this.abort || !this.conversation[way]()) return;
    this.draw();
    this.touch();
  }

  addAfter(key) {
    const turn = this.act(() => this.conversation.addAfter(key, this.roles));
    if (turn) this.write(turn.key);
  }

  remove(key) {
    const at = this.conversation.indexOf(key);
    this.act(() => this.conversation.remove(key));
    const next = this.conversation.turns[Math.min(at, this.conversation.turns.length - 1)];
    if (next) this.focusCard(next.key);
    else this.addEnd.focus();
  }

  move(key, by) {
    this.act(() => this.conversation.move(key, by));
    this.views.get(key)?.element.scrollIntoView({ block: "nearest" });
  }

  setRole(key, role) {
    const { train } = this.conversation.turns[this.conversation.indexOf(key)];
    this.act(() => this.conversation.change(key, { role, train: role === "assistant" ? train : undefined }));
  }

  nextRole(key) {
    const { role } = this.conversation.turns[this.conversation.indexOf(key)];
    this.setRole(key, this.roles[(this.roles.indexOf(role) + 1) % this.roles.length]);
  }

  toggleTrain(key) {
    const turn = this.conversation.turns[this.conversation.indexOf(key)];
    if (turn.role === "assistant") this.act(() => this.conversation.change(key, { train: turn.train === false ? undefined : false }));
  }

  addCall(key) {
    const turn = this.conversation.turns[this.conversation.indexOf(key)];
    if (turn.role !== "assistant") return;
    const calls = [...(turn.tool_calls ?? []), { type: "function", function: { name: "", arguments: {} } }];
    this.act(() => this.conversation.change(key, { tool_calls: calls }));
    this.views.get(key).element.querySelector(`[data-part="call-${calls.length - 1}-name"]`)?.focus();
  }

  removeCall(key, at) {
    const turn = this.conversation.turns[this.conversation.indexOf(key)];
    this.badCalls.clear();
    this.act(() => this.conversation.change(key, { tool_calls: turn.tool_calls.filter((_, index) => index !== at) }));
  }

  /** Change a call; false when its arguments are no JSON (the last good ones stay). */
  setCall(key, at, name, text) {
    const turn = this.conversation.turns[this.conversation.indexOf(key)];
    const calls = structuredClone(turn.tool_calls);
    const call = calls[at].function ?? calls[at];
    const mark = `${key} ${at}`;
    call.name = name;
    try {
      const parsed = JSON.parse(text || "{}");
      call.arguments = typeof call.arguments === "string" ? text : parsed;
      this.badCalls.delete(mark);
    } catch {
      this.badCalls.add(mark);
    }
    this.edit(key, { tool_calls: calls }, `call ${at}`);
    this.views.get(key).showState();
    return !this.badCalls.has(mark) && readCall(calls[at]).name !== "";
  }

  onStageKey(event) {
    const withControl = event.ctrlKey || event.metaKey;
    const key = event.key.toLowerCase();
    if (withControl && (key === "z" || key === "y")) {
      event.preventDefault();
      this.travel(key === "y" || event.shiftKey ? "redo" : "undo");
    } else if (event.altKey && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
      event.preventDefault();
      this.move(this.cursor, event.key === "ArrowUp" ? -1 : 1);
    } else if (event.key === "Escape" && isTyping(event.target)) {
      this.focusCard();
    }
  }

  onKey(key, event) {
    const turns = this.conversation.turns;
    const at = this.conversation.indexOf(this.cursor);
    const step = { ArrowUp: -1, ArrowDown: 1 }[key];
    if (key === "a" || (key === "Enter" && at < 0)) this.addAfter(at < 0 ? null : this.cursor);
    else if (at < 0) return false;
    else if (step && event.shiftKey) this.move(this.cursor, step);
    else if (step) this.focusCard(turns[Math.max(0, Math.min(turns.length - 1, at + step))].key);
    else if (key === "Enter" || key === "e") this.write();
    else if (key === "Delete" || key === "Backspace") this.remove(this.cursor);
    else if (key === "r") this.nextRole(this.cursor);
    else if (key === "t") this.toggleTrain(this.cursor);
    else if (key === "c") this.addCall(this.cursor);
    else if (key === "v") this.toggleChanges(this.cursor);
    else if (key === "g") this.regenerate(this.cursor);
    else return false;
    return true;
  }

  // --- answers of a model ---

  get canAnswer() {
    return Boolean(this.model && this.context.completionsUrl);
  }

  async findModels() {
    if (!this.context.modelsUrl) return;
    let names = [];
    try {
      names = await deployedModels(this.context.modelsUrl, this.context.workspace);
    } catch {
      // without a gateway people write by themselves
    }
    if (!names.length) {
      replace(this.models, h("p.form-hint", {}, t("tool.no_models")));
      return;
    }
    const kept = store.get(MODEL_KEY);
    this.model = names.includes(kept) ? kept : names[0];
    const select = h("select.form-select.form-select-sm", { "aria-label": t("tool.answer_model") }, names.map((name) => h("option", { value: name, selected: name === this.model }, name)));
    select.addEventListener("change", () => {
      this.model = select.value;
      store.set(MODEL_KEY, select.value);
    });
    replace(this.models, h("label.dialogue-model", {}, h("span", {}, t("tool.answer_model")), select));
    this.draw();
  }

  /** An answer of the model in place of this turn; behind a question: a new turn with the answer. */
  async regenerate(key) {
    if (!this.canAnswer || this.abort) return;
    let at = this.conversation.indexOf(key);
    let wasAdded = false;
    if (this.conversation.turns[at].role !== "assistant") {
      const turn = this.act(() => this.conversation.addAfter(key, ["assistant"]));
      at = this.conversation.indexOf(turn.key);
      wasAdded = true;
    }
    const target = this.conversation.turns[at].key;
    this.abort = new AbortController();
    const view = this.views.get(target);
    this.focusCard(target);
    view.hear("");
    let answer = "";
    try {
      answer = await askModel({ url: this.context.completionsUrl, model: this.model, messages: this.conversation.messages.slice(0, at), signal: this.abort.signal, heard: (text) => view.hear(text) });
    } catch (error) {
      answer = error.name === "AbortError" ? view.area.value.trim() : "";
      if (error.name !== "AbortError") toast(error.message, "error");
    }
    this.abort = null;
    view.hear(null);
    // Another record may be on the page by now.
    if (this.conversation.indexOf(target) < 0) return;
    if (answer) this.act(() => this.conversation.change(target, { content: answer }));
    else if (wasAdded) this.travel("undo");
    else this.draw();
    this.focusCard(answer ? target : key);
  }

  stop() {
    this.abort?.abort();
  }
}
