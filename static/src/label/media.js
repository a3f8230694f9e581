// Which medium of a record a question is about.
import { placeOf } from "./field.js";

/** {item, at}: the medium that `source` names ("media.1"), else the first of its kind; item null when there is none. */
export function mediaOf(data, definition, kind) {
  const media = data.media ?? [];
  const place = placeOf(definition, "");
  const at = place ? Number(place.replace("media.", "")) : media.findIndex((item) => item.kind === kind);
  return { item: media[at] ?? null, at };
}
