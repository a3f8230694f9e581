// The answers that a question compares, as cards; their writers are not named, so that nobody is favoured.
import { h } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { placeOf, valueAt } from "./field.js";
import { letter } from "./record.js";

/** [{id, content, letter}] of a record, in its order; what has no id is called by its place. */
export function responsesOf(data, definition) {
  const found = valueAt(data, placeOf(definition, "responses"));
  return (Array.isArray(found) ? found : []).map((one, at) => ({ id: String(one?.id ?? at), content: typeof one === "string" ? one : (one?.content ?? ""), letter: letter(at) }));
}

export const responseBody = (one) => h("div.response-text.prewrap", {}, one.content);

export const responseLetter = (one) => h("span.response-letter", { "aria-label": t("tool.answer_letter", { letter: one.letter }) }, one.letter);
