// Review and adjudication: a reviewer accepts, corrects or sends back; an adjudicator sees all answers side by side.
import { h, replace } from "../lib/dom.js";
import { sheet } from "../lib/dialog.js";
import { t } from "../lib/i18n.js";
import { answerView } from "./answers.js";

/** Ask why an annotation goes back to its author; null when the reviewer thinks better of it. */
export async function askReason() {
  const area = h("textarea.form-control", { rows: "4", "aria-label": t("tool.reason"), placeholder: t("tool.reason_hint"), autofocus: true, maxlength: "2000" });
  const button = (close) => h("button.btn.btn-danger", { type: "button", onclick: () => (area.value.trim() ? close(area.value.trim()) : area.focus()) }, t("tool.send_back"));
  return sheet({
    title: t("tool.send_back_title"),
    body: (close) => {
      area.addEventListener("keydown", (event) => (event.ctrlKey || event.metaKey) && event.key === "Enter" && area.value.trim() && close(area.value.trim()));
      return [h("p.text-secondary", {}, t("tool.send_back_text")), area];
    },
    foot: (close) => [h("button.btn", { type: "button", onclick: () => close() }, t("app.cancel")), button(close)],
  });
}

const equal = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/** Whether a form says the same as an annotation, whatever the order of its entries. */
export function sameAnswers(one, other) {
  const table = (value) => Object.fromEntries((value ?? []).map((entry) => [entry.q, entry.value]));
  const [left, right] = [table(one), table(other)];
  return Object.keys({ ...left, ...right }).every((name) => equal(left[name], right[name]));
}

export class SideBySide {
  /** `take(annotation, question)`: put somebody's answer (to one question, or to all) into the form. */
  constructor(schema, take) {
    this.schema = schema;
    this.take = take;
    this.annotations = [];
    this.element = h("section.card.side-by-side", { "aria-label": t("tool.side_by_side"), hidden: true });
  }

  show(annotations) {
    this.annotations = annotations;
    this.element.hidden = annotations.length === 0;
    if (!annotations.length) return;
    const head = h("tr", {}, h("td"), annotations.map((one, at) => h("th", { scope: "col" }, h("span.side-who", {}, one.who), h("button.btn.btn-sm", { type: "button", onclick: () => this.take(one) }, t("tool.take_all"), at < 9 && h("kbd.ms-2", {}, `⇧${at + 1}`)))));
    replace(this.element, h("div.scroll-x", { tabIndex: 0, role: "group", "aria-label": t("tool.side_by_side") }, h("table.table.side-table", {}, h("thead", {}, head), h("tbody", {}, this.schema.fields.map((field) => this.row(field))))));
  }

  row(field) {
    const given = this.annotations.map((one) => one.value?.find((entry) => entry.q === field.name)?.value);
    const differs = given.some((value) => !equal(value, given[0]));
    return h(`tr${differs ? ".is-different" : ""}`, {}, h("th", { scope: "row" }, field.label || field.name, differs && h("span.turn-badge.ms-2", {}, t("tool.differs"))), given.map((value, at) => h("td", {}, answerView(field, value), differs && value !== undefined && h("button.btn.btn-sm.btn-ghost-secondary", { type: "button", onclick: () => this.take(this.annotations[at], field.name) }, t("tool.take")))));
  }

  /** Shift and a digit take everything that one person said. */
  onKey(event) {
    const digit = event.shiftKey && /^Digit[1-9]$/.test(event.code) ? Number(event.code.slice(5)) : 0;
    const found = this.annotations[digit - 1];
    if (!found) return false;
    this.take(found);
    return true;
  }
}
