// 👍 and 👎 on an answer; 👎 asks for reasons and, best of all, for the answer that it should have been.
import { h } from "../lib/dom.js";
import { t } from "../lib/i18n.js";

const REASONS = ["incorrect", "incomplete", "irrelevant", "style", "language", "unsafe"];

/** The panel under an answer. `save({rating, reasons, comment, correction})` resolves when the server has it. */
export function feedbackPanel(turn, { save, close }) {
  const known = turn.feedback ?? {};
  const chosen = new Set(known.reasons ?? []);
  const chips = REASONS.map((reason) => {
    const chip = h("button.chip", { type: "button", "aria-pressed": String(chosen.has(reason)) }, t(`chat.reason_${reason}`));
    chip.addEventListener("click", () => {
      if (!chosen.delete(reason)) chosen.add(reason);
      chip.setAttribute("aria-pressed", String(chosen.has(reason)));
    });
    return chip;
  });
  const correction = h("textarea.form-control", { rows: "5", "aria-label": t("chat.correction") });
  correction.value = known.correction || turn.content;
  const comment = h("input.form-control", { type: "text", placeholder: t("chat.comment"), "aria-label": t("chat.comment"), value: known.comment ?? "" });
  const send = async (event) => {
    event.preventDefault();
    const corrected = correction.value.trim();
    const isNew = corrected !== "" && corrected !== turn.content.trim();
    if (await save({ rating: -1, reasons: [...chosen], comment: comment.value.trim(), correction: isNew ? corrected : "" })) close();
  };
  const panel = h(
    "form.feedback-panel",
    { onsubmit: send, "aria-label": t("chat.feedback") },
    h("div.feedback-title", {}, t("chat.what_wrong")),
    h("div.chips", {}, chips),
    h("label.form-label.mt-3", {}, t("chat.correction"), correction),
    h("div.form-hint.mb-2", {}, t("chat.correction_hint")),
    comment,
    h("div.btn-list.mt-3", {}, h("button.btn.btn-primary", {}, t("chat.save_feedback")), h("button.btn", { type: "button", onclick: close }, t("app.cancel"))),
  );
  panel.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      close();
    }
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) panel.requestSubmit();
  });
  return panel;
}
