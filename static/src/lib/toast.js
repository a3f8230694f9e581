// Short messages in the corner. Errors stay until closed; the rest leaves by itself, later for longer texts.
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./i18n.js";

const symbols = { success: "circle-check", error: "alert", warning: "alert", info: "info" };
const recent = new Map();

function area() {
  return document.getElementById("toasts") ?? document.body.appendChild(h("div.toast-area", { id: "toasts", "aria-live": "polite" }));
}

function dismissLater(note, kind) {
  if (kind === "error") return;
  let timer = setTimeout(() => note.remove(), 4000 + 50 * note.textContent.length);
  note.addEventListener("pointerenter", () => clearTimeout(timer));
  note.addEventListener("pointerleave", () => {
    timer = setTimeout(() => note.remove(), 2000);
  });
}

/** Show a message; the same text within three seconds shows once. An action is {label, run}. */
export function toast(text, kind = "info", action = null) {
  const now = Date.now();
  if (now - (recent.get(text) ?? 0) < 3000) return null;
  recent.set(text, now);
  const note = h(
    `div.toast-note.is-${kind}`,
    { role: kind === "error" ? "alert" : "status", dataset: { toast: "" } },
    icon(symbols[kind]),
    h("div", {}, text, action && h("div.mt-1", {}, h("button.btn.btn-sm", { type: "button", onclick: () => { note.remove(); action.run(); } }, action.label))),
    h("button.btn-close", { type: "button", "aria-label": t("app.close"), dataset: { toastClose: "" } }),
  );
  area().append(note);
  while (area().childElementCount > 5) area().firstElementChild.remove();
  dismissLater(note, kind);
  return note;
}

/** Messages that came with the page behave like the others. */
export function startToasts() {
  document.addEventListener("click", (event) => {
    event.target.closest?.("[data-toast-close]")?.closest("[data-toast]")?.remove();
  });
  for (const note of document.querySelectorAll("[data-toast]")) {
    dismissLater(note, note.classList.contains("is-error") ? "error" : "info");
  }
}
