// JSON over fetch with the CSRF token; every failure is an ApiError with a sentence for the reader.
import { t } from "./i18n.js";

export class ApiError extends Error {
  constructor(message, { status = 0, code = "", body = null } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.body = body;
  }

  /** The server could not be reached or is restarting: trying again later may help. */
  get isTemporary() {
    return this.status === 0 || this.status === 429 || this.status >= 502;
  }
}

export function csrfToken() {
  const cookie = document.cookie.match(/(?:^|; )shuyuan_csrf=([^;]+)/);
  return cookie ? decodeURIComponent(cookie[1]) : (document.querySelector("meta[name=csrf-token]")?.content ?? "");
}

/** The sentence of an error answer: our API's JSON shape, else one made from the status. */
export function errorMessage(status, text) {
  try {
    const message = JSON.parse(text)?.error?.message;
    if (message) return message;
  } catch {
    // not JSON: the status must do
  }
  if (status === 401) return t("error.login");
  if (status === 403) return t("error.forbidden");
  if (status === 404) return t("error.missing");
  if (status === 413) return t("error.large");
  if (status === 429) return t("error.busy");
  return t("error.server", { status });
}

/**
 * Ask the API: api("/api/v1/…", {method: "POST", json: {...}}). Returns the parsed answer (null for none).
 * `body` sends raw bytes instead of `json`.
 */
export async function api(url, { method = "GET", json, body, headers = {}, signal, keepalive } = {}) {
  const options = { method, signal, keepalive, credentials: "same-origin", headers: { Accept: "application/json", ...headers } };
  if (method !== "GET") options.headers["X-CSRFToken"] = csrfToken();
  if (json !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(json);
  } else if (body !== undefined) {
    options.body = body;
  }
  let response;
  let text;
  try {
    response = await fetch(url, options);
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(t("error.network"));
  }
  if (!response.ok) {
    let parsed = null;
    try {
      parsed = JSON.parse(text);
    } catch {
      // the sentence is made from the status
    }
    throw new ApiError(errorMessage(response.status, text), { status: response.status, code: parsed?.error?.code ?? "", body: parsed });
  }
  if (!text) return null;
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError(t("error.login"), { status: 401 });
  }
}
