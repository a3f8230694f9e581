// htmx: the CSRF token on every writing request, and errors as messages instead of pages swapped into a corner.
import htmx from "htmx.org";
import { csrfToken, errorMessage } from "./api.js";
import { t } from "./i18n.js";
import { toast } from "./toast.js";

/** Form errors come as 422 with HTML to swap; every other error is a sentence. Returning early stops the swap. */
function onAnswer(event) {
  const { ctx } = event.detail;
  const { status, raw } = ctx.response;
  if (raw.redirected && new URL(raw.url).pathname.includes("/login")) {
    event.preventDefault();
    location.assign(raw.url);
    return;
  }
  if (status < 400) return;
  const isHtml = (raw.headers.get("content-type") ?? "").startsWith("text/html");
  if (status === 422 && isHtml) return;
  event.preventDefault();
  toast(errorMessage(status, ctx.text), "error");
}

export function startHtmx() {
  window.htmx = htmx;
  document.addEventListener("htmx:config:request", (event) => {
    const { request } = event.detail.ctx;
    if (request.method !== "GET") request.headers["X-CSRFToken"] = csrfToken();
  });
  document.addEventListener("htmx:after:request", onAnswer);
  document.addEventListener("htmx:error", (event) => {
    const { ctx, error } = event.detail;
    if (ctx && !ctx.response && error?.name !== "AbortError") {
      // A refresh in the background repeats by itself; only what the reader asked for deserves a message.
      if (ctx.sourceEvent?.type !== "live") toast(t("error.network"), "error");
    } else if (error) {
      console.error(error);
    }
  });
  // The server may send HX-Trigger: {"toast": {"text": "...", "kind": "success"}}.
  document.addEventListener("toast", (event) => event.detail?.text && toast(event.detail.text, event.detail.kind ?? "success"));
}
