// Single moments of a film that carry a label.
import { h } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { proposal } from "./field.js";
import { MarksField } from "./marks.js";
import { formatTime, playerFor, playerKeys } from "./player.js";
import { mediaOf } from "./media.js";

const NUDGE = 40;

export class FramesField extends MarksField {
  constructor(definition, changed, context) {
    super(definition, changed, context);
    const { player, isOwn } = playerFor(context, "video");
    this.player = player;
    this.isOwn = isOwn;
    this.keys = [
      ...playerKeys(),
      { keys: ["m"], label: t("tool.key_moment") },
      { keys: [",", "."], label: t("tool.key_moment_move") },
      ...this.markKeys,
    ];
    player.addLane(() => this.marks.map((mark) => ({ from: mark.at_ms, to: mark.at_ms, colour: this.colourFor(mark.label), title: mark.label, isSelected: mark.id === this.selected, choose: () => this.choose(mark.id) })));
    if (isOwn) this.stage = player.element;
    this.element = this.frame(this.palette, h("button.btn.btn-sm", { type: "button", onclick: () => this.markNow() }, t("tool.mark_moment"), h("kbd.ms-2", {}, "M")), this.count, this.list);
  }

  leave() {
    super.leave();
    if (this.isOwn) this.player.leave();
  }

  start(data) {
    const { item, at } = mediaOf(data, this.definition, "video");
    this.covers = [`media.${at}`];
    if (this.isOwn) this.player.load(item);
    this.value = proposal(data, this.definition);
  }

  get value() {
    return this.sorted.map(({ id, at_ms, label }) => ({ id, at_ms, label }));
  }

  set value(given) {
    this.load((given ?? []).map((frame) => ({ ...frame })));
  }

  get sorted() {
    return [...this.marks].sort((one, other) => one.at_ms - other.at_ms);
  }

  drawStage() {
    this.player.drawLanes();
  }

  describe({ at_ms: at }) {
    return formatTime(at);
  }

  select(id) {
    super.select(id);
    if (this.current) this.player.seek(this.current.at_ms);
  }

  markNow() {
    const id = this.newId();
    this.commit(() => {
      this.marks.push({ id, at_ms: this.player.now, label: this.label });
      this.selected = id;
    });
    this.choose(id);
  }

  onToolKey(key) {
    const by = { ",": -NUDGE, ".": NUDGE }[key];
    if (key === "m") this.markNow();
    else if (by && this.current) this.moveBy(by);
    else return this.player.onKey(key);
    return true;
  }

  moveBy(by) {
    this.commit(() => (this.current.at_ms = Math.max(0, Math.min(this.player.duration || Infinity, this.current.at_ms + by))));
    this.player.seek(this.current.at_ms);
  }
}
