// Upload island: drop files or choose them; each goes in parts with progress, and its id lands in a hidden field.
// <div data-island="upload" data-url="/api/v1/workspaces/demo/uploads" data-name="upload" data-accept=".jsonl,.csv" [data-multiple]
//      [data-parts-url] [data-hint] [data-next-url="/w/demo/import?upload={id}"]>
import "./upload.css";
import { h } from "./lib/dom.js";
import { formatBytes, formatSeconds, t } from "./lib/i18n.js";
import { icon } from "./lib/icons.js";
import { island } from "./lib/islands.js";
import { toast } from "./lib/toast.js";
import { Transfer } from "./lib/transfer.js";

let serial = 0;

class UploadBox {
  constructor(host) {
    this.host = host;
    this.multiple = "multiple" in host.dataset;
    this.busy = 0;
    this.build();
    this.acceptDrops();
    this.beforeLeaving = (event) => this.busy && event.preventDefault();
    window.addEventListener("beforeunload", this.beforeLeaving);
  }

  leave() {
    window.removeEventListener("beforeunload", this.beforeLeaving);
  }

  build() {
    const id = `upload-${(serial += 1)}`;
    this.input = h("input.visually-hidden", { type: "file", id, multiple: this.multiple, accept: this.host.dataset.accept });
    this.input.addEventListener("change", () => {
      this.take([...this.input.files]);
      this.input.value = "";
    });
    this.zone = h(
      "label.upload-zone",
      { for: id },
      h("span.emblem", {}, icon("file")),
      h("span.upload-title", {}, t(this.multiple ? "upload.drop_many" : "upload.drop")),
      h("span.upload-hint", {}, this.host.dataset.hint || (this.host.dataset.accept ? t("upload.kinds", { kinds: this.host.dataset.accept.replaceAll(",", " ") }) : "")),
    );
    this.list = h("ul.upload-list", { "aria-live": "polite" });
    this.host.append(this.input, this.zone, this.list);
  }

  acceptDrops() {
    let depth = 0;
    const over = (on) => this.zone.classList.toggle("is-over", on);
    this.host.addEventListener("dragenter", (event) => {
      event.preventDefault();
      depth += 1;
      over(true);
    });
    this.host.addEventListener("dragover", (event) => event.preventDefault());
    this.host.addEventListener("dragleave", () => {
      depth -= 1;
      if (depth <= 0) over(false);
    });
    this.host.addEventListener("drop", (event) => {
      event.preventDefault();
      depth = 0;
      over(false);
      this.take([...event.dataTransfer.files]);
    });
  }

  take(files) {
    const wanted = (this.host.dataset.accept ?? "").split(",").map((ending) => ending.trim().toLowerCase()).filter(Boolean);
    const fits = (file) => !wanted.length || wanted.some((ending) => file.name.toLowerCase().endsWith(ending));
    for (const file of this.multiple ? files : files.slice(0, 1)) {
      if (!fits(file)) toast(t("upload.wrong_kind", { name: file.name, kinds: wanted.join(" ") }), "error");
      else if (file.size === 0) toast(t("upload.empty", { name: file.name }), "error");
      else this.send(file);
    }
  }

  send(file) {
    if (!this.multiple) {
      this.current?.cancel();
      this.list.replaceChildren();
    }
    const row = this.row(file);
    this.list.append(row.element);
    this.start(file, row);
  }

  row(file) {
    const bar = h("progress.progress", { max: "1", value: "0", "aria-label": file.name });
    const words = h("span.upload-words", {}, formatBytes(file.size));
    const actions = h("span.btn-list");
    const element = h("li.upload-row", {}, h("span.upload-name.clip", { title: file.name }, file.name), words, actions, bar);
    return { element, bar, words, actions };
  }

  async start(file, row) {
    const began = performance.now();
    let first = null;
    const transfer = new Transfer(file, {
      create: this.host.dataset.url,
      parts: this.host.dataset.partsUrl || "/api/v1/uploads",
      onProgress: (offset, size) => {
        first ??= offset;
        row.bar.value = size ? offset / size : 1;
        const rate = (offset - first) / ((performance.now() - began) / 1000);
        const left = rate > 0 ? ` · ${t("upload.left", { time: formatSeconds((size - offset) / rate) })}` : "";
        row.words.textContent = `${formatBytes(offset)} / ${formatBytes(size)}${offset < size ? left : ""}`;
      },
    });
    this.current = transfer;
    row.actions.replaceChildren(h("button.btn.btn-sm.btn-ghost-secondary", { type: "button", "aria-label": t("upload.cancel", { name: file.name }), onclick: () => transfer.cancel() }, icon("x")));
    this.busy += 1;
    try {
      this.done(await transfer.run(), row);
    } catch (error) {
      this.failed(error, file, row);
    } finally {
      this.busy -= 1;
    }
  }

  done(made, row) {
    row.element.classList.add("is-done");
    row.words.textContent = t("upload.done", { size: formatBytes(made.size) });
    const field = h("input", { type: "hidden", name: this.host.dataset.name || "upload", value: String(made.id) });
    const remove = () => {
      row.element.remove();
      this.host.dispatchEvent(new CustomEvent("shuyuan:upload-removed", { bubbles: true, detail: made }));
    };
    row.actions.replaceChildren(icon("circle-check"), h("button.btn.btn-sm.btn-ghost-secondary", { type: "button", "aria-label": t("upload.remove", { name: made.name }), onclick: remove }, icon("x")));
    row.element.append(field);
    this.host.dispatchEvent(new CustomEvent("shuyuan:uploaded", { bubbles: true, detail: made }));
    if (this.host.dataset.nextUrl) location.assign(this.host.dataset.nextUrl.replace("{id}", encodeURIComponent(made.id)));
  }

  failed(error, file, row) {
    if (error.name === "AbortError") {
      row.element.remove();
      return;
    }
    row.element.classList.add("is-failed");
    row.words.textContent = error.message;
    const again = () => {
      row.element.classList.remove("is-failed");
      this.start(file, row);
    };
    row.actions.replaceChildren(h("button.btn.btn-sm", { type: "button", onclick: again }, t("app.again")));
  }
}

island("upload", (element) => {
  const box = new UploadBox(element);
  return () => box.leave();
});
