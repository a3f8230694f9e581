// Small comforts of every page: theme switch, relative times, copy buttons, forms that are not sent twice.
import { t, locale } from "./i18n.js";
import { store } from "./dom.js";
import { toast } from "./toast.js";

const relative = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });
const exact = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "medium" });
const scales = [["year", 31_536_000], ["month", 2_592_000], ["day", 86_400], ["hour", 3600], ["minute", 60]];

/** "3 minutes ago"; under a minute "just now", so that pages do not tick. */
export function relativeTime(date, now = Date.now()) {
  const seconds = (date.getTime() - now) / 1000;
  for (const [unit, size] of scales) {
    if (Math.abs(seconds) >= size) return relative.format(Math.round(seconds / size), unit);
  }
  return t(seconds > 5 ? "time.soon" : "time.now");
}

function refreshTimes() {
  for (const element of document.querySelectorAll("time[data-relative]")) {
    const date = new Date(element.dateTime);
    if (Number.isNaN(date.getTime())) continue;
    element.textContent = relativeTime(date);
    element.title = exact.format(date);
  }
}

function setTheme(choice) {
  try {
    localStorage.setItem("shuyuan.theme", choice);
  } catch {
    // the choice then holds for this page only
  }
  const dark = choice === "dark" || (choice === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.setAttribute("data-theme-choice", choice);
  document.documentElement.setAttribute("data-bs-theme", dark ? "dark" : "light");
}

export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without a secure context there is no clipboard; the old way still works.
    const area = document.createElement("textarea");
    area.value = text;
    area.style.position = "fixed";
    area.style.opacity = "0";
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  toast(t("app.copied"), "success");
}

function onClick(event) {
  const theme = event.target.closest?.("[data-theme-set]");
  if (theme) setTheme(theme.dataset.themeSet);
  const copier = event.target.closest?.("[data-copy], [data-copy-text]");
  if (copier) {
    const source = copier.dataset.copy ? document.querySelector(copier.dataset.copy) : null;
    copyText(copier.dataset.copyText ?? source?.value ?? source?.textContent ?? "");
  }
}

/** A form that was sent shows so and is not sent again; going back in history makes it usable again. */
function guardForms() {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method === "dialog" || form.method === "get" || form.hasAttribute("hx-post")) return;
    setTimeout(() => form.querySelectorAll("button:not([type=button])").forEach((button) => (button.disabled = true)));
  });
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) document.querySelectorAll("form button:disabled").forEach((button) => (button.disabled = false));
  });
}

/** Fields with data-autosubmit send their form when they change: filters of lists. */
function autoSubmit() {
  document.addEventListener("change", (event) => event.target.closest?.("[data-autosubmit]")?.form?.requestSubmit());
}

/** Forms with data-drop-empty leave empty fields out of the address that they lead to. */
function dropEmptyFields() {
  document.addEventListener("formdata", (event) => {
    if (!event.target.hasAttribute("data-drop-empty")) return;
    for (const name of new Set(event.formData.keys())) {
      const kept = event.formData.getAll(name).filter((value) => value !== "");
      event.formData.delete(name);
      for (const value of kept) event.formData.append(name, value);
    }
  });
}

/** <details data-wide-open> is open where there is room beside the content, and closed where it would push it down. */
function openWhereWide() {
  const wide = matchMedia("(min-width: 992px)");
  const apply = () => document.querySelectorAll("details[data-wide-open]").forEach((details) => (details.open = wide.matches));
  wide.addEventListener("change", apply);
  apply();
}

/** <details data-remember="key"> stays as the reader left it. */
function rememberDetails() {
  const restore = () => {
    for (const details of document.querySelectorAll("details[data-remember]")) {
      const open = store.get(`shuyuan.details.${details.dataset.remember}`);
      if (open !== null) details.open = open;
    }
  };
  document.addEventListener("toggle", (event) => {
    const key = event.target.dataset?.remember;
    if (key) store.set(`shuyuan.details.${key}`, event.target.open);
  }, true);
  restore();
}

/** What scrolls can be reached and scrolled by keyboard. */
function reachScrollers() {
  for (const element of document.querySelectorAll("pre, .table-responsive, .scroll-x")) {
    const scrolls = element.scrollWidth > element.clientWidth + 1 || element.scrollHeight > element.clientHeight + 1;
    if (scrolls && !element.hasAttribute("tabindex")) {
      element.tabIndex = 0;
      element.dataset.scroller = "";
    } else if (!scrolls && "scroller" in element.dataset) {
      element.removeAttribute("tabindex");
      delete element.dataset.scroller;
    }
  }
}

/** Tabs that do not fit are pushed sideways: the one that is open must be seen. */
function showOpenTab() {
  for (const tab of document.querySelectorAll(".nav-tabs .active")) {
    const bar = tab.closest(".nav-tabs");
    if (bar.scrollWidth > bar.clientWidth) bar.scrollLeft += tab.getBoundingClientRect().right - bar.getBoundingClientRect().right + tab.offsetWidth;
  }
}

export function startComforts() {
  document.addEventListener("click", onClick);
  document.addEventListener("htmx:after:swap", refreshTimes);
  setInterval(refreshTimes, 30_000);
  refreshTimes();
  guardForms();
  autoSubmit();
  dropEmptyFields();
  openWhereWide();
  rememberDetails();
  document.addEventListener("htmx:after:swap", reachScrollers);
  window.addEventListener("resize", () => requestAnimationFrame(reachScrollers));
  document.addEventListener("toggle", reachScrollers, true);
  reachScrollers();
  showOpenTab();
}
