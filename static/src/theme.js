// Loaded as a classic script in <head>, before the first paint, so that no page flashes in the wrong theme.
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => {
    try {
      return localStorage.getItem("shuyuan.theme") || "auto";
    } catch {
      return "auto";
    }
  };
  const apply = () => {
    const choice = chosen();
    const theme = choice === "auto" ? (dark.matches ? "dark" : "light") : choice;
    document.documentElement.setAttribute("data-bs-theme", theme);
    document.documentElement.setAttribute("data-theme-choice", choice);
  };
  apply();
  dark.addEventListener("change", apply);
  window.addEventListener("storage", (event) => event.key === "shuyuan.theme" && apply());
})();
