// Relations drawn over the text that they connect: an arc above the line, along the margin where they lead to another line.
import { paint } from "./colours.js";

const SVG = "http://www.w3.org/2000/svg";
const [LEVELS, LOWEST, STEP, CORNER, APART] = [3, 6, 5, 4, 4];
const [MARGIN, MARGINS] = [4, 4];
const MOST_LETTERS = 28;
/** Where along its line a name stands, by height, so that names do not cover each other. */
const NAMES = [0.5, 0.3, 0.7];

function drawing(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const middle = (box) => box.top + box.height / 2;
const widthOf = (text) => [...text].reduce((sum, letter) => sum + (letter > "\u2e80" ? 11 : 6.5), 0);
const between = (from, to, level) => from + (to - from) * NAMES[level];
const shortened = (text) => ([...text].length > MOST_LETTERS ? `${[...text].slice(0, MOST_LETTERS).join("")}…` : text);

/** Free room above the lines: which stretches are taken at which height. */
class Gaps {
  constructor() {
    this.lines = [];
  }

  above(box) {
    let line = this.lines.find((one) => Math.abs(one.middle - middle(box)) < box.height / 2);
    if (!line) this.lines.push((line = { middle: middle(box), top: box.top, taken: [] }));
    line.top = Math.min(line.top, box.top);
    return line;
  }

  /** The lowest height at which all stretches [line, from, to] are free; the highest one when none is. */
  take(stretches) {
    const isFree = (level) => stretches.every(([line, from, to]) => line.taken.every((one) => one.level !== level || one.to < from || one.from > to));
    const level = [...Array(LEVELS).keys()].find(isFree) ?? LEVELS - 1;
    for (const [line, from, to] of stretches) line.taken.push({ level, from, to });
    return level;
  }
}

/** From a point up, sideways and down again, with round corners. */
function overOneLine(start, end, y) {
  const corner = Math.min(CORNER, Math.abs(end.x - start.x) / 2) * Math.sign(end.x - start.x);
  const drop = Math.abs(corner);
  return `M${start.x} ${start.y}V${y + drop}Q${start.x} ${y} ${start.x + corner} ${y}H${end.x - corner}Q${end.x} ${y} ${end.x} ${y + drop}V${end.y}`;
}

function overTheMargin(start, end, [first, last], margin) {
  const down = CORNER * Math.sign(last - first);
  return (
    `M${start.x} ${start.y}V${first + CORNER}Q${start.x} ${first} ${start.x - CORNER} ${first}H${margin + CORNER}Q${margin} ${first} ${margin} ${first + down}` +
    `V${last - down}Q${margin} ${last} ${margin + CORNER} ${last}H${end.x - CORNER}Q${end.x} ${last} ${end.x} ${last + CORNER}V${end.y}`
  );
}

/** Where each relation {from, to} of boxes runs: {path, at, end}; short ones lie below long ones. */
export function routes(relations) {
  const gaps = new Gaps();
  const known = relations.map((one) => ({ ...one, lines: [gaps.above(one.from), gaps.above(one.to)] }));
  let beside = 0;
  const isShort = (one) => one.lines[0] === one.lines[1];
  const length = (one) => (isShort(one) ? Math.abs(one.from.left - one.to.left) : 1e5 + Math.abs(one.from.top - one.to.top));
  return known.sort((one, other) => length(one) - length(other)).map((one) => {
    const side = Math.sign(one.to.left - one.from.left) || 1;
    const start = { x: one.from.left + one.from.width / 2 + (isShort(one) ? side * APART : 0), y: one.from.top };
    const end = { x: one.to.left + one.to.width / 2 - (isShort(one) ? side * APART : APART), y: one.to.top };
    const [first, last] = one.lines;
    const heightAt = (line, level) => line.top - LOWEST - STEP * level;
    if (isShort(one)) {
      const level = gaps.take([[first, Math.min(start.x, end.x), Math.max(start.x, end.x)]]);
      const y = heightAt(first, level);
      return { ...one, path: overOneLine(start, end, y), at: { x: between(start.x, end.x, level), y }, end };
    }
    const level = gaps.take([[first, 0, start.x], [last, 0, end.x]]);
    const margin = MARGIN + (beside++ % MARGINS) * MARGIN;
    const heights = [heightAt(first, level), heightAt(last, level)];
    return { ...one, path: overTheMargin(start, end, heights, margin), at: { x: between(margin, end.x, level), y: heights[1] }, end };
  });
}

/** One relation as an element: a line, its head, its name, and a wider line that takes the mouse. */
function arc({ path, at, end, id, title, colour, isSelected }, width, onChoose) {
  const name = shortened(title);
  const half = widthOf(name) / 2;
  const x = Math.max(half, Math.min(width - half, at.x));
  const group = drawing("g", { class: `relation-arc${isSelected ? " is-selected" : ""}`, "data-relation": id },
    drawing("path", { class: "line", d: path }),
    drawing("path", { class: "head", d: `M${end.x - 3.5} ${end.y - 5}H${end.x + 3.5}L${end.x} ${end.y}Z` }),
    drawing("text", { x, y: at.y }, name),
    drawing("path", { class: "reach", d: path }));
  group.addEventListener("click", () => onChoose(id));
  return paint(group, colour);
}

export class Arcs {
  constructor(stage, onChoose) {
    this.onChoose = onChoose;
    this.stage = stage;
    this.element = drawing("svg", { class: "relation-arcs", "aria-hidden": "true" });
    stage.classList.add("has-arcs");
    stage.append(this.element);
  }

  leave() {
    this.stage.classList.remove("has-arcs");
    this.element.remove();
  }

  /** `relations`: {id, from, to (boxes within the stage), title, colour, isSelected}. */
  draw(relations) {
    const width = this.stage.clientWidth;
    const arcs = routes(relations).sort((one, other) => one.isSelected - other.isSelected);
    this.element.replaceChildren(...arcs.map((one) => arc(one, width, this.onChoose)));
  }
}
