// What models propose for a task: filled in when the task comes, to be accepted with one key, changed, or turned down.
import { h, replace } from "../lib/dom.js";
import { formatNumber, t } from "../lib/i18n.js";

const PRESSABLE = "button, a, summary, select";

export class PredictionBar {
  /** `fill(value, ranked)`: put answers into the form, with the likeliest choices of long lists; null takes them out. */
  constructor(fill) {
    this.fill = fill;
    this.predictions = [];
    this.chosen = null;
    this.element = h("div.prediction", { role: "group", "aria-label": t("tool.proposal"), hidden: true });
  }

  /**
   * Predictions of a new task, the surest first. `fill`: whether the form has nothing better to begin with; `begun`: the
   * one that the kept work in the form began with.
   */
  show(predictions, { fill, begun = null }) {
    this.predictions = [...predictions].sort((one, other) => (other.score ?? 0) - (one.score ?? 0));
    const at = this.predictions.findIndex((one) => one.id === begun);
    this.chosen = at < 0 ? null : at;
    this.element.hidden = this.predictions.length === 0;
    if (this.predictions.length && fill) this.choose(0);
    else this.draw();
  }

  choose(at) {
    this.chosen = at;
    this.draw();
    this.fill(at === null ? null : structuredClone(this.predictions[at].value), this.predictions[at ?? 0].ranked);
  }

  draw() {
    if (!this.predictions.length) return;
    const options = this.predictions.map((one, at) => {
      const score = typeof one.score === "number" ? ` · ${formatNumber(one.score * 100)} %` : "";
      const isOn = at === this.chosen;
      return h(`button.chip${isOn ? ".is-on" : ""}`, { type: "button", "aria-pressed": String(isOn), onclick: () => this.choose(at) }, `${one.model || t("tool.model")}${score}`);
    });
    replace(
      this.element,
      h("span.prediction-title", {}, t("tool.proposed_by")),
      options,
      this.chosen === null
        ? h("span.text-secondary", {}, t("tool.proposal_unused"))
        : h("button.btn.btn-sm.btn-ghost-secondary.ms-auto", { type: "button", onclick: () => this.choose(null) }, t("tool.turn_down"), h("kbd.ms-2", {}, "⌫")),
      this.chosen !== null && h("p.prediction-hint", {}, t("tool.proposal_hint")),
    );
  }

  /** Enter accepts, Backspace turns down. */
  onKey(event, accept) {
    if (this.chosen === null || !this.predictions.length || event.target.closest?.(PRESSABLE)) return false;
    if (event.key === "Enter") accept();
    else if (event.key === "Backspace") this.choose(null);
    else return false;
    return true;
  }

  /** What a submission says of the proposal: its id, null when it was turned down, undefined when there was none. */
  get answer() {
    if (!this.predictions.length) return undefined;
    return this.chosen === null ? null : this.predictions[this.chosen].id;
  }
}
