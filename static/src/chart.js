// Chart island: draws a plotly figure that the server made (see templates/_plot.html) and keeps it fresh.
import { api } from "./lib/api.js";
import { h, replace, store } from "./lib/dom.js";
import { dress, summary, toCsv } from "./lib/figure.js";
import { locale, t } from "./lib/i18n.js";
import { icon } from "./lib/icons.js";
import { island } from "./lib/islands.js";
import { listen } from "./lib/live.js";

let plotly = null;
const loadPlotly = () => (plotly ??= import("plotly.js-cartesian-dist-min").then((module) => speakHere(module.default ?? module)));

/** plotly brings English months and days; those of another language the browser knows. */
function speakHere(library) {
  if (locale === "en") return library;
  const names = (count, at, options) => Array.from({ length: count }, (_, index) => new Intl.DateTimeFormat(locale, options).format(at(index)));
  const month = (index) => new Date(2024, index, 15);
  const day = (index) => new Date(2024, 8, 1 + index); // the first of September 2024 was a Sunday
  const format = {
    months: names(12, month, { month: "long" }), shortMonths: names(12, month, { month: "short" }),
    days: names(7, day, { weekday: "long" }), shortDays: names(7, day, { weekday: "short" }),
    date: "%Y-%m-%d", year: "%Y年", month: "%Y年%b", dayMonth: "%b%-d日", dayMonthYear: "%Y年%b%-d日",
  };
  library.register({ moduleType: "locale", name: locale, dictionary: {}, format });
  return library;
}

function saveFile(name, content, type) {
  const link = h("a", { href: URL.createObjectURL(new Blob([content], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** The chart on the page with a choice of axes; those with “follow” among their controls take over what is chosen there. */
const leaderOf = (host) => (controlsOf(host).includes("follow") && [...document.querySelectorAll(".plot-host")].find((other) => controlsOf(other).includes("x"))) || host;
const controlsOf = (host) => (host.dataset.controls ?? "").split(",");
const remembered = (host) => `shuyuan.chart.${host.dataset.remember ?? (host.dataset.title || t("chart.chart"))}`;

class Chart {
  constructor(host) {
    this.host = host;
    this.canvas = host.querySelector(".plot-canvas");
    this.title = host.dataset.title || t("chart.chart");
    this.figure = null;
    this.drawn = false;
    this.memory = remembered(host);
    this.controls = controlsOf(host);
    this.options = { smoothing: 0, log: false, small: host.dataset.height === "small", ...store.get(this.memory) };
    if (this.controls.includes("follow")) this.options.x = store.get(remembered(leaderOf(host)))?.x;
    this.describe = h("p.visually-hidden", { role: "status" });
    host.append(this.describe);
    this.addControls(host.querySelector(".plot-bar"), this.controls);
    this.stops = [];
    this.start();
  }

  start() {
    const { liveTopic, every } = this.host.dataset;
    if (liveTopic) this.stops.push(listen(liveTopic, () => this.refreshSoon()));
    if (every) {
      const timer = setInterval(() => !document.hidden && this.load(), Number(every) * 1000);
      this.stops.push(() => clearInterval(timer));
    }
    const theme = new MutationObserver(() => this.draw());
    theme.observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
    const size = new ResizeObserver(() => this.drawn && plotly.then((library) => library.Plots.resize(this.canvas)));
    size.observe(this.canvas);
    this.stops.push(() => theme.disconnect(), () => size.disconnect());
    if (this.controls.includes("follow")) {
      const follow = ({ detail }) => {
        this.options.x = detail;
        this.load();
      };
      document.addEventListener("chart-axis", follow);
      this.stops.push(() => document.removeEventListener("chart-axis", follow));
    }
    this.load();
  }

  leave() {
    this.stops.forEach((stop) => stop());
    if (this.drawn) plotly.then((library) => library.purge(this.canvas));
  }

  addControls(bar, wanted) {
    if (!bar) return;
    if (wanted.includes("smoothing")) {
      const range = h("input.form-range", { type: "range", min: "0", max: "0.99", step: "0.01", value: String(this.options.smoothing) });
      range.addEventListener("input", () => this.change({ smoothing: Number(range.value) }));
      bar.append(h("label", {}, t("chart.smoothing"), range));
    }
    if (wanted.includes("log")) {
      const box = h("input.form-check-input.m-0", { type: "checkbox", checked: this.options.log });
      box.addEventListener("change", () => this.change({ log: box.checked }));
      bar.append(h("label", {}, box, t("chart.log")));
    }
    if (wanted.includes("x")) {
      const names = ["step", "tokens", "time"];
      const select = h("select.form-select.form-select-sm", { "aria-label": t("chart.axis") }, ...names.map((name) => h("option", { value: name, selected: name === this.options.x }, t(`chart.axis_${name}`))));
      select.addEventListener("change", () => {
        this.change({ x: select.value });
        document.dispatchEvent(new CustomEvent("chart-axis", { detail: select.value }));
        this.load();
      });
      bar.append(h("label", {}, t("chart.axis"), select));
    }
    const save = (label, run) => h("button.btn.btn-sm.btn-ghost-secondary", { type: "button", title: t("chart.save", { kind: label }), "aria-label": t("chart.save", { kind: label }), onclick: run }, icon("download"), label);
    bar.append(h("span.btn-list", {}, save("PNG", () => this.savePng()), save("CSV", () => this.saveCsv())));
  }

  change(options) {
    Object.assign(this.options, options);
    const { smoothing, log, x } = this.options;
    store.set(this.memory, { smoothing, log, x });
    this.draw();
  }

  /** News may come in bursts; one request a second is enough for the eye. */
  refreshSoon() {
    this.waiting ??= setTimeout(() => {
      this.waiting = null;
      if (document.hidden) document.addEventListener("visibilitychange", () => this.load(), { once: true });
      else this.load();
    }, this.figure ? 1000 : 0);
  }

  async load() {
    if (this.loading) return;
    this.loading = true;
    const address = this.address();
    try {
      this.figure = await api(address);
      await this.draw();
    } catch (error) {
      // An old drawing is better than a message in its place.
      if (!this.drawn) this.note(error.message, true);
    } finally {
      this.loading = false;
    }
    if (address !== this.address()) this.load(); // another axis was chosen meanwhile
  }

  address() {
    const plain = this.host.dataset.figureUrl;
    const wanted = this.controls.includes("x") || this.controls.includes("follow") ? this.options.x : "";
    return wanted ? `${plain}${plain.includes("?") ? "&" : "?"}x=${wanted}` : plain;
  }

  note(text, retry = false) {
    replace(this.canvas, h("div.plot-note", {}, h("div", {}, text, retry && h("div.mt-2", {}, h("button.btn.btn-sm", { type: "button", onclick: () => this.load() }, t("app.again"))))));
  }

  async draw() {
    if (!this.figure) return;
    if (!this.figure.data?.length) {
      if (!this.drawn) this.note(this.host.dataset.emptyText || t("chart.empty"));
      return;
    }
    this.describe.textContent = `${this.title}. ${summary(this.figure)}`;
    const library = await loadPlotly();
    if (!this.host.isConnected) return;
    if (!this.drawn) {
      this.canvas.replaceChildren();
      this.canvas.setAttribute("role", "img");
      this.canvas.setAttribute("aria-label", this.title);
    }
    const { data, layout } = dress(this.figure, this.options);
    this.drawn = true;
    await library.react(this.canvas, data, layout, { displayModeBar: false, responsive: false, displaylogo: false, locale });
    this.host.dataset.drawn = String(this.figure.data[0].x?.length ?? this.figure.data[0].y?.length ?? 0);
  }

  fileName(ending) {
    return `${this.title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "")}.${ending}`;
  }

  saveCsv() {
    if (this.figure) saveFile(this.fileName("csv"), `\ufeff${toCsv(this.figure)}`, "text/csv;charset=utf-8");
  }

  async savePng() {
    if (!this.drawn) return;
    const library = await loadPlotly();
    const background = getComputedStyle(document.body).getPropertyValue("--tblr-bg-surface");
    const { data, layout } = dress(this.figure, this.options);
    const picture = await library.toImage({ data, layout: { ...layout, paper_bgcolor: background, title: { text: this.title } } }, { format: "png", width: 1200, height: 700, scale: 2 });
    h("a", { href: picture, download: this.fileName("png") }).click();
  }
}

island("chart", (element) => {
  const chart = new Chart(element);
  return () => chart.leave();
});
