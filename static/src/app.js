// Every page: styles, htmx with the house's rules, theme, messages, dialogs, shortcuts, live news, small comforts.
import "./app.css";
import "@tabler/core/js/src/bootstrap/offcanvas";
import "@tabler/core/js/src/bootstrap/tab";
import { startComforts } from "./lib/comforts.js";
import { startDialogs } from "./lib/dialog.js";
import { startHtmx } from "./lib/htmx.js";
import { startLive } from "./lib/live.js";
import { startMenus } from "./lib/menus.js";
import { startShortcuts } from "./lib/shortcuts.js";
import { startToasts } from "./lib/toast.js";

startHtmx();
startToasts();
startDialogs();
startMenus();
startShortcuts();
startComforts();
startLive();
