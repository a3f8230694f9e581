// Menus that open below a button: <div class="dropdown"><button data-bs-toggle="dropdown">…<div class="dropdown-menu">….
// Placed by the style sheet, moved only where they would leave the window.
const BUTTON = "[data-bs-toggle=dropdown]";
const ITEM = ".dropdown-item:not(:disabled, .disabled), .dropdown-menu input, .dropdown-menu select";
const EDGE = 8;

const menuOf = (button) => button.parentElement.querySelector(".dropdown-menu");
const openButton = () => document.querySelector(`${BUTTON}[aria-expanded=true]`);

function close(button, { focus = false } = {}) {
  if (!button) return;
  button.setAttribute("aria-expanded", "false");
  menuOf(button)?.classList.remove("show");
  if (focus) button.focus();
}

/** Keep the menu within the window: above its button when below there is no room, and not beyond the sides. */
function place(menu, button) {
  Object.assign(menu.style, { insetBlock: "", translate: "" });
  let box = menu.getBoundingClientRect();
  if (box.bottom > innerHeight - EDGE && button.getBoundingClientRect().top > box.height + EDGE) {
    menu.style.insetBlock = "auto 100%";
    box = menu.getBoundingClientRect();
  }
  const beyond = Math.min(0, innerWidth - EDGE - box.right) || Math.max(0, EDGE - box.left);
  if (beyond) menu.style.translate = `${beyond}px`;
}

function open(button) {
  close(openButton());
  const menu = menuOf(button);
  menu.dataset.bsPopper = "static";
  menu.classList.add("show");
  button.setAttribute("aria-expanded", "true");
  place(menu, button);
}

function onClick(event) {
  const button = event.target.closest?.(BUTTON);
  const opened = openButton();
  if (button && button !== opened) open(button);
  else if (button || !event.target.closest?.(".dropdown-menu") || event.target.closest(".dropdown-item")) close(opened);
}

function onKey(event) {
  const opened = openButton();
  const button = opened ?? event.target.closest?.(BUTTON);
  if (!button) return;
  if (event.key === "Escape" && opened) close(opened, { focus: true });
  else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    if (!opened) open(button);
    const items = [...menuOf(button).querySelectorAll(ITEM)].filter((item) => item.checkVisibility());
    const at = items.indexOf(document.activeElement);
    if (at >= 0 || document.activeElement === button) items.at(event.key === "ArrowDown" ? (at + 1) % items.length : Math.max(at, 0) - 1)?.focus();
  } else return;
  event.preventDefault();
  event.stopPropagation();
}

export function startMenus() {
  document.addEventListener("click", onClick);
  document.addEventListener("keydown", onKey, true);
  document.addEventListener("focusin", (event) => {
    const opened = openButton();
    if (opened && !opened.parentElement.contains(event.target)) close(opened);
  });
}
