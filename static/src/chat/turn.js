// One message on the page: text, state, figures, and what can be done with it.
import { copyText } from "../lib/comforts.js";
import { h, replace } from "../lib/dom.js";
import { formatNumber, t } from "../lib/i18n.js";
import { icon } from "../lib/icons.js";
import { feedbackPanel } from "./feedback.js";
import { Markdown } from "./markdown.js";
import { isOpen } from "./tree.js";

const tool = (name, label, run, more = {}) => h("button.turn-tool", { type: "button", "aria-label": label, title: label, onclick: run, ...more }, icon(name));

/** "180 tokens · 86.4 tokens/s · first after 0.12 s · model". */
function figures(turn) {
  const usage = turn.usage ?? {};
  return [
    usage.completion_tokens && t("chat.tokens", { count: formatNumber(usage.completion_tokens) }),
    usage.tokens_per_second && t("chat.rate", { rate: formatNumber(usage.tokens_per_second) }),
    usage.ttft_ms && t("chat.first", { seconds: (usage.ttft_ms / 1000).toFixed(2) }),
    turn.model_name,
  ].filter(Boolean).join(" · ");
}

function traceCard(steps) {
  const line = (step) => h("div.trace-step", {}, h("div.trace-title", {}, [step.type ?? step.kind, step.name].filter(Boolean).join(" · ")), h("pre.log", {}, step.text ?? JSON.stringify(step.output ?? step.input ?? step, null, 1)));
  return h("details.trace", {}, h("summary", {}, t("chat.trace", { count: steps.length })), steps.map(line));
}

export class TurnView {
  /** `actions`: {edit, regenerate, branch, feedback, readOnly}. */
  constructor(turn, actions) {
    this.actions = actions;
    this.isUser = turn.role === "user";
    this.body = h("div.turn-body");
    this.trace = h("div");
    this.status = h("div.turn-status");
    this.foot = h("div.turn-foot");
    this.extra = h("div");
    this.element = h(`article.turn.is-${turn.role}`, { dataset: { turn: String(turn.id) }, "aria-label": t(`role.${turn.role}`) }, this.trace, this.body, this.status, this.foot, this.extra);
    this.markdown = this.isUser ? null : new Markdown(this.body);
    this.footKey = "";
  }

  update(turn, siblings) {
    this.turn = turn;
    if (this.editing) return;
    // Turns that did not change cost nothing per frame, and what the reader selected in them stays selected.
    if (turn.content !== this.content) {
      this.content = turn.content;
      if (this.isUser) this.body.textContent = turn.content;
      else this.markdown.update(turn.content);
    }
    this.element.classList.toggle("is-open", isOpen(turn));
    this.element.dataset.state = turn.state;
    const key = JSON.stringify([turn.id, turn.state, turn.content === "", turn.trace?.length, turn.usage, turn.feedback, siblings.map((one) => one.id), this.actions.isBusy()]);
    if (key !== this.footKey) {
      this.footKey = key;
      if (!this.isUser) this.showStatus(turn);
      replace(this.trace, turn.trace?.length ? traceCard(turn.trace) : null);
      this.showFoot(turn, siblings);
    }
  }

  showStatus(turn) {
    let words = null;
    if (turn.state === "queued" || (turn.state === "streaming" && !turn.content)) words = h("span.thinking", { role: "status" }, h("i"), h("i"), h("i"), h("span.visually-hidden", {}, t("chat.thinking")));
    if (turn.state === "stopped") words = h("span.text-secondary", {}, t("chat.stopped"));
    if (turn.state === "failed") words = this.failure(turn.error ?? {});
    replace(this.status, words);
  }

  failure(error) {
    const words = h("span.text-danger", {}, error.sentence || error.message || t("chat.failed"));
    if (!error.technical) return words;
    return h("div", {}, words, h("details.technical", {}, h("summary", {}, t("app.technical")), h("pre.log", {}, error.technical)));
  }

  showFoot(turn, siblings) {
    const at = siblings.findIndex((one) => one.id === turn.id);
    const go = (step) => () => this.actions.branch(siblings[at + step]);
    const branches = siblings.length > 1 && h(
      "span.branches",
      { role: "group", "aria-label": t("chat.branches") },
      tool("chevron-left", t("chat.branch_before"), go(-1), { disabled: at <= 0 }),
      h("span", {}, `${at + 1}/${siblings.length}`),
      tool("chevron-right", t("chat.branch_after"), go(1), { disabled: at >= siblings.length - 1 }),
    );
    const open = isOpen(turn);
    const copy = turn.content && !open && tool("copy", t("chat.copy"), () => copyText(this.turn.content));
    const mayChange = !this.actions.readOnly && !open;
    const tools = this.isUser
      ? [branches, copy, mayChange && !this.actions.isBusy() && tool("edit", t("chat.edit"), () => this.edit())]
      : [branches, copy, mayChange && this.thumbs(turn), mayChange && !this.actions.isBusy() && tool("refresh", t("chat.regenerate"), () => this.actions.regenerate(turn)), !open && h("span.turn-figures", {}, figures(turn))];
    replace(this.foot, tools);
  }

  thumbs(turn) {
    const rating = turn.feedback?.rating ?? 0;
    const thumb = (name, value, run) => tool(name, t(value > 0 ? "chat.good" : "chat.bad"), run, { "aria-pressed": String(rating === value) });
    return [
      thumb("thumb-up", 1, () => this.actions.feedback(turn, { rating: rating === 1 ? 0 : 1, reasons: [], comment: "", correction: "" })),
      thumb("thumb-down", -1, () => this.openFeedback(turn)),
    ];
  }

  openFeedback(turn) {
    if (this.extra.firstChild) {
      this.extra.replaceChildren();
      return;
    }
    // The thumb counts at once; reasons and the better answer may follow.
    if (turn.feedback?.rating !== -1) this.actions.feedback(turn, { rating: -1, reasons: [], comment: "", correction: "" }, true);
    const panel = feedbackPanel(turn, { save: (value) => this.actions.feedback(turn, value), close: () => this.extra.replaceChildren() });
    this.extra.replaceChildren(panel);
    panel.scrollIntoView({ block: "nearest", behavior: "smooth" });
    panel.querySelector(".chip").focus({ preventScroll: true });
  }

  edit() {
    this.editing = true;
    const area = h("textarea.form-control", { rows: String(Math.min(10, this.turn.content.split("\n").length + 1)), "aria-label": t("chat.edit") });
    area.value = this.turn.content;
    const close = () => {
      this.editing = false;
      this.element.classList.remove("is-editing");
      this.body.textContent = this.turn.content;
      this.foot.hidden = false;
    };
    const send = async () => {
      const text = area.value.trim();
      if (text && (await this.actions.edit(this.turn, text))) close();
    };
    area.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Escape") close();
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        send();
      }
    });
    this.element.classList.add("is-editing");
    this.foot.hidden = true;
    replace(this.body, area, h("div.btn-list.justify-content-end.mt-2", {}, h("button.btn.btn-sm", { type: "button", onclick: close }, t("app.cancel")), h("button.btn.btn-sm.btn-primary", { type: "button", onclick: send }, t("chat.send"))));
    area.focus();
    area.setSelectionRange(area.value.length, area.value.length);
  }
}
