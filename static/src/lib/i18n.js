// Strings of the islands in the page's language (<html lang>); templates are translated by Django.
import english from "../strings/en.json";
import chinese from "../strings/zh-hans.json";

const language = document.documentElement.lang.toLowerCase().startsWith("zh") ? "zh-hans" : "en";
const strings = { ...english, ...(language === "zh-hans" ? chinese : {}) };

/** The sentence of a key, with {name} replaced. */
export function t(key, parameters = {}) {
  const text = strings[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in parameters ? String(parameters[name]) : whole));
}

/** Words that only some islands need come with them. */
export function addWords(inEnglish, inChinese) {
  Object.assign(strings, inEnglish, language === "zh-hans" ? inChinese : {});
}

export const locale = language === "zh-hans" ? "zh-Hans" : "en";

const numbers = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 });
export const formatNumber = (value) => numbers.format(value);

export function formatBytes(bytes) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let power = 0;
  let size = bytes;
  while (size >= 1024 && power < units.length - 1) {
    size /= 1024;
    power += 1;
  }
  return `${formatNumber(size)} ${units[power]}`;
}

export function formatSeconds(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return t("time.seconds", { s: whole });
  if (whole < 3600) return t("time.minutes", { m: Math.floor(whole / 60), s: whole % 60 });
  return t("time.hours", { h: Math.floor(whole / 3600), m: Math.floor((whole % 3600) / 60) });
}
