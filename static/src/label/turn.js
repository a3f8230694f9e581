// One turn of a conversation that is being edited.
import { h, replace } from "../lib/dom.js";
import { difference } from "../lib/diff.js";
import { t } from "../lib/i18n.js";
import { icon } from "../lib/icons.js";
import { readCall } from "./record.js";

const TALLEST = 480;

function fit(area) {
  area.style.height = "auto";
  area.style.height = `${Math.min(TALLEST, area.scrollHeight + 2)}px`;
}

/** What changed between two texts, marked. */
export function differenceView(before, after) {
  return h("div.text-change.prewrap", {}, difference(before, after).map(([kind, part]) => (kind === "same" ? part : h(kind === "new" ? "ins" : "del", {}, part))));
}

export class TurnView {
  /** `editor` is the dialogue that the turn belongs to; the view only shows and tells it. */
  constructor(editor, turn, number) {
    this.editor = editor;
    this.turn = turn;
    this.number = number;
    this.build();
  }

  get speaker() {
    return t(`role.${this.turn.role}`);
  }

  tool(name, label, run, extra = {}) {
    return h("button.btn.btn-icon.btn-sm.btn-ghost-secondary", { type: "button", tabIndex: -1, "aria-label": label, title: label, onclick: run, ...extra }, icon(name));
  }

  build() {
    const { turn, editor, number } = this;
    const { key } = turn;
    this.area = h("textarea.form-control.turn-text", { rows: "1", "aria-label": t("tool.turn_text", { number, role: this.speaker }), placeholder: t("tool.turn_empty"), dataset: { part: "content" } });
    this.area.value = turn.content;
    this.area.addEventListener("input", () => {
      fit(this.area);
      editor.edit(key, { content: this.area.value }, "content");
      this.showState();
    });
    this.badge = h("span.turn-badge");
    this.changes = h("div.turn-changes");
    this.answering = h("span.turn-answering", { hidden: true, role: "status" });
    this.element = h(
      `article.turn-edit.is-${turn.role}`,
      { tabIndex: -1, dataset: { key }, "aria-label": t("tool.turn_number", { number, role: this.speaker }) },
      h("header.turn-head", {}, this.roleSelect(), this.badge, this.trainSwitch(), this.answering, this.tools()),
      this.names(),
      this.area,
      this.calls(),
      this.changes,
    );
    this.element.addEventListener("focusin", () => editor.point(key));
    this.showState();
  }

  roleSelect() {
    const { turn, editor } = this;
    const select = h("select.form-select.form-select-sm.turn-role-select", { "aria-label": t("tool.turn_role", { number: this.number }), tabIndex: -1 }, editor.roles.map((role) => h("option", { value: role, selected: role === turn.role }, t(`role.${role}`))));
    select.addEventListener("change", () => editor.setRole(turn.key, select.value));
    return select;
  }

  /** Whether training learns this answer; only answers are learnt. */
  trainSwitch() {
    if (this.turn.role !== "assistant") return null;
    const box = h("input.form-check-input", { type: "checkbox", checked: this.turn.train !== false, tabIndex: -1 });
    box.addEventListener("change", () => this.editor.toggleTrain(this.turn.key));
    return h("label.form-check.form-switch.turn-train", {}, box, h("span", {}, t("tool.train")));
  }

  tools() {
    const { key } = this.turn;
    const { editor } = this;
    return h("div.turn-tools", {},
      this.turn.role === "assistant" && editor.canAnswer && this.tool("refresh", t("tool.regenerate"), () => editor.regenerate(key)),
      this.turn.role === "assistant" && this.tool("tool", t("tool.add_call"), () => editor.addCall(key)),
      this.tool("plus", t("tool.add_after"), () => editor.addAfter(key)),
      this.tool("up", t("tool.move_up"), () => editor.move(key, -1)),
      this.tool("down", t("tool.move_down"), () => editor.move(key, 1)),
      this.tool("trash", t("tool.delete_turn"), () => editor.remove(key)),
    );
  }

  /** A tool's answer says which tool and which call it belongs to. */
  names() {
    if (this.turn.role !== "tool" && !this.turn.name) return null;
    const input = (name, label) => {
      const box = h("input.form-control.form-control-sm", { type: "text", value: this.turn[name] ?? "", placeholder: label, "aria-label": `${label} (${this.number})`, spellcheck: "false", dataset: { part: name } });
      box.addEventListener("input", () => this.editor.edit(this.turn.key, { [name]: box.value }, name));
      return box;
    };
    return h("div.turn-names", {}, input("name", t("tool.turn_name")), this.turn.role === "tool" && input("tool_call_id", t("tool.call_id")));
  }

  calls() {
    return (this.turn.tool_calls ?? []).map((call, at) => {
      const { name, text } = readCall(call);
      const title = h("input.form-control.form-control-sm.call-name", { type: "text", value: name, placeholder: t("tool.call_name"), "aria-label": `${t("tool.call_name")} (${this.number}.${at + 1})`, spellcheck: "false", dataset: { part: `call-${at}-name` } });
      const area = h("textarea.form-control.form-control-sm.call-arguments", { rows: "2", spellcheck: "false", "aria-label": `${t("tool.call_arguments")} (${this.number}.${at + 1})`, dataset: { part: `call-${at}-arguments` } });
      area.value = text;
      const tell = () => {
        area.classList.toggle("is-invalid", !this.editor.setCall(this.turn.key, at, title.value, area.value));
        fit(area);
      };
      title.addEventListener("input", tell);
      area.addEventListener("input", tell);
      requestAnimationFrame(() => fit(area));
      return h("div.call-edit", {}, h("div.call-head", {}, icon("tool"), title, this.tool("x", t("tool.remove_call"), () => this.editor.removeCall(this.turn.key, at))), area);
    });
  }

  /** Say what became of the turn, and the difference when it is asked for. */
  showState() {
    const { conversation, shown } = this.editor;
    const state = conversation.stateOf(this.turn);
    this.badge.textContent = { new: t("tool.state_new"), edited: t("tool.state_edited"), "": "" }[state];
    this.badge.hidden = state === "";
    this.element.dataset.state = state || "same";
    const isOpen = state === "edited" && (shown.has("all") || shown.has(this.turn.key));
    this.changes.hidden = !isOpen;
    const before = conversation.original[this.turn.origin];
    replace(this.changes, isOpen && [before.role !== this.turn.role && h("p.turn-was", {}, t("tool.role_was", { role: t(`role.${before.role}`) })), differenceView(before.content, this.turn.content)]);
  }

  /** A model writes here; null when it is done. */
  hear(text) {
    const isOn = text !== null;
    this.area.readOnly = isOn;
    this.answering.hidden = !isOn;
    replace(this.answering, isOn && [h("span.spinner-border.spinner-border-sm", { "aria-hidden": "true" }), t("tool.writing"), h("button.btn.btn-sm", { type: "button", onclick: () => this.editor.stop() }, t("chat.stop"))]);
    if (!isOn) return;
    this.area.value = text;
    fit(this.area);
  }

  fit() {
    fit(this.area);
  }
}
