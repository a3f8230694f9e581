// The conversation as a tree: editing or regenerating makes a sibling; the shown path runs from the root to a leaf.
// Offsets of the stream count code points, as Python does; JavaScript strings count UTF-16 units.
export const codePoints = (text) => {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
};

export const isOpen = (turn) => turn.state === "streaming" || turn.state === "queued";

export class Tree {
  constructor() {
    this.turns = new Map();
    this.leaf = null;
  }

  /** Take a turn of the server; while it streams, text that we already have is not taken back. */
  put(turn) {
    const known = this.turns.get(turn.id);
    const points = codePoints(turn.content ?? "");
    if (known && isOpen(turn) && known.points > points) {
      this.turns.set(turn.id, { ...known, ...turn, content: known.content, points: known.points });
    } else {
      this.turns.set(turn.id, { ...known, ...turn, content: turn.content ?? "", points });
    }
    return this.turns.get(turn.id);
  }

  get(id) {
    return this.turns.get(id);
  }

  /** Append a piece of a streaming answer. "gap": something before it is missing. */
  extend({ turn: id, start, text }) {
    const turn = this.turns.get(id);
    if (!turn) return "unknown";
    if (start > turn.points) return "gap";
    const piece = start === turn.points ? text : [...text].slice(turn.points - start).join("");
    if (!piece) return "known";
    turn.content += piece;
    turn.points += codePoints(piece);
    if (turn.state === "queued") turn.state = "streaming";
    return "grown";
  }

  children(parent) {
    return [...this.turns.values()].filter((turn) => (turn.parent ?? null) === (parent ?? null)).sort((a, b) => a.id - b.id);
  }

  siblings(turn) {
    return this.children(turn.parent);
  }

  /** The newest leaf below a turn. */
  leafBelow(turn) {
    let at = turn;
    for (let below = this.children(at.id); below.length; below = this.children(at.id)) at = below.at(-1);
    return at;
  }

  path() {
    const steps = [];
    for (let turn = this.turns.get(this.leaf); turn; turn = this.turns.get(turn.parent)) steps.unshift(turn);
    return steps;
  }

  get open() {
    return [...this.turns.values()].filter(isOpen);
  }
}
