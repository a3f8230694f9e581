// The kinds of question that a schema may hold: what each is called, what can be set, and how a new one begins.
import { t } from "../lib/i18n.js";

const yesAndNo = () => [{ value: "yes", label: t("builder.yes") }, { value: "no", label: t("builder.no") }];
const twoLabels = () => [{ value: t("builder.label_one") }, { value: t("builder.label_two") }];

/** kind: {title, group, settings, make()}; settings are drawn by settings.js. */
export const kinds = () => ({
  choice: { title: t("builder.kind_choice"), settings: ["choices", "multiple", "proposal"], make: () => ({ choices: yesAndNo(), multiple: false }) },
  tree: { title: t("builder.kind_tree"), settings: ["nodes", "multiple"], make: () => ({ nodes: [{ value: t("builder.label_one"), children: [{ value: t("builder.label_two") }] }], multiple: false }) },
  text: { title: t("builder.kind_text"), settings: ["begin", "placeholder"], make: () => ({}) },
  number: { title: t("builder.kind_number"), settings: ["min", "max", "step"], make: () => ({}) },
  rating: { title: t("builder.kind_rating"), settings: ["scale"], make: () => ({ min: 1, max: 5 }) },
  dialogue: { title: t("builder.kind_dialogue"), settings: ["roles"], make: () => ({}) },
  ranking: { title: t("builder.kind_ranking"), settings: ["ties"], make: () => ({ ties: true }) },
  pairwise: { title: t("builder.kind_pairwise"), settings: ["options"], make: () => ({ options: ["a", "b", "tie", "both_bad"] }) },
  response_rating: { title: t("builder.kind_response_rating"), settings: ["dimensions"], make: () => ({ dimensions: [{ name: "helpful", label: t("builder.helpful"), min: 1, max: 5 }] }) },
  trace: { title: t("builder.kind_trace"), settings: ["verdicts"], make: () => ({ verdicts: [{ value: "right", label: t("tool.right") }, { value: "wrong", label: t("tool.wrong") }, { value: "unneeded", label: t("tool.unneeded") }] }) },
  spans: { title: t("builder.kind_spans"), settings: ["labels", "overlap"], make: () => ({ labels: twoLabels(), overlap: false }) },
  relations: { title: t("builder.kind_relations"), settings: ["spans", "labels"], make: (before) => ({ spans: before.find((field) => field.type === "spans")?.name ?? "", labels: twoLabels() }) },
  regions: { title: t("builder.kind_regions"), settings: ["labels", "tools"], make: () => ({ labels: twoLabels(), tools: ["box", "polygon", "point"] }) },
  segments: { title: t("builder.kind_segments"), settings: ["media", "labels", "transcribe"], make: () => ({ labels: twoLabels(), media: "audio", transcribe: false }) },
  frames: { title: t("builder.kind_frames"), settings: ["labels"], make: () => ({ labels: twoLabels() }) },
});

const EMPTY = [undefined, null, ""];

/** A question without what was left empty. */
export function trimmed(field) {
  const kept = {};
  for (const [name, value] of Object.entries(field)) {
    if (EMPTY.includes(value)) continue;
    kept[name] = ["choices", "labels", "verdicts"].includes(name) && Array.isArray(value) && value.every((one) => typeof one === "object") ? value.map((one) => trimmed({ ...one, value: one.value || one.label })).filter((one) => one.value) : value;
  }
  return kept;
}

/** A name for a question, from its label where that can be one, else from its kind; unlike the others. */
export function nameFor(label, type, taken) {
  const plain = label.normalize("NFKD").replace(/[^A-Za-z0-9]+/g, "_").replace(/^[_0-9]+|_+$/g, "").toLowerCase().slice(0, 40) || type;
  let name = plain;
  for (let number = 2; taken.includes(name); number += 1) name = `${plain}_${number}`;
  return name;
}

/** Lines, deeper ones indented, as a tree; "value = label" gives a node another name to show. */
export function readTree(text) {
  const roots = [];
  const above = [];
  for (const line of text.split("\n")) {
    if (!line.trim()) continue;
    const depth = line.match(/^[ \t]*/)[0].replaceAll("\t", "  ").length;
    const [value, label] = line.trim().split(/\s*=\s*/, 2);
    const node = label ? { value, label } : { value };
    while (above.length && above.at(-1).depth >= depth) above.pop();
    if (above.length) (above.at(-1).node.children ??= []).push(node);
    else roots.push(node);
    above.push({ depth, node });
  }
  return roots;
}

export const writeTree = (nodes, depth = 0) => (nodes ?? []).map((node) => `${"  ".repeat(depth)}${node.value}${node.label && node.label !== node.value ? ` = ${node.label}` : ""}\n${writeTree(node.children, depth + 1)}`).join("");

/** "value = label" lines as choices; what was set for a value before stays. */
export function readChoices(text, before = []) {
  const seen = new Set();
  return text.split("\n").map((line) => line.trim()).filter(Boolean).map((line) => {
    const [value, label] = line.split(/\s*=\s*/, 2);
    return { ...before.find((choice) => choice.value === value), value, ...(label ? { label } : {}) };
  }).filter(({ value }) => !seen.has(value) && seen.add(value));
}

export const writeChoices = (choices) => choices.map(({ value, label }) => (label && label !== value ? `${value} = ${label}` : value)).join("\n");
