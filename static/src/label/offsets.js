// Places in a text: the browser counts UTF-16 units, records count code points.

/** Converts between the two for one text. */
export class Offsets {
  constructor(text) {
    this.text = text;
    this.points = new Uint32Array(text.length + 1);
    this.units = [];
    let count = 0;
    for (let at = 0; at < text.length; ) {
      const width = text.codePointAt(at) > 0xffff ? 2 : 1;
      this.units.push(at);
      this.points[at] = count;
      if (width === 2) this.points[at + 1] = count;
      at += width;
      count += 1;
    }
    this.points[text.length] = count;
    this.units.push(text.length);
  }

  /** The number of code points before a UTF-16 offset. */
  toPoints(unit) {
    return this.points[Math.max(0, Math.min(unit, this.text.length))];
  }

  toUnits(point) {
    return this.units[Math.max(0, Math.min(point, this.units.length - 1))];
  }

  slice(start, end) {
    return this.text.slice(this.toUnits(start), this.toUnits(end));
  }
}

/** Words and signs of a text as [from, to] in UTF-16 units, without the space between them. */
export function wordsOf(text) {
  const words = new Intl.Segmenter(document.documentElement.lang || "en", { granularity: "word" });
  const found = [];
  for (const { segment, index } of words.segment(text)) if (segment.trim()) found.push([index, index + segment.length]);
  return found;
}

/** The next place a caret may stand at, before or after one (emoji of several parts count as one sign). */
export function nextPlace(text, unit, by) {
  const signs = new Intl.Segmenter(document.documentElement.lang || "en", { granularity: "grapheme" });
  if (by > 0) {
    const [first] = signs.segment(text.slice(unit, unit + 64));
    return first ? unit + first.segment.length : text.length;
  }
  const before = text.slice(Math.max(0, unit - 64), unit);
  const last = [...signs.segment(before)].at(-1);
  return last ? unit - last.segment.length : 0;
}
