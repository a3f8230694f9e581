// Keyboard: elements with data-shortcut ("g d", "/", "n") are pressed by key, those with data-arrow ("ArrowLeft") by an
// arrow; islands add their own; "?" shows all.
import { h, isTyping } from "./dom.js";
import { sheet } from "./dialog.js";
import { t } from "./i18n.js";

const described = new Set();
let pending = "";
let pendingTimer = null;

/** Add lines to the "?" sheet: [{keys: ["1–9"], label}]. Returns how to take them away again. */
export function describeShortcuts(group, lines) {
  const entry = { group, lines };
  described.add(entry);
  return () => described.delete(entry);
}

const visible = (element) => element.checkVisibility?.() ?? element.offsetParent !== null;

function labelOf(element) {
  return element.dataset.shortcutLabel || element.getAttribute("aria-label") || element.getAttribute("placeholder") || element.textContent.trim();
}

function collected() {
  const groups = new Map();
  const add = (group, keys, label) => groups.set(group, [...(groups.get(group) ?? []), { keys, label }]);
  for (const { group, lines } of described) for (const { keys, label } of lines) add(group, keys, label);
  for (const element of document.querySelectorAll("[data-shortcut]")) {
    add(element.dataset.shortcutGroup || t("keys.page"), [element.dataset.shortcut], labelOf(element));
  }
  add(t("keys.everywhere"), ["?"], t("keys.help"));
  return groups;
}

const keyboardKeys = (keys) => keys.map((key, index) => [index ? " / " : "", ...key.split(" ").map((part, at) => [at ? " " : "", h("kbd", {}, part)])]);

export function showShortcuts() {
  if (document.querySelector("dialog[open]")) return;
  const sections = [...collected()].map(([group, lines]) =>
    h("section", {}, h("h3", {}, group), lines.map(({ keys, label }) => h("div", {}, h("dt.fw-normal", {}, label), h("dd", {}, keyboardKeys(keys))))),
  );
  sheet({ title: t("keys.title"), body: h("dl.shortcut-list", {}, sections), wide: true });
}

function press(element) {
  if (element.matches("input:not([type=checkbox]):not([type=radio]), textarea, select")) element.focus();
  else element.click();
}

function onKey(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (document.querySelector("dialog[open]")) return;
  if (event.key === "?") {
    event.preventDefault();
    showShortcuts();
    return;
  }
  const arrow = event.key.startsWith("Arrow") && document.querySelector(`[data-arrow="${event.key}"]`);
  if (arrow && !event.target.closest?.("select, [role=slider], [role=tab], input")) {
    event.preventDefault();
    press(arrow);
    return;
  }
  if (event.key.length !== 1) return;
  const typed = pending ? `${pending} ${event.key}` : event.key;
  clearTimeout(pendingTimer);
  const all = [...document.querySelectorAll("[data-shortcut]")];
  const match = all.find((element) => element.dataset.shortcut === typed && (visible(element) || element.matches("a[href]")));
  if (match) {
    event.preventDefault();
    pending = "";
    press(match);
    return;
  }
  pending = all.some((element) => element.dataset.shortcut.startsWith(`${typed} `)) ? typed : "";
  pendingTimer = setTimeout(() => (pending = ""), 1200);
}

export function startShortcuts() {
  document.addEventListener("keydown", onKey);
  document.addEventListener("click", (event) => event.target.closest?.("[data-help]") && showShortcuts());
}
