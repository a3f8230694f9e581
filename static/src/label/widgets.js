// Which module draws which kind of question; each comes over the line when a page asks such a question.
import { ChoiceField } from "./choice.js";
import { TextField } from "./text.js";

const loaders = {
  choice: async () => ChoiceField,
  text: async () => TextField,
  tree: async () => (await import("./tree.js")).TreeField,
  number: async () => (await import("./number.js")).NumberField,
  rating: async () => (await import("./rating.js")).RatingField,
  ranking: async () => (await import("./ranking.js")).RankingField,
  pairwise: async () => (await import("./pairwise.js")).PairwiseField,
  response_rating: async () => (await import("./response_rating.js")).ResponseRatingField,
  dialogue: async () => (await import("./dialogue.js")).DialogueField,
  trace: async () => (await import("./trace.js")).TraceField,
  spans: async () => (await import("./spans.js")).SpansField,
  relations: async () => (await import("./relations.js")).RelationsField,
  regions: async () => (await import("./regions.js")).RegionsField,
  segments: async () => (await import("./segments.js")).SegmentsField,
  frames: async () => (await import("./frames.js")).FramesField,
};

export const KINDS = Object.keys(loaders);

/** The classes of the kinds that a schema asks for, by kind. */
export async function loadWidgets(schema) {
  const kinds = [...new Set(schema.fields.map((field) => field.type))];
  const classes = await Promise.all(kinds.map((kind) => (loaders[kind] ?? loaders.text)()));
  return Object.fromEntries(kinds.map((kind, at) => [kind, classes[at]]));
}
