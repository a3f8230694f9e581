// The labeller's line to the server: next, submit, skip, undo, drafts, the lease. What was submitted is kept in the
// browser until the server has it, so that a dead line or a restart loses nothing.
import { api, ApiError, csrfToken } from "../lib/api.js";
import { debounce, store, uuid } from "../lib/dom.js";

const HEARTBEAT = 60_000;
const DRAFT_DELAY = 1000;

export class Session {
  /** `urls`: next, submit, skip, undo, draft, heartbeat, release; {id} stands for the task. */
  constructor(urls, queueChanged, refusedChanged) {
    this.urls = urls;
    this.queueChanged = queueChanged;
    this.refusedChanged = refusedChanged;
    this.task = null;
    this.queueKey = `shuyuan.label.queue.${urls.next}`;
    this.refusedKey = `shuyuan.label.refused.${urls.next}`;
    this.saveDraft = debounce(DRAFT_DELAY, (id, value, done) => this.sendDraft(id, value, done));
    this.beat = setInterval(() => this.heartbeat(), HEARTBEAT);
    this.onHide = () => this.release();
    this.onOnline = () => this.flush().catch(() => {});
    window.addEventListener("pagehide", this.onHide);
    window.addEventListener("online", this.onOnline);
  }

  leave() {
    clearInterval(this.beat);
    window.removeEventListener("pagehide", this.onHide);
    window.removeEventListener("online", this.onOnline);
    this.release();
  }

  url(name, id = this.task?.id) {
    return this.urls[name]?.replace("{id}", encodeURIComponent(id));
  }

  draftKey(id) {
    return `shuyuan.label.draft.${this.urls.next}.${id}`;
  }

  get queue() {
    return store.get(this.queueKey) ?? [];
  }

  setQueue(entries) {
    if (entries.length) store.set(this.queueKey, entries);
    else store.remove(this.queueKey);
    this.queueChanged(entries.length);
  }

  /** Work that waited and that the server then did not want, each with the server's sentence, until the person decides. */
  get refused() {
    return store.get(this.refusedKey) ?? [];
  }

  setRefused(entries) {
    if (entries.length) store.set(this.refusedKey, entries);
    else store.remove(this.refusedKey);
    this.refusedChanged(entries);
  }

  /** Refused work goes out once more, over what is stored by now; refused again, it is back in the list. */
  async sendAgain(entry) {
    if (!this.refused.some((other) => other.json.key === entry.json.key)) return;
    this.setQueue([...this.queue, { ...entry, json: { ...entry.json, key: uuid(), revision: entry.stored ?? entry.json.revision } }]);
    this.drop(entry);
    await this.flush();
  }

  /** The person gives refused work up. */
  discard(entry) {
    store.remove(entry.draft);
    this.drop(entry);
  }

  drop(entry) {
    this.setRefused(this.refused.filter((other) => other.json.key !== entry.json.key));
  }

  /** Take in an answer of the server: {task, draft, lease, progress} or {empty}. */
  accept(answer) {
    this.task = answer.task ?? null;
    return answer;
  }

  async next() {
    await this.flush();
    return this.accept(await api(this.urls.next));
  }

  /** The value that work on a task continues with: what this browser kept last, else the server's draft. */
  keptValue(task, draft) {
    return store.get(this.draftKey(task.id))?.value ?? draft?.value ?? draft ?? null;
  }

  /** The id of the proposal that kept work began with. */
  keptPrediction(task) {
    return store.get(this.draftKey(task.id))?.prediction ?? null;
  }

  draft(value, done, prediction) {
    const { id } = this.task;
    store.set(this.draftKey(id), { value, prediction, at: Date.now() });
    if (this.urls.draft) this.saveDraft(id, value, done);
  }

  async sendDraft(id, value, done) {
    if (this.task?.id !== id) return;
    try {
      await api(this.url("draft", id), { method: "PUT", json: { value } });
      done(true);
    } catch {
      // the browser's own copy is there, and submitting does not need the draft
      done(false);
    }
  }

  /** Submit; when the server is away the work waits in the browser and the error says `kept`. */
  async submit(value, leadTime, key, prediction) {
    this.saveDraft.cancel();
    const entry = { url: this.url("submit"), json: { value, lead_time_ms: leadTime, key, revision: this.task.revision, ...(prediction === undefined ? {} : { prediction }) }, draft: this.draftKey(this.task.id) };
    this.setQueue([...this.queue, entry]);
    try {
      const answer = await this.flush(key);
      return this.accept(answer.next);
    } catch (error) {
      if (error instanceof ApiError && error.isTemporary) {
        error.kept = true;
        this.task = null;
      }
      throw error;
    }
  }

  /** Send what waits, oldest first; keys make repeats harmless. Resolves with the answer to `key`. */
  async flush(key = null) {
    let mine = null;
    while (this.queue.length) {
      const [entry] = this.queue;
      try {
        const answer = await api(entry.url, { method: "POST", json: entry.json });
        if (entry.json.key === key) mine = answer;
        store.remove(entry.draft);
      } catch (error) {
        if (error instanceof ApiError && error.isTemporary) throw error;
        // Refused for good: out of the queue. What the person looks at stays on the page; older work is shown beside it.
        if (entry.json.key !== key) this.setRefused([...this.refused, { ...entry, reason: error.message, stored: error.body?.error?.details?.stored?.revision }]);
        this.setQueue(this.queue.filter((waiting) => waiting.json.key !== entry.json.key));
        if (entry.json.key === key) throw error;
        continue;
      }
      this.setQueue(this.queue.filter((waiting) => waiting.json.key !== entry.json.key));
    }
    return mine;
  }

  /** Leave the annotation as the server has it and go on. */
  leaveStored() {
    store.remove(this.draftKey(this.task.id));
    return this.next();
  }

  /** `key` makes a repeated skip the same skip. */
  async skip(key) {
    this.saveDraft.cancel();
    store.remove(this.draftKey(this.task.id));
    const answer = await api(this.url("skip"), { method: "POST", json: { key } });
    return this.accept(answer.next);
  }

  /** A reviewer sends the annotation back to its author. */
  async reject(reason, key) {
    store.remove(this.draftKey(this.task.id));
    const answer = await api(this.url("submit"), { method: "POST", json: { decision: "reject", reason, key } });
    return this.accept(answer.next);
  }

  async undo() {
    this.saveDraft.cancel();
    await this.flush();
    const answer = await api(this.urls.undo, { method: "POST", json: {} });
    return this.accept(answer);
  }

  async heartbeat() {
    if (!this.task || !this.urls.heartbeat) return;
    try {
      await api(this.url("heartbeat"), { method: "POST", json: {} });
    } catch {
      // a late submit is accepted too, so a missed beat needs no word
    }
  }

  /** Give the task back when the page goes; keepalive requests outlive it and, unlike beacons, carry the CSRF header. */
  release() {
    if (!this.task || !this.urls.release) return;
    fetch(this.url("release"), { method: "POST", keepalive: true, credentials: "same-origin", body: "{}", headers: { "Content-Type": "application/json", "X-CSRFToken": csrfToken() } }).catch(() => {});
  }
}
