// How the model is asked: system prompt and sampling. Only what somebody chose is kept with the conversation; the rest is
// the model's own default, so that another model is asked as it wants to be.
import { h } from "../lib/dom.js";
import { sheet } from "../lib/dialog.js";
import { t } from "../lib/i18n.js";

const DEFAULTS = { temperature: 0.7, top_p: 0.9, max_tokens: 1024, system_prompt: "" };

function slider(name, value, [low, high, step]) {
  const shown = h("span.text-secondary", { "aria-hidden": "true" }, String(value));
  const range = h("input.form-range", { type: "range", name, min: low, max: high, step, value: String(value) });
  range.addEventListener("input", () => (shown.textContent = range.value));
  return h("label.parameter-row", {}, h("span.parameter-head", {}, t(`chat.${name}`), shown), range, h("span.form-hint", {}, t(`chat.${name}_hint`)));
}

const NAMES = ["temperature", "top_p", "max_tokens"];

/** Ask for parameters; resolves with those that differ from the model's defaults, or null when dismissed. */
export function askParameters(current, defaults = {}) {
  const usual = { ...DEFAULTS, ...defaults };
  const values = { ...usual, ...current };
  const prompt = h("textarea.form-control", { name: "system_prompt", rows: "4", placeholder: t("chat.system_prompt_hint") });
  prompt.value = values.system_prompt ?? "";
  const form = h(
    "form.parameters",
    { method: "dialog" },
    h("label.parameter-row", {}, h("span.parameter-head", {}, t("chat.system_prompt")), prompt),
    slider("temperature", values.temperature, ["0", "2", "0.05"]),
    slider("top_p", values.top_p, ["0.05", "1", "0.05"]),
    h("label.parameter-row", {}, h("span.parameter-head", {}, t("chat.max_tokens")), h("input.form-control", { type: "number", name: "max_tokens", min: "1", max: "32768", value: String(values.max_tokens) })),
  );
  const read = () => {
    const data = new FormData(form);
    const asked = {
      temperature: Number(data.get("temperature")),
      top_p: Number(data.get("top_p")),
      max_tokens: Math.max(1, Math.round(Number(data.get("max_tokens"))) || usual.max_tokens),
    };
    const chosen = NAMES.filter((name) => asked[name] !== usual[name]).map((name) => [name, asked[name]]);
    const others = Object.entries(current).filter(([name]) => !NAMES.includes(name));
    return { ...Object.fromEntries([...others, ...chosen]), system_prompt: String(data.get("system_prompt")).trim() };
  };
  return sheet({
    title: t("chat.parameters"),
    body: form,
    foot: (close) => [
      h("button.btn.me-auto", { type: "button", onclick: () => close({ system_prompt: "" }) }, t("chat.defaults")),
      h("button.btn", { type: "button", onclick: () => close() }, t("app.cancel")),
      h("button.btn.btn-primary", { type: "button", onclick: () => close(read()) }, t("chat.apply")),
    ],
  });
}
