// Two versions of one annotation: what is stored and what was about to be submitted, side by side, to choose from.
import { h } from "../lib/dom.js";
import { sheet } from "../lib/dialog.js";
import { t } from "../lib/i18n.js";
import { answersView } from "./answers.js";

const answers = (schema, value, skipped) => (skipped ? h("p.text-secondary.mb-0", {}, t("label.skipped")) : answersView(schema, value));

/** "mine", "stored", or null when the person closes the dialog to go on editing. */
export function chooseVersion(schema, stored, value) {
  const side = (title, content) => h("section.col-sm-6", {}, h("h3.h4", {}, title), content);
  return sheet({
    title: t("label.conflict"),
    wide: true,
    body: [
      h("p.text-secondary", {}, t("label.conflict_text")),
      h("div.row.g-3", {}, side(t("label.conflict_stored"), answers(schema, stored.value, stored.skipped)), side(t("label.conflict_mine"), answers(schema, value, false))),
    ],
    foot: (close) => [
      h("button.btn", { type: "button", onclick: () => close("stored") }, t("label.keep_stored")),
      h("button.btn.btn-primary", { type: "button", autofocus: true, onclick: () => close("mine") }, t("label.keep_mine")),
    ],
  });
}
