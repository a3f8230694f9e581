// Answers in order, best first, with ties: by dragging, by buttons, or by keys alone.
import { h, replace } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { icon } from "../lib/icons.js";
import { Field, proposal } from "./field.js";
import { responseBody, responseLetter, responsesOf } from "./responses.js";

export class RankingField extends Field {
  constructor(definition, changed, context) {
    super(definition, changed, context);
    this.ties = definition.ties !== false;
    this.covers = ["responses"];
    this.responses = [];
    this.ranks = [];
    this.cursor = null;
    this.isSet = false;
    this.keys = [
      { keys: ["↑", "↓"], label: t("tool.key_move") },
      { keys: ["Shift ↑", "Shift ↓", "k", "j"], label: t("tool.key_rank") },
      ...(this.ties ? [{ keys: ["="], label: t("tool.key_tie") }] : []),
      { keys: ["1 – 9"], label: t("tool.key_place") },
      { keys: ["Enter"], label: t("tool.key_order_right") },
    ];
    this.stage = h("div.ranking", { role: "list", "aria-label": this.title });
    this.order = h("p.ranking-order", { role: "status" });
    this.confirm = h("button.btn", { type: "button", onclick: () => this.settle() }, icon("check"), t("tool.order_right"));
    this.element = this.frame(this.order, this.confirm);
  }

  start(data) {
    this.responses = responsesOf(data, this.definition);
    this.value = proposal(data, this.definition);
  }

  /** All ids, best first, in the order of the cards. */
  get flat() {
    return this.ranks.flat();
  }

  rankOf(id) {
    return this.ranks.findIndex((rank) => rank.includes(id));
  }

  show(withFocus = false) {
    const known = new Map(this.responses.map((one) => [one.id, one]));
    const hadFocus = this.stage.contains(document.activeElement);
    replace(this.stage, this.responses.length === 0 && h("p.text-secondary.m-0", {}, t("tool.no_responses")), this.ranks.map((rank, at) => {
      const group = h(`div.rank${rank.length > 1 ? ".is-tie" : ""}`, { dataset: { rank: at + 1 } }, h("span.rank-number", { "aria-hidden": "true" }, String(at + 1)), h("div.rank-cards", {}, rank.map((id) => this.card(known.get(id), at))));
      this.acceptDrops(group, at);
      return group;
    }));
    const said = this.ranks.map((rank) => rank.map((id) => known.get(id).letter).join(" = ")).join(" › ");
    this.order.textContent = this.isSet ? t("tool.order", { order: said }) : t("tool.unordered");
    this.order.classList.toggle("text-secondary", !this.isSet);
    this.confirm.hidden = this.isSet || this.responses.length === 0;
    if (withFocus || hadFocus) this.focus();
  }

  card(one, at) {
    const button = (name, label, run) => h("button.btn.btn-icon.btn-sm.btn-ghost-secondary", { type: "button", tabIndex: -1, "aria-label": label, title: label, onclick: run }, icon(name));
    const card = h(
      `article.response.rank-card${one.id === this.cursor ? ".is-cursor" : ""}`,
      { role: "listitem", tabIndex: one.id === this.cursor ? 0 : -1, draggable: "true", "aria-label": t("tool.answer_at", { letter: one.letter, rank: at + 1 }), dataset: { id: one.id } },
      responseLetter(one),
      responseBody(one),
      h("div.rank-tools", {}, button("up", t("tool.better"), () => this.shift(one.id, -1)), button("down", t("tool.worse"), () => this.shift(one.id, 1)), this.ties && button("equal", t("tool.tie_above"), () => this.tie(one.id))),
    );
    card.addEventListener("focus", () => this.point(one.id));
    card.addEventListener("dragstart", (event) => {
      this.dragged = one.id;
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("text/plain", one.letter);
      card.classList.add("is-dragged");
    });
    card.addEventListener("dragend", () => {
      this.dragged = null;
      this.show();
    });
    return card;
  }

  /** Drop on the upper or lower edge of a rank: before or after it; in its middle: a tie with it. */
  acceptDrops(group, at) {
    const place = (event) => {
      const box = group.getBoundingClientRect();
      const share = (event.clientY - box.top) / box.height;
      if (!this.ties) return share < 0.5 ? "before" : "after";
      return share < 0.3 ? "before" : share > 0.7 ? "after" : "tie";
    };
    group.addEventListener("dragover", (event) => {
      if (!this.dragged) return;
      event.preventDefault();
      group.dataset.drop = place(event);
    });
    group.addEventListener("dragleave", () => delete group.dataset.drop);
    group.addEventListener("drop", (event) => {
      if (!this.dragged) return;
      event.preventDefault();
      const where = place(event);
      delete group.dataset.drop;
      this.drop(this.dragged, this.ranks[at], where);
    });
  }

  drop(id, target, where) {
    if (target.length === 1 && target[0] === id) return;
    this.takeOut(id);
    const at = this.ranks.indexOf(target);
    if (where === "tie") target.push(id);
    else this.ranks.splice(where === "before" ? at : at + 1, 0, [id]);
    this.changedTo(id);
  }

  /** Take an answer out; its rank goes when nothing else is in it. */
  takeOut(id) {
    const rank = this.ranks[this.rankOf(id)];
    rank.splice(rank.indexOf(id), 1);
    this.ranks = this.ranks.filter((one) => one.length);
  }

  changedTo(id) {
    this.isSet = true;
    this.cursor = id;
    this.show(true);
    this.touch();
  }

  settle() {
    if (!this.responses.length) return;
    this.isSet = true;
    this.show();
    this.touch();
  }

  /** One step better (-1) or worse (1): out of a tie first, then past the neighbour. */
  shift(id, by) {
    const at = this.rankOf(id);
    const rank = this.ranks[at];
    if (rank.length > 1) {
      this.takeOut(id);
      this.ranks.splice(by < 0 ? at : at + 1, 0, [id]);
    } else {
      const other = at + by;
      if (other < 0 || other >= this.ranks.length) return;
      this.ranks.splice(other, 0, ...this.ranks.splice(at, 1));
    }
    this.changedTo(id);
  }

  /** As good as the rank above; pressed again in a tie: worse than its rank again. */
  tie(id) {
    const at = this.rankOf(id);
    if (this.ranks[at].length > 1) return this.shift(id, 1);
    if (at === 0) return undefined;
    const above = this.ranks[at - 1];
    this.takeOut(id);
    above.push(id);
    return this.changedTo(id);
  }

  /** Put an answer at a place of the order; places behind the end mean the end. */
  placeAt(id, number) {
    this.takeOut(id);
    this.ranks.splice(Math.min(number - 1, this.ranks.length), 0, [id]);
    this.changedTo(id);
  }

  point(id) {
    if (this.cursor === id) return;
    this.cursor = id;
    for (const card of this.stage.querySelectorAll(".rank-card")) {
      card.classList.toggle("is-cursor", card.dataset.id === id);
      card.tabIndex = card.dataset.id === id ? 0 : -1;
    }
  }

  onKey(key, event) {
    if (!this.responses.length) return false;
    const order = this.flat;
    const at = order.indexOf(this.cursor);
    const step = { ArrowUp: -1, ArrowDown: 1 }[key];
    if (step && !event.shiftKey) {
      this.cursor = order[Math.max(0, Math.min(order.length - 1, at + step))];
      this.show(true);
    } else if (step || key === "k" || key === "j") {
      this.shift(this.cursor, step ?? (key === "k" ? -1 : 1));
    } else if (key === "=" && this.ties) {
      this.tie(this.cursor);
    } else if (/^[1-9]$/.test(key) && Number(key) <= this.responses.length) {
      this.placeAt(this.cursor, Number(key));
    } else if (key === "Enter") {
      this.settle();
    } else {
      return false;
    }
    return true;
  }

  focus() {
    this.stage.querySelector(".rank-card.is-cursor")?.focus({ preventScroll: false });
  }

  get value() {
    return this.isSet ? this.ranks.map((rank) => [...rank]) : null;
  }

  set value(given) {
    const known = new Set(this.responses.map((one) => one.id));
    const ranks = (given ?? []).map((rank) => [rank].flat().filter((id) => known.delete(id))).filter((rank) => rank.length);
    this.isSet = Array.isArray(given) && known.size === 0 && ranks.length > 0;
    this.ranks = [...ranks, ...[...known].map((id) => [id])];
    this.cursor = this.flat[0] ?? null;
    this.show();
  }
}
