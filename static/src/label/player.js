// A recording or a film with a line of time below it: played, searched and marked by keys. Several questions may share one.
import { h, replace } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { icon } from "../lib/icons.js";
import { paint } from "./colours.js";

const STEP = 1000;
const SMALL_STEP = 100;
// Drawing the sound needs all of it in memory; of longer recordings the line of time is shown alone.
const LONGEST_WAVE = 30 * 60_000;

export function formatTime(milliseconds) {
  const whole = Math.max(0, Math.round(milliseconds));
  const minutes = Math.floor(whole / 60_000);
  return `${minutes}:${String(Math.floor(whole / 1000) % 60).padStart(2, "0")}.${String(whole % 1000).padStart(3, "0")}`;
}

/** Keys of a player, for "?". */
export const playerKeys = () => [
  { keys: ["Space"], label: t("tool.key_play") },
  { keys: ["←", "→"], label: t("tool.key_seek") },
  { keys: ["↑", "↓"], label: t("tool.key_seek_small") },
];

export class Player {
  /** `kind`: "audio" or "video". */
  constructor(kind) {
    this.kind = kind;
    this.address = null;
    this.lanes = [];
    this.wave = null;
    this.media = h(`${kind}.player-media`, { preload: "metadata", "aria-label": t(kind === "video" ? "tool.video" : "tool.audio"), playsInline: true });
    this.button = h("button.btn.btn-icon", { type: "button", "aria-label": t("tool.play"), onclick: () => this.toggle() }, icon("play"));
    this.clock = h("span.player-clock");
    this.waveform = h("div.player-wave");
    this.track = h("div.player-track", { "aria-hidden": "true" });
    this.needle = h("div.player-needle");
    this.track.append(this.needle);
    this.trouble = h("p.alert.alert-warning.m-0", { role: "alert", hidden: true });
    this.element = h("div.player", {}, this.media, this.trouble, kind === "audio" && this.waveform, this.track, h("div.player-bar", {}, this.button, this.clock));
    for (const event of ["timeupdate", "seeked", "loadedmetadata", "durationchange"]) this.media.addEventListener(event, () => this.showTime());
    for (const event of ["play", "pause", "ended"]) this.media.addEventListener(event, () => this.showState());
    this.media.addEventListener("loadedmetadata", () => this.onLength());
    this.media.addEventListener("error", () => this.media.getAttribute("src") && this.complain(t("tool.media_failed")));
    this.track.addEventListener("pointerdown", (event) => this.onTrack(event));
  }

  /** Load a medium of a record; the same one again is left as it is. */
  load(item) {
    const address = item?.src || item?.url || "";
    this.item = item;
    if (this.address === address) return;
    this.address = address;
    this.complain(address ? "" : t("tool.no_medium"));
    this.wave?.destroy();
    this.wave = null;
    this.media.pause();
    if (address) this.media.setAttribute("src", address);
    else this.media.removeAttribute("src");
    this.media.load();
    this.showTime();
  }

  onLength() {
    this.drawLanes();
    const isDrawn = this.kind === "audio" && this.duration <= LONGEST_WAVE;
    this.waveform.hidden = !isDrawn;
    if (isDrawn && !this.wave) this.drawWave(this.address);
  }

  complain(text) {
    this.trouble.textContent = text;
    this.trouble.hidden = text === "";
  }

  /** The form of the sound, by wavesurfer; without it (a long or broken file) the line of time is enough. */
  async drawWave(address) {
    const { drawWave } = await import("./wave.js");
    if (this.wave || this.address !== address || !this.element.isConnected) return;
    this.wave = drawWave(this.waveform, this.media, (at) => this.seek(at * this.duration));
  }

  leave() {
    this.media.pause();
    this.wave?.destroy();
    this.address = null;
  }

  /** Milliseconds; what the record says where the file does not tell yet. */
  get duration() {
    const told = this.media.duration * 1000;
    return Number.isFinite(told) && told > 0 ? Math.round(told) : (this.item?.duration_ms ?? 0);
  }

  get now() {
    return Math.round(this.media.currentTime * 1000);
  }

  seek(milliseconds) {
    this.media.currentTime = Math.max(0, Math.min(this.duration, milliseconds)) / 1000;
    this.showTime();
  }

  async toggle() {
    this.until = null;
    if (!this.media.paused) return this.media.pause();
    try {
      await this.media.play();
    } catch {
      // the file cannot be played, which the player says itself
    }
    return undefined;
  }

  /** Play from one moment to another. */
  playPart(from, to) {
    this.seek(from);
    this.toggle();
    this.until = to;
  }

  showState() {
    const isPaused = this.media.paused;
    replace(this.button, icon(isPaused ? "play" : "pause"));
    this.button.setAttribute("aria-label", t(isPaused ? "tool.play" : "tool.pause"));
    const follow = () => {
      this.showTime();
      if (!this.media.paused) requestAnimationFrame(follow);
    };
    if (!isPaused) follow();
  }

  showTime() {
    if (this.until !== null && this.until !== undefined && this.now >= this.until) {
      this.until = null;
      this.media.pause();
    }
    this.clock.textContent = `${formatTime(this.now)} / ${formatTime(this.duration)}`;
    this.needle.style.left = `${this.duration ? (100 * this.now) / this.duration : 0}%`;
  }

  onTrack(event) {
    const box = this.track.getBoundingClientRect();
    this.seek(((event.clientX - box.left) / box.width) * this.duration);
  }

  /** A row of marks on the line of time: `draw()` gives [{from, to, colour, title, isSelected, choose}]. */
  addLane(draw) {
    const row = h("div.player-lane");
    this.track.append(row);
    this.lanes.push({ row, draw });
  }

  drawLanes() {
    const whole = this.duration || 1;
    for (const { row, draw } of this.lanes) {
      replace(row, draw().map(({ from, to, colour, title, isSelected, choose }) => {
        const piece = paint(h(`span.player-mark${isSelected ? ".is-selected" : ""}${to === from ? ".is-moment" : ""}`, { title }), colour);
        piece.style.left = `${(100 * from) / whole}%`;
        piece.style.width = `${(100 * (to - from)) / whole}%`;
        piece.addEventListener("pointerdown", (event) => {
          event.stopPropagation();
          choose();
        });
        return piece;
      }));
    }
  }

  onKey(key) {
    const by = { ArrowLeft: -STEP, ArrowRight: STEP, ArrowDown: -SMALL_STEP, ArrowUp: SMALL_STEP }[key];
    if (key === " ") this.toggle();
    else if (by) this.seek(this.now + by);
    else return false;
    return true;
  }
}

/** The player of a medium on this form: the first question that asks for it shows it. {player, isOwn} */
export function playerFor(context, kind) {
  context.players ??= new Map();
  const isOwn = !context.players.has(kind);
  if (isOwn) context.players.set(kind, new Player(kind));
  return { player: context.players.get(kind), isOwn };
}
