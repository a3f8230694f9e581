// A figure from the server dressed for the page: colours of the theme, smoothing, logarithmic axis, a summary in words.
import { t, formatNumber } from "./i18n.js";
import { smooth } from "./smooth.js";

// The server names the house colours; on dark paper their lighter siblings are read more easily.
const DARK_SIBLINGS = {
  "#2f6f62": "#6fbfae", "#c8553d": "#ea8a72", "#4a6fa5": "#8fb1e3", "#d9a441": "#e6bd6b",
  "#7a5195": "#bd96d8", "#5b8c5a": "#93c592", "#b56576": "#dd9aa8", "#457b9d": "#84b9d9",
};

export const isDark = () => document.documentElement.getAttribute("data-bs-theme") === "dark";

function recoloured(value) {
  if (typeof value === "string") return DARK_SIBLINGS[value.toLowerCase()] ?? value;
  if (Array.isArray(value)) return value.map(recoloured);
  return value;
}

function withColours(trace) {
  const dressed = { ...trace };
  for (const part of ["line", "marker"]) {
    if (dressed[part]?.color) dressed[part] = { ...dressed[part], color: recoloured(dressed[part].color) };
  }
  return dressed;
}

const isCurve = (trace) => (trace.type ?? "scatter").startsWith("scatter") && (trace.mode ?? "lines").includes("lines") && Array.isArray(trace.y);

/** The raw curve stays as a faint shadow under its smoothed one. */
function smoothed(trace, weight) {
  if (!isCurve(trace) || weight <= 0 || trace.y.length < 3) return [trace];
  const shadow = { ...trace, opacity: 0.22, showlegend: false, hoverinfo: "skip", legendgroup: trace.name };
  return [shadow, { ...trace, y: smooth(trace.y, weight), legendgroup: trace.name }];
}

function axis(own, colours, type) {
  return {
    ...own,
    ...(type ? { type } : {}),
    gridcolor: colours.grid, linecolor: colours.line, zerolinecolor: colours.line, tickcolor: colours.line,
    automargin: true,
    title: { ...(typeof own?.title === "string" ? { text: own.title } : own?.title), font: { size: 12, color: colours.soft } },
  };
}

function themeColours() {
  const style = getComputedStyle(document.body);
  const dark = isDark();
  return {
    text: style.color,
    soft: dark ? "#9aa39f" : "#67625a",
    grid: dark ? "rgb(255 255 255 / 7%)" : "rgb(60 52 34 / 9%)",
    line: dark ? "rgb(255 255 255 / 18%)" : "rgb(60 52 34 / 22%)",
    paper: dark ? "#1b201f" : "#fffdfa",
    font: style.fontFamily,
  };
}

/** {data, layout} for plotly. `options`: {smoothing: 0…0.99, log: boolean, small: boolean}. */
export function dress(figure, { smoothing = 0, log = false, small = false } = {}) {
  const colours = themeColours();
  const dark = isDark();
  const data = (figure.data ?? []).map((trace) => (dark ? withColours(trace) : trace)).flatMap((trace) => smoothed(trace, smoothing));
  const own = figure.layout ?? {};
  const layout = {
    ...own,
    autosize: true,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: colours.font, size: 12, color: colours.text },
    hoverlabel: { bgcolor: colours.paper, bordercolor: colours.line, font: { color: colours.text } },
    margin: own.margin ?? { l: 48, r: 16, t: 16, b: 40 },
    legend: { orientation: "h", y: 1.12, x: 0, ...own.legend, ...(small ? { font: { size: 11 } } : {}) },
    uirevision: "kept",
  };
  // Numbers written into the drawing stand on paper, so that lines do not cross them out.
  if (own.annotations) layout.annotations = own.annotations.map((note) => ({ bgcolor: colours.paper, ...note, font: { size: 11, color: colours.text, ...note.font } }));
  if (own.colorway) layout.colorway = dark ? recoloured(own.colorway) : own.colorway;
  for (const key of new Set(["xaxis", "yaxis", ...Object.keys(own).filter((name) => /^[xy]axis\d*$/.test(name))])) {
    layout[key] = axis(own[key], colours, log && key.startsWith("y") ? "log" : undefined);
  }
  return { data, layout };
}

/** One sentence per series for people who do not see the chart: first, last, lowest and highest value. */
export function summary(figure) {
  return (figure.data ?? [])
    .map((trace) => {
      const values = (trace.orientation === "h" ? trace.x : trace.y)?.filter?.((value) => Number.isFinite(value)) ?? [];
      if (!values.length) return "";
      let lowest = values[0];
      let highest = values[0];
      for (const value of values) {
        lowest = Math.min(lowest, value);
        highest = Math.max(highest, value);
      }
      const show = (value) => (Math.abs(value) < 1 ? value.toPrecision(3) : formatNumber(value));
      return t("chart.summary", { name: trace.name || t("chart.series"), count: values.length, first: show(values[0]), last: show(values.at(-1)), low: show(lowest), high: show(highest) });
    })
    .filter(Boolean)
    .join(" ");
}

const cell = (value) => {
  const text = String(value ?? "");
  // A leading = + - @ would be a formula in a spreadsheet; numbers may keep their sign.
  const safe = /^[=+\-@\t\r]/.test(text) && !Number.isFinite(Number(text)) ? `'${text}` : text;
  return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

/** series,x,y rows of every trace. */
export function toCsv(figure) {
  const rows = [["series", "x", "y"]];
  for (const trace of figure.data ?? []) {
    const count = Math.max(trace.x?.length ?? 0, trace.y?.length ?? 0);
    for (let at = 0; at < count; at += 1) rows.push([trace.name ?? "", trace.x?.[at], trace.y?.[at]]);
  }
  return rows.map((row) => row.map(cell).join(",")).join("\r\n");
}
