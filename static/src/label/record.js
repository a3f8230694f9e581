// Shows what is to be labelled: a text, a conversation, pictures and sound, answers to choose from, and what else the
// record carries.
import { h } from "../lib/dom.js";
import { t } from "../lib/i18n.js";

const SHOWN_APART = new Set(["id", "modality", "text", "messages", "choices", "answer", "label", "facets", "extra", "tools", "media", "chosen", "rejected", "responses", "annotations", "desirable"]);
const ROLES = ["user", "assistant", "system", "tool"];

const lastAnswer = (data) => data.messages?.findLast((message) => message.role === "assistant");

/** The text that a field starts from: a dotted path ("extra.answer"), or "messages.last" for the last answer. */
export function sourceText(data, source) {
  if (!source) return "";
  if (source === "messages.last") return lastAnswer(data)?.content ?? "";
  const value = source.split(".").reduce((part, key) => part?.[key], data);
  return typeof value === "string" ? value : value === undefined || value === null ? "" : JSON.stringify(value);
}

/** The letter under which an answer is shown. */
export const letter = (at) => (at < 26 ? String.fromCharCode(65 + at) : String(at + 1));

/** A call as OpenAI writes it ({function: {name, arguments}}) or plainly ({name, arguments}), as {name, text}. */
export function readCall(call) {
  const { name, arguments: given } = call.function ?? call;
  const text = typeof given === "string" ? given : JSON.stringify(given ?? {}, null, 2);
  return { name: name ?? "", text };
}

export function callView(call) {
  const { name, text } = readCall(call);
  return h("div.tool-call", {}, h("code.tool-call-name", {}, name), h("pre.log", { tabIndex: 0 }, text));
}

export function message({ role, content, name, tool_calls: calls }) {
  const speaker = name || t(`role.${ROLES.includes(role) ? role : "user"}`);
  return h(
    `div.turn-card.is-${ROLES.includes(role) ? role : "user"}`,
    {},
    h("div.turn-role", {}, speaker),
    content && h("div.prewrap", {}, content),
    (calls ?? []).map(callView),
  );
}

const pairs = (entries) => h("dl.record-facts", {}, entries.map(([key, value]) => h("div", {}, h("dt", {}, key), h("dd", {}, typeof value === "string" ? value : JSON.stringify(value)))));

/** A record whose stored files have an address; `template` holds SHA256 where the digest goes. */
export function withAddresses(data, template) {
  if (!template || !data.media?.some((item) => item.sha256 && !item.src)) return data;
  return { ...data, media: data.media.map((item) => (item.sha256 && !item.src ? { ...item, src: template.replace("SHA256", item.sha256) } : item)) };
}

/** One picture, recording, film or file of a record. */
export function mediaView(item) {
  const title = item.caption || item.name || "";
  const address = item.src || item.url;
  if (!address) return title && h("p.text-secondary", {}, title);
  if (item.kind === "image") return h("figure.record-media", {}, h("img", { src: address, alt: item.caption || item.name || t("tool.image"), loading: "lazy" }), item.caption && h("figcaption", {}, item.caption));
  if (item.kind === "audio") return h("figure.record-media", {}, h("audio", { src: address, controls: true, preload: "metadata", "aria-label": title || t("tool.audio") }));
  if (item.kind === "video") return h("figure.record-media", {}, h("video", { src: address, controls: true, preload: "metadata", "aria-label": title || t("tool.video") }));
  return h("a", { href: address, target: "_blank", rel: "noopener" }, title || address);
}

function responses(list) {
  return h("div.response-list", {}, list.map((one, at) => h("article.response", {}, h("span.response-letter", {}, letter(at)), h("div.prewrap", {}, one.content ?? ""))));
}

/** The record as an element, without the parts in `covered` (questions show those themselves); null when nothing is left. */
export function showRecord(data, covered = new Set()) {
  const parts = [];
  const media = (data.media ?? []).filter((_, at) => !covered.has(`media.${at}`));
  if (data.text && !covered.has("text")) parts.push(h("div.record-text.prewrap", {}, data.text));
  parts.push(...media.map(mediaView).filter(Boolean));
  if (data.messages?.length && !covered.has("messages")) {
    const hidden = covered.has("messages.last") ? lastAnswer(data) : null;
    const turns = data.messages.filter((turn) => turn !== hidden);
    if (turns.length) parts.push(h("div.turn-cards", {}, turns.map(message)));
  }
  if (data.responses?.length && !covered.has("responses")) parts.push(responses(data.responses));
  if (data.choices?.length) parts.push(h("ol.record-choices", { type: "A" }, data.choices.map((choice) => h("li.prewrap", {}, choice))));
  const plain = Object.entries(data).filter(([key, value]) => !SHOWN_APART.has(key) && value !== null && !covered.has(key));
  if (plain.length) parts.push(pairs(plain));
  const facts = [...Object.entries(data.facets ?? {}), ...Object.entries(data.extra ?? {})].filter(([key, value]) => value !== null && value !== "" && !covered.has(`extra.${key}`));
  if (facts.length) parts.push(h("details.record-more", {}, h("summary", {}, t("label.more")), pairs(facts)));
  return parts.length ? h("div.record", {}, parts) : null;
}
