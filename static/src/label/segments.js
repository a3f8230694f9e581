// Stretches of a recording or a film, from when to when, with a label and with what is said. Times are whole milliseconds.
import { h } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { proposal } from "./field.js";
import { MarksField } from "./marks.js";
import { formatTime, playerFor, playerKeys } from "./player.js";
import { mediaOf } from "./media.js";

const NUDGE = 100;
const SHORTEST = 10;

export class SegmentsField extends MarksField {
  constructor(definition, changed, context) {
    super(definition, changed, context);
    this.kind = definition.media === "video" ? "video" : "audio";
    const { player, isOwn } = playerFor(context, this.kind);
    this.player = player;
    this.isOwn = isOwn;
    this.begun = null;
    this.keys = [
      ...playerKeys(),
      { keys: ["i"], label: t("tool.key_begin") },
      { keys: ["o"], label: t("tool.key_end") },
      { keys: ["Enter"], label: t("tool.key_play_mark") },
      { keys: ["Shift ←", "Shift →", ",", "."], label: t("tool.key_segment_edges") },
      ...(definition.transcribe ? [{ keys: ["t"], label: t("tool.key_transcribe") }] : []),
      ...this.markKeys,
    ];
    player.addLane(() => this.pieces());
    if (isOwn) this.stage = player.element;
    this.begin = h("button.btn.btn-sm", { type: "button", onclick: () => this.markBegin() }, t("tool.begin"), h("kbd.ms-2", {}, "I"));
    this.end = h("button.btn.btn-sm", { type: "button", onclick: () => this.markEnd() }, t("tool.end"), h("kbd.ms-2", {}, "O"));
    this.said = h("p.form-hint", { role: "status" });
    this.element = this.frame(this.palette, h("div.segment-buttons", {}, this.begin, this.end), this.said, this.count, this.list);
  }

  leave() {
    super.leave();
    if (this.isOwn) this.player.leave();
  }

  start(data) {
    const { item, at } = mediaOf(data, this.definition, this.kind);
    this.covers = [`media.${at}`];
    this.begun = null;
    if (this.isOwn) this.player.load(item);
    this.value = proposal(data, this.definition);
  }

  get value() {
    return this.sorted.map(({ id, start_ms, end_ms, label, text }) => ({ id, start_ms, end_ms, ...(label ? { label } : {}), ...(this.definition.transcribe ? { text: text ?? "" } : {}) }));
  }

  set value(given) {
    this.begun = null;
    this.load((given ?? []).map((segment) => ({ ...segment })));
  }

  get sorted() {
    return [...this.marks].sort((one, other) => one.start_ms - other.start_ms || one.end_ms - other.end_ms);
  }

  pieces() {
    const begun = this.begun === null ? [] : [{ from: this.begun, to: this.begun, colour: this.colourFor(this.label), title: "", isSelected: true, choose() {} }];
    return [...this.sorted.map((mark) => ({ from: mark.start_ms, to: mark.end_ms, colour: this.colourFor(mark.label), title: mark.label ?? "", isSelected: mark.id === this.selected, choose: () => this.choose(mark.id) })), ...begun];
  }

  drawStage() {
    this.player.drawLanes();
    this.said.textContent = this.begun === null ? t("tool.segment_hint") : t("tool.begun_at", { time: formatTime(this.begun) });
  }

  describe({ start_ms: from, end_ms: to }) {
    return `${formatTime(from)} – ${formatTime(to)}`;
  }

  more(id) {
    if (!this.definition.transcribe) return null;
    const area = h("textarea.form-control.form-control-sm.mark-text", { rows: "2", placeholder: t("tool.transcript") });
    area.addEventListener("input", () => {
      // typing is no step of the history: the text field has its own
      this.marks.find((one) => one.id === id).text = area.value;
      this.touch();
    });
    area.addEventListener("keydown", (event) => event.key === "Escape" && this.choose(id));
    return {
      element: area,
      say: (mark) => {
        area.setAttribute("aria-label", t("tool.transcript_of", { time: this.describe(mark) }));
        if (area.value !== (mark.text ?? "")) area.value = mark.text ?? "";
      },
    };
  }

  markBegin() {
    this.begun = this.player.now;
    this.selected = null;
    this.draw();
  }

  /** A segment from where it was begun (else the last second) to now. */
  markEnd() {
    const end = this.player.now;
    const from = this.begun ?? Math.max(0, end - 1000);
    if (end - from < SHORTEST) return;
    const id = this.newId();
    this.begun = null;
    this.commit(() => {
      this.marks.push({ id, start_ms: from, end_ms: end, label: this.label ?? undefined });
      this.selected = id;
    });
    this.choose(id);
  }

  onToolKey(key, event) {
    const end = event?.shiftKey ? { ArrowRight: NUDGE, ArrowLeft: -NUDGE }[key] : undefined;
    const begin = { ",": -NUDGE, ".": NUDGE }[key];
    if (key === "i") this.markBegin();
    else if (key === "o") this.markEnd();
    else if ((end || begin) && this.current) this.moveEdges(begin ?? 0, end ?? 0);
    else if (key === "t" && this.definition.transcribe && this.current) this.write();
    else if (key === "Enter" && this.current) this.player.playPart(this.current.start_ms, this.current.end_ms);
    else return this.player.onKey(key);
    return true;
  }

  moveEdges(begin, end) {
    const { start_ms: from, end_ms: to } = this.current;
    const edges = { start_ms: Math.max(0, from + begin), end_ms: Math.min(this.player.duration || Infinity, to + end) };
    if (edges.end_ms - edges.start_ms < SHORTEST) return;
    this.commit(() => Object.assign(this.current, edges));
    this.player.seek(begin ? edges.start_ms : edges.end_ms);
  }

  write() {
    const area = this.list.querySelector(".is-selected textarea");
    area?.focus();
    area?.setSelectionRange(area.value.length, area.value.length);
  }
}
