// Shows what is to be labelled: a text, a conversation, answers to choose from, and what else the record carries.
import { h } from "../lib/dom.js";
import { t } from "../lib/i18n.js";

const SHOWN_APART = new Set(["id", "modality", "text", "messages", "choices", "answer", "label", "facets", "extra", "tools", "media", "chosen", "rejected"]);

const lastAnswer = (data) => data.messages?.findLast((message) => message.role === "assistant");

/** The text that a field starts from: a dotted path ("extra.answer"), or "messages.last" for the last answer. */
export function sourceText(data, source) {
  if (!source) return "";
  if (source === "messages.last") return lastAnswer(data)?.content ?? "";
  const value = source.split(".").reduce((part, key) => part?.[key], data);
  return typeof value === "string" ? value : value === undefined || value === null ? "" : JSON.stringify(value);
}

function message({ role, content, name, tool_calls: calls }) {
  const speaker = name || t(`role.${role}`);
  return h(
    `div.turn-card.is-${["user", "assistant", "system", "tool"].includes(role) ? role : "user"}`,
    {},
    h("div.turn-role", {}, speaker),
    h("div.prewrap", {}, content ?? ""),
    calls?.length && h("pre.log", {}, JSON.stringify(calls, null, 1)),
  );
}

const pairs = (entries) => h("dl.record-facts", {}, entries.map(([key, value]) => h("div", {}, h("dt", {}, key), h("dd", {}, typeof value === "string" ? value : JSON.stringify(value)))));

/** The record as an element; `edited` is the source that a field rewrites and that is therefore not shown twice. */
export function showRecord(data, edited = "") {
  const parts = [];
  if (data.text && edited !== "text") parts.push(h("div.record-text.prewrap", {}, data.text));
  if (data.messages?.length) {
    const hidden = edited === "messages.last" ? lastAnswer(data) : null;
    parts.push(h("div.turn-cards", {}, data.messages.filter((turn) => turn !== hidden).map(message)));
  }
  if (data.choices?.length) parts.push(h("ol.record-choices", { type: "A" }, data.choices.map((choice) => h("li.prewrap", {}, choice))));
  const plain = Object.entries(data).filter(([key, value]) => !SHOWN_APART.has(key) && value !== null && key !== edited);
  if (plain.length) parts.push(pairs(plain));
  const facts = [...Object.entries(data.facets ?? {}), ...Object.entries(data.extra ?? {})].filter(([, value]) => value !== null && value !== "");
  if (facts.length) parts.push(h("details.record-more", {}, h("summary", {}, t("label.more")), pairs(facts)));
  return h("div.record", {}, parts);
}
