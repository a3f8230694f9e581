// A row of numbers to choose one from, by click, digit or arrow.
import { h, replace } from "../lib/dom.js";

export class Scale {
  /** `low`, `high`: integers; `labels`: words by number ({1: "poor"}), or a list from low to high. */
  constructor({ low, high, labels = null, title, pick }) {
    Object.assign(this, { low, high, pick, chosen: null });
    this.words = Array.isArray(labels) ? Object.fromEntries(labels.map((word, at) => [low + at, word])) : (labels ?? {});
    this.element = h("div.scale", { role: "radiogroup", "aria-label": title });
    this.element.addEventListener("keydown", (event) => this.onArrow(event));
    this.show();
  }

  get numbers() {
    return Array.from({ length: this.high - this.low + 1 }, (_, at) => this.low + at);
  }

  show() {
    const hadFocus = this.element.contains(document.activeElement);
    replace(this.element, this.numbers.map((number) => {
      const isChosen = number === this.chosen;
      const tabIndex = isChosen || (this.chosen === null && number === this.low) ? 0 : -1;
      const word = this.words[number];
      return h(`button.scale-step${isChosen ? ".is-chosen" : ""}`, { type: "button", role: "radio", "aria-checked": String(isChosen), "aria-label": word ? `${number} ${word}` : String(number), tabIndex, dataset: { number }, onclick: () => this.choose(number) }, h("b", {}, String(number)), word && h("span", {}, word));
    }));
    if (hadFocus) this.focus();
  }

  focus() {
    this.element.querySelector("[tabindex='0']")?.focus({ preventScroll: true });
  }

  choose(number) {
    this.chosen = number;
    this.show();
    this.pick(number);
  }

  onArrow(event) {
    const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (!by || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    const from = this.chosen ?? (by > 0 ? this.low - 1 : this.high + 1);
    this.choose(Math.min(this.high, Math.max(this.low, from + by)));
    this.focus();
  }

  /** The number that a key means here (0 stands for ten), or null. */
  numberOf(key) {
    if (!/^[0-9]$/.test(key)) return null;
    const number = key === "0" && this.low > 0 ? 10 : Number(key);
    return number >= this.low && number <= this.high ? number : null;
  }
}
