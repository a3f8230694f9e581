// Words of the islands in the page's language (<html lang>); templates are translated by Django. The page loads the words
// of one language before its islands: static/src/words, the entry tag.
const strings = () => window.shuyuanWords ?? {};

/** The sentence of a key, with {name} replaced. */
export function t(key, parameters = {}) {
  const text = strings()[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in parameters ? String(parameters[name]) : whole));
}

export const locale = document.documentElement.lang.toLowerCase().startsWith("zh") ? "zh-Hans" : "en";

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
