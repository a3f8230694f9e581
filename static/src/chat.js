// Chat island: a conversation whose answers stream. Contract and attributes: docs/frontend.md.
import "./chat.css";
import { api, ApiError } from "./lib/api.js";
import { append, debounce, h, isTyping, replace, store, uuid } from "./lib/dom.js";
import { t } from "./lib/i18n.js";
import { icon } from "./lib/icons.js";
import { island } from "./lib/islands.js";
import { describeShortcuts } from "./lib/shortcuts.js";
import { toast } from "./lib/toast.js";
import { askParameters } from "./chat/parameters.js";
import { ChatSocket } from "./chat/socket.js";
import { isOpen, Tree } from "./chat/tree.js";
import { TurnView } from "./chat/turn.js";

const WINDOW = 40;
const WAITS = [500, 1000, 2000, 4000, 8000]; // milliseconds between tries while the server is away
const NEAR_END = 96;
const PATIENCE = 1000; // milliseconds that the line has to open before the turns are fetched without it

class Chat {
  constructor(host) {
    this.host = host;
    this.tree = new Tree();
    this.views = new Map();
    this.shown = WINDOW;
    this.id = host.dataset.conversation || null;
    this.readOnly = "readOnly" in host.dataset;
    this.parameters = { system_prompt: "", ...JSON.parse(host.dataset.settings || "{}") };
    this.actions = {
      readOnly: this.readOnly,
      isBusy: () => this.busyTurn !== null,
      edit: (turn, text) => this.send(text, turn.parent ?? null),
      regenerate: (turn) => this.regenerate(turn),
      branch: (turn) => this.branch(turn),
      feedback: (turn, value, quiet) => this.feedback(turn, value, quiet),
    };
    this.build();
    this.bind();
    this.begin();
  }

  // --- the page ---

  build() {
    this.older = h("button.btn.btn-sm.chat-older", { type: "button", hidden: true, onclick: () => this.showOlder() }, t("chat.older"));
    this.list = h("div.chat-list", { role: "log", "aria-label": t("chat.conversation"), "aria-live": "off" });
    this.welcome = h("div.chat-welcome", { hidden: true });
    this.scroller = h("div.chat-scroll", { tabIndex: -1 }, h("div.chat-column", {}, this.older, this.welcome, this.list));
    this.toEnd = h("button.chat-to-end", { type: "button", hidden: true, "aria-label": t("chat.to_end"), onclick: () => this.scrollToEnd(true) }, icon("send"));
    this.voice = h("p.visually-hidden", { role: "status" });
    this.host.append(this.scroller, this.voice, this.readOnly ? "" : this.composer());
  }

  composer() {
    this.input = h("textarea", { rows: "1", placeholder: t("chat.placeholder"), "aria-label": t("chat.placeholder"), enterkeyhint: "send", dataset: { shortcut: "/", shortcutLabel: t("chat.key_focus") } });
    this.button = h("button.chat-send", { "aria-label": t("chat.send") }, icon("send"));
    const settings = h("button.turn-tool", { type: "button", "aria-label": t("chat.parameters"), title: t("chat.parameters"), onclick: () => this.editParameters() }, icon("adjustments"));
    this.form = h("form.chat-composer", {}, this.toEnd, h("div.chat-box", {}, this.input, h("div.chat-box-foot", {}, settings, h("span.chat-model.clip", {}, this.host.dataset.model ?? ""), this.button)));
    return h("div.chat-dock", {}, h("div.chat-column", {}, this.form));
  }

  bind() {
    this.stuck = true;
    this.top = 0;
    this.scroller.addEventListener("scroll", () => this.onScroll(), { passive: true });
    this.scroller.addEventListener("wheel", (event) => event.deltaY < 0 && this.scroller.scrollTop > 0 && this.stick(false), { passive: true });
    this.onKeyDown = (event) => this.onPageKey(event);
    document.addEventListener("keydown", this.onKeyDown);
    this.forget = describeShortcuts(t("chat.conversation"), [
      { keys: ["Enter"], label: t("chat.send") },
      { keys: ["Shift Enter"], label: t("chat.key_newline") },
      { keys: ["Esc"], label: t("chat.stop") },
      { keys: ["↑"], label: t("chat.key_edit_last") },
    ]);
    if (this.readOnly) return;
    this.keepDraft = debounce(300, () => store.set(this.draftKey, this.input.value));
    this.input.addEventListener("input", () => {
      this.fitInput();
      this.keepDraft();
    });
    this.input.addEventListener("keydown", (event) => this.onInputKey(event));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.busyTurn) this.stop();
      else this.sendInput();
    });
  }

  get draftKey() {
    return `shuyuan.chat.draft.${this.id ?? "new"}`;
  }

  begin() {
    if (this.input) {
      this.input.value = store.get(this.draftKey) ?? "";
      this.fitInput();
      if (matchMedia("(pointer: fine)").matches) this.input.focus({ preventScroll: true });
    }
    if (!this.id) {
      this.loaded = true;
      this.draw();
      return;
    }
    this.listen();
    this.withoutLine = setTimeout(() => this.fetchTurns(), PATIENCE);
  }

  leave() {
    clearTimeout(this.withoutLine);
    this.socket?.leave();
    this.forget();
    document.removeEventListener("keydown", this.onKeyDown);
  }

  url(name, id = "") {
    return this.host.dataset[`${name}Url`]?.replace("{conversation}", encodeURIComponent(this.id ?? "")).replace("{id}", encodeURIComponent(id));
  }

  // --- the line to the server ---

  /** All turns, asked for once the line is open, so that nothing said in between is missed; then the open answers.
   * Until they came, nobody knows what a question follows. */
  async fetchTurns() {
    try {
      const { turns, leaf } = await api(this.url("turns"));
      for (const turn of turns) this.tree.put(turn);
      this.loaded = true;
      this.follow(leaf ?? turns.at(-1)?.id ?? null);
      this.draw();
      for (const turn of this.tree.open) this.socket.subscribe(turn.id, turn.points);
    } catch (error) {
      toast(error.message, "error", { label: t("app.again"), run: () => this.fetchTurns() });
    }
  }

  /** Go on to the server's leaf when it grew from ours; a reader of another branch stays there. */
  follow(leaf) {
    const before = this.tree.leaf;
    this.tree.leaf = leaf;
    if (this.tree.get(before) && !this.tree.path().some((turn) => turn.id === before)) this.tree.leaf = before;
  }

  listen() {
    this.socket = new ChatSocket((this.host.dataset.socketUrl || "/ws/chat/{conversation}/").replace("{conversation}", encodeURIComponent(this.id)), {
      onOpen: () => {
        clearTimeout(this.withoutLine);
        this.fetchTurns();
      },
      onMessage: (message) => this.onMessage(message),
      onLost: () => {},
    });
  }

  onMessage(message) {
    if (message.type === "delta") {
      const outcome = this.tree.extend(message);
      if (outcome === "gap") this.askAgain(message.turn);
      if (outcome === "grown") this.drawSoon();
    } else if (message.type === "turn") {
      this.take(message.turn);
    } else if (message.type === "end") {
      const turn = this.tree.put(message.turn);
      if (this.tree.path().includes(turn)) this.voice.textContent = t(turn.state === "failed" ? "chat.failed" : "chat.finished");
      this.draw();
    }
  }

  /** A piece is missing: ask for the answer again from where ours ends, once for the burst that follows. */
  askAgain(id) {
    if (this.asking === id) return;
    this.asking = id;
    this.socket.subscribe(id, this.tree.get(id).points);
    setTimeout(() => (this.asking = null), 500);
  }

  /** A new turn, ours or of another tab: the shown path follows when it grows at its end. */
  take(given) {
    const isNew = !this.tree.get(given.id);
    if (given.parent && !this.tree.get(given.parent)) {
      this.fetchTurns();
      return;
    }
    const turn = this.tree.put(given);
    if (isNew && (turn.parent ?? null) === (this.tree.leaf ?? null)) this.tree.leaf = turn.id;
    this.drawSoon();
  }

  // --- drawing ---

  drawSoon() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
    });
  }

  draw() {
    const path = this.tree.path();
    this.busyTurn = path.findLast(isOpen) ?? null;
    const visible = path.slice(-this.shown);
    this.older.hidden = visible.length === path.length;
    this.showWelcome(path.length === 0);
    const elements = visible.map((turn) => this.view(turn).element);
    const isSame = elements.length === this.list.childElementCount && elements.every((element, at) => element === this.list.children[at]);
    if (!isSame) this.list.replaceChildren(...elements);
    this.showButton();
    this.host.dataset.busy = String(this.busyTurn !== null);
    if (this.stuck) this.scrollToEnd();
    else this.toEnd.hidden = false;
  }

  view(turn) {
    if (!this.views.has(turn.id)) this.views.set(turn.id, new TurnView(turn, this.actions));
    const view = this.views.get(turn.id);
    view.update(turn, this.tree.siblings(turn));
    return view;
  }

  showButton() {
    if (!this.button) return;
    const busy = this.busyTurn !== null;
    if (this.button.dataset.busy === String(busy)) return;
    this.button.dataset.busy = String(busy);
    replace(this.button, icon(busy ? "stop" : "send"));
    this.button.setAttribute("aria-label", t(busy ? "chat.stop" : "chat.send"));
  }

  showWelcome(empty) {
    this.welcome.hidden = !empty;
    if (!empty || this.welcome.firstChild) return;
    const suggestions = JSON.parse(this.host.dataset.suggestions || "[]");
    const chips = suggestions.map((text) => h("button.chip", { type: "button", onclick: () => this.send(text, null) }, text));
    append(this.welcome, [h("h2", {}, this.host.dataset.greeting || t("chat.welcome")), h("p", {}, t("chat.welcome_text")), h("div.chips", {}, chips)]);
  }

  showOlder() {
    const before = this.scroller.scrollHeight;
    this.shown += WINDOW;
    this.draw();
    this.scroller.scrollTop += this.scroller.scrollHeight - before;
  }

  /** Whoever scrolls up is left in peace, were it by a line; whoever comes back near the end is taken along again. */
  onScroll() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    const below = scrollHeight - scrollTop - clientHeight;
    if (scrollTop < this.top && below > 1) this.stick(false);
    else if (below < NEAR_END) this.stick(true);
    this.top = scrollTop;
  }

  stick(stuck) {
    this.stuck = stuck;
    this.toEnd.hidden = stuck;
  }

  scrollToEnd(asked = false) {
    if (asked) this.stuck = true;
    this.toEnd.hidden = true;
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  fitInput() {
    this.input.style.height = "auto";
    this.input.style.height = `${Math.min(240, this.input.scrollHeight)}px`;
  }

  // --- what the person does ---

  onInputKey(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229) {
      event.preventDefault();
      if (!this.busyTurn) this.sendInput();
    } else if (event.key === "ArrowUp" && this.input.value === "" && !this.busyTurn) {
      const last = this.tree.path().findLast((turn) => turn.role === "user");
      if (!last) return;
      event.preventDefault();
      this.view(last).edit();
    }
  }

  onPageKey(event) {
    if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("dialog[open]")) return;
    if (this.busyTurn && (!isTyping(event.target) || event.target === this.input)) this.stop();
  }

  async sendInput() {
    if (!this.loaded) await this.fetchTurns();
    const text = this.input.value.trim();
    if (!text || !this.loaded) return;
    this.input.value = "";
    this.fitInput();
    if (await this.send(text, this.tree.leaf)) store.remove(this.draftKey);
    else {
      this.input.value = text;
      this.fitInput();
    }
  }

  /** Send a message below a parent; true when the server has it. A repeat after a lost answer carries the same key. */
  async send(text, parent) {
    if (this.sending || this.busyTurn) return false;
    this.sending = true;
    const sameAgain = this.lastTry && this.lastTry.text === text && this.lastTry.parent === parent;
    this.lastTry = sameAgain ? this.lastTry : { text, parent, key: uuid() };
    try {
      const answer = await this.patiently(async () => {
        if (!this.id) await this.create();
        return this.post("send", "", { content: text, parent, key: this.lastTry.key, parameters: this.parameters });
      });
      this.lastTry = null;
      this.accept(answer.turns);
      return true;
    } catch (error) {
      this.complain(error);
      return false;
    } finally {
      this.sending = false;
    }
  }

  /** While the server does not answer (it restarts, the line is down) the same is asked again; its key makes repeats harmless. */
  async patiently(ask) {
    let told = false;
    for (const wait of WAITS) {
      try {
        return await ask();
      } catch (error) {
        if (!(error instanceof ApiError) || ![0, 502, 504].includes(error.status)) throw error;
        if (!told) toast(t("chat.waits"), "warning");
        told = true;
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
    }
    return ask();
  }

  accept(turns) {
    for (const turn of turns) this.tree.put(turn);
    this.tree.leaf = turns.at(-1).id;
    this.stuck = true;
    this.draw();
    for (const turn of turns) if (isOpen(turn)) this.socket?.subscribe(turn.id, this.tree.get(turn.id).points);
  }

  async create() {
    const { deployment } = this.host.dataset;
    const { system_prompt: systemPrompt, ...settings } = this.parameters;
    const again = this.created ?? false; // an answer was lost: the server may have made it
    this.created = true;
    const made = await api(this.host.dataset.createUrl, { method: "POST", json: { deployment: deployment ? Number(deployment) : null, settings, system_prompt: systemPrompt, again } });
    store.remove(this.draftKey);
    this.id = String(made.id);
    this.host.dataset.conversation = this.id;
    if (made.url) history.replaceState(null, "", made.url);
    this.listen();
  }

  async regenerate(turn) {
    if (this.busyTurn || this.sending) return;
    if (this.lastAgain?.turn !== turn.id) this.lastAgain = { turn: turn.id, key: uuid() };
    try {
      const answer = await this.post("regenerate", turn.id, { key: this.lastAgain.key, parameters: this.parameters });
      this.lastAgain = null;
      this.accept(answer.turns);
    } catch (error) {
      this.complain(error);
    }
  }

  async branch(turn) {
    this.tree.leaf = this.tree.leafBelow(turn).id;
    this.stuck = false;
    this.draw();
    for (const open of this.tree.open) this.socket?.subscribe(open.id, open.points);
    if (this.host.dataset.leafUrl) await this.post("leaf", "", { leaf: this.tree.leaf }).catch(() => {});
  }

  async stop() {
    const turn = this.busyTurn;
    if (!turn) return;
    try {
      await this.post("stop", turn.id, {});
    } catch (error) {
      this.complain(error);
    }
  }

  async feedback(turn, value, quiet = false) {
    try {
      await api(this.url("feedback", turn.id), { method: "PUT", json: value });
      this.tree.put({ ...this.tree.get(turn.id), feedback: value.rating === 0 ? null : value });
      this.draw();
      if (!quiet && value.rating !== 0) toast(t(value.correction ? "chat.thanks_correction" : "chat.thanks"), "success");
      return true;
    } catch (error) {
      this.complain(error);
      return false;
    }
  }

  async editParameters() {
    const chosen = await askParameters(this.parameters, JSON.parse(this.host.dataset.defaults || "{}"));
    this.input?.focus();
    if (!chosen) return;
    this.parameters = chosen;
    if (!this.id || !this.host.dataset.settingsUrl) return;
    const { system_prompt: systemPrompt, ...settings } = chosen;
    try {
      await api(this.url("settings"), { method: "PATCH", json: { settings, system_prompt: systemPrompt } });
    } catch (error) {
      this.complain(error);
    }
  }

  post(name, id, json) {
    return api(this.url(name, id), { method: "POST", json });
  }

  complain(error) {
    if (!(error instanceof ApiError)) throw error;
    toast(error.message, "error");
  }
}

island("chat", (element) => {
  const chat = new Chat(element);
  return () => chat.leave();
});
