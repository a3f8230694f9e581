// Answers to read: what somebody said to a question, whatever its kind, in a few words or lines.
import { h } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { colourOf, paint } from "./colours.js";
import { readCall } from "./record.js";

const MOST_MARKS = 40;
const LONGEST = 400;

const shortened = (text, limit = LONGEST) => ([...text].length > limit ? `${[...text].slice(0, limit).join("")}…` : text);

function named(choices, value) {
  const found = (choices ?? []).find((choice) => (choice.value ?? choice) === value);
  return found?.label || String(value);
}

function treeName(nodes, path) {
  let level = nodes ?? [];
  return path.map((value) => {
    const node = level.find((one) => one.value === value);
    level = node?.children ?? [];
    return node?.label || value;
  }).join(" › ");
}

function marks(definition, list, words) {
  const labels = definition.labels ?? [];
  const shown = list.slice(0, MOST_MARKS).map((mark) => {
    const at = labels.findIndex((label) => label.value === mark.label);
    const said = words(mark);
    return paint(h("li.said-mark", {}, mark.label && h("b", {}, named(labels, mark.label)), " ", said), colourOf(labels[at], Math.max(0, at)));
  });
  return h("ul.said-marks", {}, shown, list.length > MOST_MARKS && h("li", {}, t("tool.and_more", { count: list.length - MOST_MARKS })));
}

const seconds = (milliseconds) => `${(milliseconds / 1000).toFixed(2)} s`;

function regionWords(region) {
  if (region.kind === "box") return `${Math.round(region.x)}, ${Math.round(region.y)} · ${Math.round(region.w)} × ${Math.round(region.h)}`;
  return region.kind === "polygon" ? t("tool.corners", { count: region.points.length }) : `${Math.round(region.x)}, ${Math.round(region.y)}`;
}

function dialogue(turns) {
  return h("div.said-turns", {}, turns.map((turn) => h("p", {}, h("b", {}, `${t(`role.${turn.role}`)}: `), shortened(turn.content ?? ""), (turn.tool_calls ?? []).map((call) => h("code", {}, ` ${readCall(call).name}()`)), turn.train === false && h("small.text-secondary", {}, ` · ${t("tool.not_learnt")}`))));
}

const views = {
  choice: ({ choices }, value) => [value].flat().map((one) => named(choices, one)).join(", "),
  tree: ({ nodes }, value) => value.map((path) => treeName(nodes, path)).join(", "),
  text: (_, value) => h("div.prewrap", {}, value),
  spans: (definition, value) => marks(definition, value, (span) => `“${shortened(span.text ?? "", 80)}”`),
  relations: (definition, value) => marks(definition, value, ({ from, to }) => `${from} → ${to}`),
  regions: (definition, value) => marks(definition, value.regions ?? [], regionWords),
  segments: (definition, value) => marks(definition, value, (one) => `${seconds(one.start_ms)} – ${seconds(one.end_ms)} ${shortened(one.text ?? "", 120)}`),
  frames: (definition, value) => marks(definition, value, (one) => seconds(one.at_ms)),
  ranking: (_, value) => value.map((place) => place.join(" = ")).join(" › "),
  pairwise: (_, value) => ({ a: t("tool.better_a"), b: t("tool.better_b"), tie: t("tool.tie"), both_bad: t("tool.both_bad") })[value] ?? String(value),
  response_rating: (_, value) => h("ul.said-marks", {}, Object.entries(value).map(([id, given]) => h("li", {}, h("b", {}, id), ` ${Object.entries(given).map(([name, points]) => `${name} ${points}`).join(", ")}`))),
  dialogue: (_, value) => dialogue(value),
  trace: ({ verdicts }, value) => h("ul.said-marks", {}, value.map((step) => h("li", {}, h("b", {}, `${step.index + 1} `), named(verdicts, step.verdict), step.note && ` – ${step.note}`))),
};

/** What was answered to a question, for reading. */
export function answerView(definition, value) {
  if (value === undefined || value === null || value === "") return h("span.text-secondary", {}, "–");
  try {
    const view = views[definition.type]?.(definition, value) ?? String(value);
    return view instanceof Node ? view : h("span", {}, view);
  } catch {
    // an answer of another shape than its question: shown as it is
    return h("code", {}, shortened(JSON.stringify(value)));
  }
}

/** All answers of one person, question by question. */
export function answersView(schema, value) {
  return h("dl.said", {}, schema.fields.map((field) => {
    const entry = value?.find((one) => one.q === field.name);
    return entry && h("div", {}, h("dt", {}, field.label || field.name), h("dd", {}, answerView(field, entry.value)));
  }));
}
