// A colour for each label that can be told from its neighbours and read on paper and in the dark.
const PAIRS = [
  ["#1f77b4", "#6db3e8"], ["#c1440e", "#f0915f"], ["#2a8a4a", "#6ccf8c"], ["#8e44ad", "#c995e0"], ["#b8860b", "#e3bb55"],
  ["#0e8c8c", "#58cccc"], ["#c2255c", "#f386ab"], ["#5c6bc0", "#9fabf0"], ["#7a8b00", "#bccb4e"], ["#8d5a3c", "#cf9d80"],
];

const isDark = () => document.documentElement.dataset.bsTheme === "dark";

/** The same hue, lighter: colours that people choose are usually made for white ground. */
function lightened(colour) {
  const parts = colour.match(/^#(..)(..)(..)$/)?.slice(1).map((part) => parseInt(part, 16));
  if (!parts) return colour;
  const brightness = (parts[0] * 299 + parts[1] * 587 + parts[2] * 114) / 1000;
  if (brightness > 150) return colour;
  return `#${parts.map((part) => Math.round(part + (255 - part) * 0.45).toString(16).padStart(2, "0")).join("")}`;
}

let reader = null;

/** A colour as people write it ("#f60", "teal") as #rrggbb; "" when it is none. */
export function readColour(text) {
  if (!text || !CSS.supports("color", text)) return "";
  reader ??= document.createElement("canvas").getContext("2d");
  reader.fillStyle = text;
  return /^#[0-9a-f]{6}$/.test(reader.fillStyle) ? reader.fillStyle : "";
}

/** The colour of a label as #rrggbb in the theme that is on. */
export function colourOf(label, index) {
  const chosen = readColour(label?.color);
  if (chosen) return isDark() ? lightened(chosen) : chosen;
  return PAIRS[((index % PAIRS.length) + PAIRS.length) % PAIRS.length][isDark() ? 1 : 0];
}

export const suggestedColour = (index) => PAIRS[index % PAIRS.length][0];

/** Give an element its label's colour; style sheets read it as var(--label). */
export function paint(element, colour) {
  if (colour) element.style.setProperty("--label", colour);
  return element;
}

/** Call when the theme changes; returns how to stop. */
export function whenThemeChanges(action) {
  const observer = new MutationObserver(action);
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ["data-bs-theme"] });
  return () => observer.disconnect();
}
