// Boxes, polygons and points on a picture: drawn with the mouse, or made and moved by keys. All places are pixels of the
// picture as it is shown upright.
import { createImageAnnotator, ShapeType } from "@annotorious/annotorious";
import "@annotorious/annotorious/annotorious.css";
import { h, replace } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { icon } from "../lib/icons.js";
import { proposal } from "./field.js";
import { MarksField } from "./marks.js";
import { mediaOf } from "./media.js";

const TOOLS = { box: "rectangle", polygon: "polygon", point: "point" };
const POINT_SIZE = 5;
const DEGREES = 180 / Math.PI;

const rounded = (value) => Math.round(value * 10) / 10;

function boundsOf(points) {
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  return { minX: Math.min(...xs), minY: Math.min(...ys), maxX: Math.max(...xs), maxY: Math.max(...ys) };
}

export class RegionsField extends MarksField {
  constructor(definition, changed, context) {
    super(definition, changed, context);
    this.tools = (definition.tools ?? ["box"]).filter((tool) => tool in TOOLS);
    this.tool = this.tools[0] ?? "box";
    this.covers = ["media.0"];
    this.corner = null;
    this.size = null;
    const made = { box: ["b", t("tool.key_new_box")], polygon: ["p", t("tool.key_new_polygon")], point: ["o", t("tool.key_new_point")] };
    this.keys = [
      ...this.tools.map((tool) => ({ keys: [made[tool][0]], label: made[tool][1] })),
      { keys: ["←", "→", "↑", "↓"], label: t("tool.key_nudge") },
      { keys: ["Shift ←"], label: t("tool.key_nudge_more") },
      ...(this.tools.includes("box") ? [{ keys: ["Alt →", "Alt ↓"], label: t("tool.key_resize") }] : []),
      ...(this.tools.includes("polygon") ? [{ keys: ["v"], label: t("tool.key_corner") }, { keys: ["i", "x"], label: t("tool.key_corner_edit") }] : []),
      ...this.markKeys,
    ];
    this.bar = h("div.region-tools", { role: "radiogroup", "aria-label": t("tool.shape") });
    this.holder = h("div.region-picture");
    this.note = h("p.form-hint", { role: "status" });
    this.stage = h("div.region-stage", {}, this.bar, this.holder, this.note);
    this.element = this.frame(this.palette, this.count, this.list);
    this.resized = new ResizeObserver(() => this.drawPoints());
    this.resized.observe(this.holder);
  }

  leave() {
    super.leave();
    this.resized.disconnect();
    this.annotator?.destroy();
  }

  // --- the record ---

  start(data) {
    this.annotator?.destroy();
    this.annotator = null;
    this.size = null;
    const { item, at } = mediaOf(data, this.definition, "image");
    this.covers = [`media.${at < 0 ? 0 : at}`];
    this.value = proposal(data, this.definition);
    if (!item) {
      replace(this.holder, h("p.text-secondary.m-0", {}, t("tool.no_picture")));
      return;
    }
    const picture = h("img", { src: item.src || item.url, alt: item.caption || item.name || t("tool.image"), draggable: false });
    replace(this.holder, picture);
    picture.addEventListener("error", () => replace(this.holder, h("p.alert.alert-warning.m-0", { role: "alert" }, t("tool.picture_failed"))));
    picture.addEventListener("load", () => this.onPicture(picture));
  }

  onPicture(picture) {
    if (!picture.isConnected || this.size) return;
    this.drawn = new Map();
    this.look = "";
    this.size = { w: picture.naturalWidth, h: picture.naturalHeight };
    this.annotator = createImageAnnotator(picture, { drawingEnabled: true, theme: "light", style: (mark, state) => this.styleOf(mark.id, state) });
    this.points = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    this.points.classList.add("region-points");
    this.points.setAttribute("aria-hidden", "true");
    this.annotator.element.append(this.points);
    this.nameHandles(this.annotator.element);
    this.annotator.on("createAnnotation", (made) => this.onDrawn(made));
    this.annotator.on("updateAnnotation", (changed) => this.onMoved(changed));
    this.annotator.on("selectionChanged", ([chosen]) => {
      if (!this.isDrawing && chosen && chosen.id !== this.selected) this.select(chosen.id);
    });
    this.annotator.element.addEventListener("click", (event) => this.tool === "point" && this.onPoint(event));
    this.useTool(this.tool);
    this.draw();
  }

  /** The annotator's handles are for the mouse: named, and no stops for Tab, since keys of our own do the same. */
  nameHandles(layer) {
    const name = () => {
      for (const handle of layer.querySelectorAll("[tabindex='0']")) {
        handle.setAttribute("tabindex", "-1");
        handle.setAttribute("aria-label", handle.getAttribute("role") === "application" ? t("tool.image") : t("tool.handle"));
      }
    };
    name();
    new MutationObserver(name).observe(layer, { childList: true, subtree: true });
  }

  get value() {
    const image = this.size ?? this.kept ?? { w: 0, h: 0 };
    return { image, regions: this.marks.map((mark) => structuredClone(mark)) };
  }

  set value(given) {
    this.kept = given?.image ?? null;
    this.corner = null;
    this.load(structuredClone(given?.regions ?? []));
  }

  get isEmpty() {
    return this.marks.length === 0;
  }

  // --- the picture ---

  styleOf(id) {
    const mark = this.marks.find((one) => one.id === id);
    const colour = this.colourFor(mark ? mark.label : this.label);
    return { fill: colour, fillOpacity: id === this.selected ? 0.3 : 0.14, stroke: colour, strokeWidth: id === this.selected ? 3 : 2 };
  }

  /** A mark in the annotator's form. */
  shapeOf(mark) {
    if (mark.kind === "box") {
      const { x, y, w, h: height, rotation } = mark;
      return { type: ShapeType.RECTANGLE, geometry: { x, y, w, h: height, ...(rotation ? { rot: rotation / DEGREES } : {}), bounds: { minX: x, minY: y, maxX: x + w, maxY: y + height } } };
    }
    return { type: ShapeType.POLYGON, geometry: { points: mark.points, bounds: boundsOf(mark.points) } };
  }

  drawStage() {
    this.drawTools();
    if (!this.annotator) return;
    this.isDrawing = true;
    const shapes = this.marks.filter((mark) => mark.kind !== "point");
    const drawn = new Map(shapes.map((mark) => [mark.id, JSON.stringify(mark)]));
    for (const id of this.drawn.keys()) if (!drawn.has(id)) this.annotator.removeAnnotation(id);
    for (const mark of shapes) {
      const before = this.drawn.get(mark.id);
      if (before === drawn.get(mark.id)) continue;
      const shape = { id: mark.id, bodies: [], target: { annotation: mark.id, selector: this.shapeOf(mark) } };
      if (before === undefined) this.annotator.addAnnotation(shape);
      else this.annotator.updateAnnotation(shape);
    }
    this.drawn = drawn;
    const look = JSON.stringify([this.selected, this.label, this.colourFor(this.label), this.marks.map((mark) => mark.label)]);
    if (look !== this.look) this.annotator.setStyle((mark) => this.styleOf(mark.id));
    this.look = look;
    const chosen = this.annotator.getSelected()[0]?.id ?? null;
    const wanted = drawn.has(this.selected) ? this.selected : null;
    if (wanted && wanted !== chosen) this.annotator.setSelected(wanted, true);
    else if (!wanted && chosen) this.annotator.cancelSelected();
    this.isDrawing = false;
    this.drawPoints();
  }

  /** Points, and the corner of a polygon that the arrows move. */
  drawPoints() {
    if (!this.points || !this.size) return;
    const corner = this.current?.kind === "polygon" && this.corner !== null ? this.current.points[this.corner] : null;
    if (!corner && !this.marks.some((mark) => mark.kind === "point")) {
      this.points.replaceChildren();
      return;
    }
    this.points.setAttribute("viewBox", `0 0 ${this.size.w} ${this.size.h}`);
    const scale = this.size.w / (this.points.clientWidth || this.size.w);
    const dot = (x, y, colour, isBig, id) => {
      const circle = document.createElementNS("http://www.w3.org/2000/svg", "circle");
      Object.entries({ cx: x, cy: y, r: (isBig ? POINT_SIZE + 2 : POINT_SIZE) * scale, fill: colour, stroke: "#fff", "stroke-width": 2 * scale }).forEach(([name, value]) => circle.setAttribute(name, value));
      if (id) {
        circle.dataset.id = id;
        circle.addEventListener("pointerdown", (event) => this.dragPoint(event, id));
      }
      return circle;
    };
    this.points.replaceChildren(...this.marks.filter((mark) => mark.kind === "point").map((mark) => dot(mark.x, mark.y, this.colourFor(mark.label), mark.id === this.selected, mark.id)));
    if (corner) this.points.append(dot(...corner, "#000", true, null));
  }

  drawTools() {
    const names = { box: t("tool.box"), polygon: t("tool.polygon"), point: t("tool.point") };
    const icons = { box: "rectangle", polygon: "polygon", point: "point" };
    this.bar.hidden = this.tools.length < 2;
    replace(this.bar, this.tools.map((tool) => h(`button.btn.btn-sm${tool === this.tool ? ".active" : ""}`, { type: "button", role: "radio", "aria-checked": String(tool === this.tool), onclick: () => this.useTool(tool) }, icon(icons[tool]), names[tool])));
    const hints = { box: t("tool.draw_box"), polygon: t("tool.draw_polygon"), point: t("tool.draw_point") };
    this.note.textContent = hints[this.tool];
  }

  useTool(tool) {
    this.tool = tool;
    this.holder.dataset.tool = tool;
    this.annotator?.setDrawingEnabled(tool !== "point");
    if (tool !== "point") this.annotator?.setDrawingTool(TOOLS[tool]);
    this.drawTools();
  }

  describe(mark) {
    const name = { box: t("tool.box"), polygon: t("tool.polygon"), point: t("tool.point") }[mark.kind];
    if (mark.kind === "box") return `${name} ${Math.round(mark.w)} × ${Math.round(mark.h)}`;
    if (mark.kind === "polygon") return `${name} · ${mark.points.length}`;
    return `${name} ${Math.round(mark.x)}, ${Math.round(mark.y)}`;
  }

  // --- with the mouse ---

  /** What the annotator drew, as a mark. */
  read({ type, geometry }) {
    if (type === ShapeType.RECTANGLE) {
      const rotation = geometry.rot ? { rotation: rounded((geometry.rot * DEGREES + 360) % 360) } : {};
      return { kind: "box", ...this.inside({ x: rounded(geometry.x), y: rounded(geometry.y), w: rounded(geometry.w), h: rounded(geometry.h) }), ...rotation };
    }
    return { kind: "polygon", points: geometry.points.map(([x, y]) => [this.clamp(x, "w"), this.clamp(y, "h")]) };
  }

  clamp(value, side) {
    return rounded(Math.max(0, Math.min(this.size[side], value)));
  }

  /** A box that lies in the picture. */
  inside({ x, y, w, h: height }) {
    const [left, top] = [this.clamp(x, "w"), this.clamp(y, "h")];
    return { x: left, y: top, w: rounded(Math.max(1, Math.min(w + Math.min(0, x), this.size.w - left))), h: rounded(Math.max(1, Math.min(height + Math.min(0, y), this.size.h - top))) };
  }

  onDrawn(made) {
    if (this.marks.some((mark) => mark.id === made.id)) return;
    const id = this.newId();
    const mark = { id, ...this.read(made.target.selector), label: this.label };
    // After the annotator has finished with what it made; the mark takes its place.
    queueMicrotask(() => {
      this.isDrawing = true;
      this.annotator.removeAnnotation(made.id);
      this.isDrawing = false;
      this.commit(() => {
        this.marks.push(mark);
        this.selected = id;
      });
    });
  }

  onMoved(changed) {
    if (this.isDrawing || !this.marks.some((mark) => mark.id === changed.id)) return;
    const shape = this.read(changed.target.selector);
    queueMicrotask(() => this.commit(() => {
      const mark = this.marks.find((one) => one.id === changed.id);
      if (shape.rotation === undefined) delete mark.rotation;
      Object.assign(mark, shape);
    }));
  }

  placeOf(event) {
    const box = this.points.getBoundingClientRect();
    return { x: this.clamp(((event.clientX - box.left) / box.width) * this.size.w, "w"), y: this.clamp(((event.clientY - box.top) / box.height) * this.size.h, "h") };
  }

  onPoint(event) {
    if (event.target.closest("circle[data-id]")) return;
    this.addMark({ kind: "point", ...this.placeOf(event) });
  }

  dragPoint(event, id) {
    event.preventDefault();
    event.stopPropagation();
    this.selected = id;
    const circle = event.target;
    circle.setPointerCapture(event.pointerId);
    let place = null;
    circle.addEventListener("pointermove", (moved) => {
      place = this.placeOf(moved);
      circle.setAttribute("cx", place.x);
      circle.setAttribute("cy", place.y);
    });
    circle.addEventListener("pointerup", () => (place ? this.commit(() => Object.assign(this.current, place)) : this.choose(id)), { once: true });
  }

  // --- with keys ---

  addMark(shape) {
    const id = this.newId();
    this.corner = null;
    this.commit(() => {
      this.marks.push({ id, ...shape, label: this.label });
      this.selected = id;
    });
    this.choose(id);
  }

  /** A new region in the middle, to be moved and sized by keys. */
  addInTheMiddle(tool) {
    if (!this.size) return;
    const { w, h: height } = this.size;
    const [x, y] = [Math.round(w / 2), Math.round(height / 2)];
    const [dx, dy] = [Math.round(w / 8), Math.round(height / 8)];
    this.useTool(tool);
    if (tool === "point") this.addMark({ kind: "point", x, y });
    else if (tool === "box") this.addMark({ kind: "box", x: x - dx, y: y - dy, w: 2 * dx, h: 2 * dy });
    else this.addMark({ kind: "polygon", points: [[x - dx, y - dy], [x + dx, y - dy], [x + dx, y + dy], [x - dx, y + dy]] });
  }

  moveBy(dx, dy) {
    const mark = this.current;
    this.commit(() => {
      if (mark.kind === "polygon") {
        const moved = this.corner === null ? mark.points : [mark.points[this.corner]];
        const { minX, minY, maxX, maxY } = boundsOf(moved);
        const [x, y] = [Math.max(-minX, Math.min(this.size.w - maxX, dx)), Math.max(-minY, Math.min(this.size.h - maxY, dy))];
        for (const point of moved) [point[0], point[1]] = [point[0] + x, point[1] + y];
      } else {
        mark.x = Math.max(0, Math.min(this.size.w - (mark.w ?? 0), mark.x + dx));
        mark.y = Math.max(0, Math.min(this.size.h - (mark.h ?? 0), mark.y + dy));
      }
    });
  }

  resizeBy(dx, dy) {
    const mark = this.current;
    if (mark?.kind !== "box") return false;
    this.commit(() => {
      mark.w = Math.max(1, Math.min(this.size.w - mark.x, mark.w + dx));
      mark.h = Math.max(1, Math.min(this.size.h - mark.y, mark.h + dy));
    });
    return true;
  }

  select(id) {
    if (id !== this.selected) this.corner = null;
    super.select(id);
  }

  stepOf(event) {
    const far = event.shiftKey ? 10 : 1;
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    return way?.map((part) => part * far);
  }

  onToolKey(key, event) {
    const made = { b: "box", p: "polygon", o: "point" }[key];
    const way = this.stepOf(event);
    if (made && this.tools.includes(made)) this.addInTheMiddle(made);
    else if (way && this.current && this.size) this.moveBy(...way);
    else if (this.current?.kind === "polygon" && (key === "v" || key === "i" || key === "x")) this.onCorner(key);
    else return false;
    return true;
  }

  /** v: to the next corner (after the last: the whole); i: a corner more behind it; x: without it. */
  onCorner(key) {
    const { points } = this.current;
    if (key === "v") {
      this.corner = this.corner === null ? 0 : this.corner + 1 < points.length ? this.corner + 1 : null;
      this.drawPoints();
    } else if (key === "i") {
      const at = this.corner ?? points.length - 1;
      const [one, other] = [points[at], points[(at + 1) % points.length]];
      this.commit(() => this.current.points.splice(at + 1, 0, [rounded((one[0] + other[0]) / 2), rounded((one[1] + other[1]) / 2)]));
      this.corner = at + 1;
      this.drawPoints();
    } else if (this.corner !== null && points.length > 3) {
      this.commit(() => this.current.points.splice(this.corner, 1));
      this.corner = Math.min(this.corner, this.current.points.length - 1);
      this.drawPoints();
    }
  }

  onCommand(event) {
    const way = event.altKey && this.current && this.size ? this.stepOf(event) : null;
    return way ? this.resizeBy(...way) : super.onCommand(event);
  }
}
