// Label island: one task after the other by keyboard, without page loads. Contract and attributes: docs/frontend.md.
import "./label.css";
import "./label/tools.css";
import { debounce, h, isTyping, replace, uuid } from "./lib/dom.js";
import { formatSeconds, t } from "./lib/i18n.js";
import { icon } from "./lib/icons.js";
import { island } from "./lib/islands.js";
import { describeShortcuts } from "./lib/shortcuts.js";
import { toast } from "./lib/toast.js";
import { chooseVersion } from "./label/conflict.js";
import { askReason, sameAnswers, SideBySide } from "./label/deciding.js";
import { AnswerForm } from "./label/form.js";
import { PredictionBar } from "./label/prediction.js";
import { showRefused } from "./label/refused.js";
import { Session } from "./label/session.js";

const RETRY = 4000;
const LEASED_RETRY = 10_000;
const QUICK = ["choice", "pairwise", "rating"];

/** Time on the task while the page is looked at. */
class Stopwatch {
  constructor() {
    this.restart();
    this.onVisibility = () => (document.hidden ? this.pause() : this.resume());
    document.addEventListener("visibilitychange", this.onVisibility);
  }

  restart() {
    this.kept = 0;
    this.since = document.hidden ? null : performance.now();
  }

  pause() {
    this.kept = this.elapsed;
    this.since = null;
  }

  resume() {
    this.since ??= performance.now();
  }

  get elapsed() {
    return Math.round(this.kept + (this.since === null ? 0 : performance.now() - this.since));
  }

  leave() {
    document.removeEventListener("visibilitychange", this.onVisibility);
  }
}

class Labeller {
  constructor(host) {
    this.host = host;
    const set = host.dataset;
    this.schema = set.schemaId ? JSON.parse(document.getElementById(set.schemaId).textContent) : JSON.parse(set.schema);
    this.watch = new Stopwatch();
    this.session = new Session(
      { next: set.nextUrl, submit: set.submitUrl, skip: set.skipUrl, undo: set.undoUrl, draft: set.draftUrl, heartbeat: set.heartbeatUrl, release: set.releaseUrl },
      (count) => this.showQueue(count),
      (entries) => this.showRefused(entries),
    );
    const [first] = this.schema.fields;
    this.isQuick = !set.mode && this.schema.fields.length === 1 && QUICK.includes(first.type) && !first.multiple && set.auto !== "off";
    this.busy = false;
    this.begin();
  }

  /** The modules of the questions come first; without them nothing can be shown. */
  async begin() {
    const { modelsUrl, completionsUrl, workspace, mediaUrl } = this.host.dataset;
    this.host.setAttribute("aria-busy", "true");
    try {
      this.form = await AnswerForm.make(this.schema, { changed: (field) => this.onChange(field), context: { modelsUrl, completionsUrl, workspace, mediaUrl } });
    } catch {
      replace(this.host, h("div.alert.alert-warning", { role: "alert" }, t("tool.not_loaded")));
      return;
    }
    if (!this.host.isConnected) return;
    this.build();
    this.bind();
    this.load(() => this.session.next());
  }

  build() {
    this.position = h("span.label-position");
    this.bar = h("progress.progress", { max: "1", value: "0", "aria-label": t("label.progress") });
    this.timer = h("span.text-secondary");
    this.saved = h("span.text-secondary", { role: "status" });
    this.waiting = h("span.state.state-paused", { hidden: true });
    const button = (name, label, key, run) => h(`button.btn${name === "submit" ? ".btn-primary" : ""}`, { type: "button", dataset: { action: name }, onclick: run }, label, h("kbd.ms-2", {}, key));
    this.buttons = [
      this.host.dataset.undoUrl && button("undo", t("label.undo"), "U", () => this.undo()),
      this.host.dataset.skipUrl && button("skip", t("label.skip"), "S", () => this.skip()),
      this.host.dataset.mode === "review" && button("reject", t("tool.send_back"), "R", () => this.reject()),
      button("submit", t("label.submit"), "Ctrl ↵", () => this.submit()),
    ].filter(Boolean);
    this.submitName = this.buttons.at(-1).firstChild;
    this.proposal = new PredictionBar((value, ranked) => this.fillWith(value, ranked));
    this.notice = h("div.label-notice", { hidden: true });
    this.sides = new SideBySide(this.schema, (annotation, question) => this.takeOver(annotation, question));
    this.form.left.prepend(this.sides.element);
    this.panel = h("section.label-form.card", { "aria-label": t("label.answer") }, h("div.card-body", {}, this.notice, this.proposal.element, this.form.questions), h("div.label-actions", {}, this.buttons));
    this.empty = h("div.card", { hidden: true });
    this.refused = h("div", { hidden: true });
    this.work = h(`div.label-work${this.form.hasStage ? ".has-stage" : ""}`, {}, this.form.left, this.panel);
    this.host.append(h("div.label-head", {}, this.position, this.bar, this.waiting, this.saved, this.timer), this.refused, this.work, this.empty);
  }

  bind() {
    // Captured before the page's own shortcuts, so that a key which means a label means nothing else.
    this.onKeyDown = (event) => this.onKey(event);
    this.onShow = (event) => event.persisted && this.load(() => this.session.next());
    document.addEventListener("keydown", this.onKeyDown, true);
    window.addEventListener("pageshow", this.onShow);
    this.ticker = setInterval(() => this.session.task && (this.timer.textContent = formatSeconds(this.watch.elapsed / 1000)), 1000);
    this.forget = describeShortcuts(t("label.title"), [
      ...this.form.keys,
      { keys: ["Ctrl Enter", "⌘ Enter"], label: t("label.submit") },
      ...(this.host.dataset.mode === "review" ? [{ keys: ["R"], label: t("tool.send_back") }] : []),
      ...(this.host.dataset.mode === "adjudicate" ? [{ keys: ["Shift 1 – 9"], label: t("tool.take_all") }] : []),
      ...(this.host.dataset.skipUrl ? [{ keys: ["s"], label: t("label.skip") }] : []),
      ...(this.host.dataset.undoUrl ? [{ keys: ["u", "Ctrl Backspace"], label: t("label.undo") }] : []),
      { keys: ["Esc"], label: t("label.key_leave") },
    ]);
    this.showQueue(this.session.queue.length);
    this.showRefused(this.session.refused);
    this.settle = debounce(1500, () => (this.saved.textContent = ""));
  }

  leave() {
    this.session.leave();
    this.watch.leave();
    this.form?.leave();
    if (!this.forget) return;
    document.removeEventListener("keydown", this.onKeyDown, true);
    window.removeEventListener("pageshow", this.onShow);
    clearInterval(this.ticker);
    clearTimeout(this.retry);
    this.forget();
  }

  showQueue(count) {
    if (!this.waiting) return;
    this.waiting.hidden = count === 0;
    this.waiting.textContent = t("label.waiting", { count });
  }

  showRefused(entries) {
    if (!this.refused) return;
    showRefused(this.refused, this.schema, entries, { again: (entry) => this.sendAgain(entry), discard: (entry) => this.session.discard(entry) });
  }

  /** As soon as nothing else is on its way: a click is not lost. */
  async sendAgain(entry) {
    await this.running;
    this.load(async () => {
      await this.session.sendAgain(entry);
      return this.session.next();
    });
  }

  // --- what comes from the server ---

  /** Run one exchange with the server and show what it brings; while it runs nothing else is sent. */
  load(exchange) {
    if (!this.busy) this.running = this.run(exchange);
    return this.running;
  }

  async run(exchange) {
    this.setBusy(true);
    clearTimeout(this.retry);
    try {
      this.show(await exchange());
    } catch (error) {
      this.failed(error);
    } finally {
      this.setBusy(false);
    }
  }

  setBusy(busy) {
    this.busy = busy;
    this.host.setAttribute("aria-busy", String(busy));
    for (const button of this.buttons) button.disabled = busy;
  }

  failed(error) {
    if (error.kept || (error.isTemporary && !this.session.task)) {
      if (error.kept) toast(t("label.kept"), "warning");
      this.showEmpty(t("label.away"), t("label.away_text"));
      this.retry = setTimeout(() => this.load(() => this.session.next()), RETRY);
    } else {
      toast(error.message, "error");
    }
  }

  show(answer) {
    if (answer.progress) this.showProgress(answer.progress);
    if (!answer.task) {
      this.showReason(answer.empty ?? { reason: "done" });
      return;
    }
    const { task, draft } = answer;
    this.key = uuid();
    this.empty.hidden = true;
    this.work.hidden = false;
    this.position.textContent = t("label.task", { position: task.position });
    const kept = this.session.keptValue(task, draft);
    this.form.start(task.data, kept);
    this.form.rank(null);
    this.task = task;
    const isDisputed = task.kind === "adjudicate";
    this.sides.show(isDisputed ? task.annotations : []);
    this.proposal.show(isDisputed ? [] : (task.predictions ?? []), { fill: !kept, begun: this.session.keptPrediction(task) });
    this.showNotice(task.kind === "review" ? null : task.review);
    this.showDecision();
    this.watch.restart();
    this.timer.textContent = "";
    this.saved.textContent = "";
    this.host.dataset.task = String(task.id);
    this.form.activate();
    window.scrollTo({ top: 0 });
  }

  /** What a reviewer wrote when the task was sent back. */
  showNotice(review) {
    const isBack = Boolean(review?.reason || review?.state === "rejected");
    this.notice.hidden = !isBack;
    replace(this.notice, isBack && [h("b", {}, t("tool.sent_back")), review.reason && h("p.prewrap.m-0", {}, review.reason)]);
  }

  /** A reviewer reads on the button whether the answer is accepted as it is or corrected. */
  showDecision() {
    if (this.task.kind === "review") this.submitName.textContent = sameAnswers(this.form.value(), this.task.annotations[0].value) ? t("tool.accept") : t("tool.accept_fixed");
    else if (this.task.kind === "adjudicate") this.submitName.textContent = t("tool.decide");
  }

  /** Put somebody's answer into the form, to one question or to all. */
  takeOver(annotation, question = null) {
    const others = question ? this.form.value().filter((entry) => entry.q !== question) : [];
    const taken = (annotation.value ?? []).filter((entry) => !question || entry.q === question);
    this.form.start(this.task.data, structuredClone([...others, ...taken]));
    this.onChange();
  }

  /** Send an annotation back to its author, with the reason. */
  async reject() {
    if (this.busy || !this.session.task) return;
    const reason = await askReason();
    if (reason) this.load(() => this.session.reject(reason, this.key));
  }

  /** Put a prediction's answers into the form (null: take them out again). */
  fillWith(value, ranked = null) {
    this.form.start(this.session.task.data, value);
    this.form.rank(ranked);
    this.form.activate();
  }

  showProgress({ done, total, mine }) {
    this.bar.max = total || 1;
    this.bar.value = done;
    this.bar.title = t("label.counts", { done, total, mine });
    this.host.dataset.done = String(done);
  }

  showReason({ reason, next_free_at: free }) {
    const known = ["done", "all_leased", "none_assigned", "paused"].includes(reason) ? reason : "done";
    const minutes = free ? Math.max(1, Math.ceil((new Date(free) - Date.now()) / 60_000)) : 1;
    if (this.host.dataset.mode) this.showEmpty(t("tool.nothing_waits"), t("tool.nothing_waits_text"));
    else this.showEmpty(t(`label.empty_${known}`), t(`label.empty_${known}_text`, { minutes }));
    if (known === "all_leased") this.retry = setTimeout(() => this.load(() => this.session.next()), LEASED_RETRY);
  }

  showEmpty(title, text) {
    this.work.hidden = true;
    this.empty.hidden = false;
    delete this.host.dataset.task;
    this.position.textContent = "";
    this.timer.textContent = "";
    const undo = this.host.dataset.undoUrl && h("button.btn", { type: "button", onclick: () => this.undo() }, icon("back"), t("label.undo"));
    const home = this.host.dataset.homeUrl && h("a.btn.btn-primary", { href: this.host.dataset.homeUrl }, t("label.home"));
    replace(this.empty, h("div.empty-state", {}, h("span.emblem", {}, icon("circle-check")), h("h2", {}, title), h("p", {}, text), h("div.actions", {}, home, undo)));
  }

  // --- what the person does ---

  onChange() {
    if (this.isQuick) {
      this.submit();
      return;
    }
    this.showDecision();
    if (!this.host.dataset.draftUrl) return;
    this.saved.textContent = t("label.saving");
    this.session.draft(this.form.value(), (stored) => {
      this.saved.textContent = t(stored ? "label.saved" : "label.saved_here");
      this.settle();
    }, this.proposal.answer);
  }

  submit() {
    if (this.busy || !this.session.task) return;
    if (!this.form.check()) return;
    this.load(() => this.send(this.form.value(), this.key));
  }

  /** Submit; when the annotation was changed elsewhere meanwhile, the person chooses which version stays. */
  async send(value, key) {
    try {
      return await this.session.submit(value, this.watch.elapsed, key, this.proposal.answer);
    } catch (error) {
      const stored = error.status === 409 && error.body?.error?.details?.stored;
      if (!stored) throw error;
      const choice = await chooseVersion(this.schema, stored, value);
      if (choice === null) throw error;
      if (choice === "stored") return this.session.leaveStored();
      this.session.task.revision = stored.revision;
      return this.send(value, uuid());
    }
  }

  skip() {
    if (this.host.dataset.skipUrl && this.session.task) this.load(() => this.session.skip(this.key));
  }

  undo() {
    if (this.host.dataset.undoUrl) this.load(() => this.session.undo());
  }

  onKey(event) {
    if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
    const withControl = event.ctrlKey || event.metaKey;
    if (withControl && event.key === "Enter") {
      event.preventDefault();
      this.submit();
    } else if (withControl && event.key === "Backspace" && (!isTyping(event.target) || event.target.value === "")) {
      event.preventDefault();
      this.undo();
    } else if (event.key === "Escape" && isTyping(event.target)) {
      event.target.blur();
    } else if ((withControl || event.altKey) && !isTyping(event.target) && !this.busy && this.session.task && this.form.onCommand(event)) {
      event.preventDefault();
      event.stopImmediatePropagation();
    } else if (event.key === "Enter" && event.target === this.form?.search && event.target.value === "" && !this.form.left.parentElement?.querySelector(".choice.is-cursor") && this.proposal.onKey(event, () => this.submit())) {
      event.preventDefault();
      event.stopImmediatePropagation();
    } else if (!withControl && !event.altKey && !isTyping(event.target)) {
      this.onPlainKey(event);
    }
  }

  onPlainKey(event) {
    const { search } = this.form;
    if (event.key === "/" && search) {
      event.preventDefault();
      search.focus();
      return;
    }
    if (this.busy || !this.session.task) {
      if (event.key === "u") this.undo();
      return;
    }
    if (this.sides.onKey(event)) event.preventDefault();
    else if (this.form.onKey(event)) event.preventDefault();
    else if (event.key === "R" && this.host.dataset.mode === "review") {
      event.preventDefault();
      this.reject();
    } else if (this.proposal.onKey(event, () => this.submit())) event.preventDefault();
    else if (event.key === "s") this.skip();
    else if (event.key === "u") this.undo();
    else return;
    event.stopImmediatePropagation();
  }
}

island("label", (element) => {
  const labeller = new Labeller(element);
  return () => labeller.leave();
});
