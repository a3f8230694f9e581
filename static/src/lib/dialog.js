// Dialogs on the browser's own <dialog>: focus is kept inside and given back, Escape closes.
import { h } from "./dom.js";
import { t } from "./i18n.js";

let serial = 0;

/** Open a dialog with a title, content and foot buttons; resolves with what `close(value)` was given (null: dismissed). */
export function sheet({ title, body, foot = null, wide = false }) {
  return new Promise((resolve) => {
    let answer = null;
    const close = (value = null) => {
      answer = value;
      dialog.close();
    };
    const heading = `sheet-title-${(serial += 1)}`;
    const dialog = h(
      `dialog.sheet${wide ? ".is-wide" : ""}`,
      { "aria-labelledby": heading },
      h("div.sheet-head", {}, h("h2", { id: heading }, title), h("button.btn-close", { type: "button", "aria-label": t("app.close"), onclick: () => close() })),
      h("div.sheet-body", {}, typeof body === "function" ? body(close) : body),
      foot && h("div.sheet-foot", {}, foot(close)),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    dialog.addEventListener("click", (event) => event.target === dialog && close());
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Ask before something happens; true when the reader agrees. */
export async function confirmAction(question, { action = t("app.confirm"), danger = false } = {}) {
  const answer = await sheet({
    title: t("app.sure"),
    body: h("p.mb-0", {}, question),
    foot: (close) => [
      h("button.btn", { type: "button", onclick: () => close(false) }, t("app.cancel")),
      h(`button.btn.${danger ? "btn-danger" : "btn-primary"}`, { type: "button", autofocus: true, onclick: () => close(true) }, action),
    ],
  });
  return answer === true;
}

/** data-confirm on forms, hx-confirm on htmx elements, data-dialog-open and data-dialog-close on page dialogs. */
export function startDialogs() {
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    const question = event.submitter?.dataset.confirm ?? form.dataset?.confirm;
    if (!question || form.dataset.confirmed || form.hasAttribute("hx-post")) return;
    event.preventDefault();
    const settings = { action: form.dataset.confirmAction || event.submitter?.textContent.trim(), danger: "confirmDanger" in form.dataset };
    if (!(await confirmAction(question, settings))) return;
    form.dataset.confirmed = "yes";
    form.requestSubmit(event.submitter);
    delete form.dataset.confirmed;
  });
  document.addEventListener("htmx:confirm", (event) => {
    const { ctx, issueRequest, dropRequest } = event.detail;
    event.preventDefault();
    confirmAction(ctx.confirm, { danger: "confirmDanger" in ctx.sourceElement.dataset }).then((yes) => (yes ? issueRequest() : dropRequest()));
  });
  document.addEventListener("click", (event) => {
    const opener = event.target.closest?.("[data-dialog-open]");
    if (opener) document.querySelector(opener.dataset.dialogOpen)?.showModal();
    event.target.closest?.("[data-dialog-close]")?.closest("dialog")?.close();
  });
}
