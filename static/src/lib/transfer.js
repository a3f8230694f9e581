// One file on its way to the server in parts: resumable after a lost connection or a reloaded page.
import { api, ApiError } from "./api.js";
import { store } from "./dom.js";

const SMALLEST = 512 * 1024;
const LARGEST = 8 * 1024 * 1024;
const TRIES = 8;

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export class Transfer {
  /** `create`: URL that makes an upload; `parts`: URL of uploads without the id. */
  constructor(file, { create, parts, onProgress }) {
    this.file = file;
    this.create = create;
    this.parts = parts;
    this.onProgress = onProgress;
    this.offset = 0;
    this.memory = `shuyuan.upload.${create}.${file.name}.${file.size}.${file.lastModified}`;
    this.stopper = new AbortController();
  }

  cancel() {
    this.stopper.abort();
    store.remove(this.memory);
  }

  get url() {
    return `${this.parts}/${this.id}`;
  }

  /** Send it all; resolves with {id, name, size}. */
  async run() {
    await this.open();
    let length = SMALLEST * 2;
    let failures = 0;
    while (this.offset < this.file.size) {
      const began = performance.now();
      try {
        await this.sendPart(length);
        failures = 0;
        // Parts grow until each takes about half a second: few requests on a fast line, little lost on a slow one.
        const took = performance.now() - began;
        if (took < 300) length = Math.min(LARGEST, length * 2);
        else if (took > 1500) length = Math.max(SMALLEST, length / 2);
      } catch (error) {
        failures = await this.recover(error, failures);
      }
    }
    store.remove(this.memory);
    return { id: this.id, name: this.file.name, size: this.file.size };
  }

  /** Continue an upload of the same file that the server still knows, else begin one. */
  async open() {
    const known = store.get(this.memory);
    if (known) {
      this.id = known;
      try {
        const state = await api(this.url, { signal: this.stopper.signal });
        if (state.size === this.file.size && state.state !== "failed") {
          this.moveTo(state.offset);
          return;
        }
      } catch (error) {
        if (error.name === "AbortError") throw error;
      }
    }
    const made = await api(this.create, { method: "POST", json: { name: this.file.name, size: this.file.size }, signal: this.stopper.signal });
    this.id = made.id;
    store.set(this.memory, made.id);
    this.moveTo(made.offset ?? 0);
  }

  async sendPart(length) {
    const part = this.file.slice(this.offset, this.offset + length);
    const answer = await api(`${this.url}?offset=${this.offset}`, {
      method: "PUT", body: part, headers: { "Content-Type": "application/octet-stream" }, signal: this.stopper.signal,
    });
    this.moveTo(answer.offset);
  }

  moveTo(offset) {
    this.offset = offset;
    this.onProgress(offset, this.file.size);
  }

  /** After a lost answer the server knows best how far the file came. */
  async recover(error, failures) {
    const isWrongOffset = error instanceof ApiError && error.status === 409;
    if (!(error instanceof ApiError) || !(error.isTemporary || isWrongOffset) || failures >= TRIES) throw error;
    if (!isWrongOffset) await pause(Math.min(10_000, 400 * 2 ** failures));
    if (this.stopper.signal.aborted) throw new DOMException("cancelled", "AbortError");
    try {
      this.moveTo((await api(this.url, { signal: this.stopper.signal })).offset);
    } catch (again) {
      if (!(again instanceof ApiError && again.isTemporary)) throw again;
    }
    return failures + 1;
  }
}
