// The icons that islands draw themselves. Templates use the {% icon %} tag.
import alert from "icon:alert-triangle";
import adjustments from "icon:adjustments-horizontal";
import back from "icon:arrow-back-up";
import down from "icon:arrow-down";
import equal from "icon:equal";
import forward from "icon:arrow-forward-up";
import link from "icon:link";
import pause from "icon:player-pause";
import play from "icon:player-play";
import plus from "icon:plus";
import point from "icon:point";
import polygon from "icon:polygon";
import rectangle from "icon:rectangle";
import tool from "icon:tool";
import trash from "icon:trash";
import check from "icon:check";
import chevronLeft from "icon:chevron-left";
import chevronRight from "icon:chevron-right";
import circleCheck from "icon:circle-check";
import copy from "icon:copy";
import download from "icon:download";
import edit from "icon:pencil";
import file from "icon:file-upload";
import info from "icon:info-circle";
import refresh from "icon:refresh";
import send from "icon:arrow-up";
import stop from "icon:player-stop-filled";
import thumbDown from "icon:thumb-down";
import thumbUp from "icon:thumb-up";
import x from "icon:x";

const drawings = {
  alert, adjustments, back, check, "chevron-left": chevronLeft, "chevron-right": chevronRight, "circle-check": circleCheck,
  copy, down, download, edit, equal, file, forward, info, link, pause, play, plus, point, polygon, rectangle, refresh, send, stop,
  "thumb-down": thumbDown, "thumb-up": thumbUp, tool, trash, up: send, x,
};

/** A decorative icon element. */
export function icon(name) {
  const holder = document.createElement("template");
  const paint = name === "stop" ? 'fill="currentColor"' : 'fill="none" stroke="currentColor" stroke-width="1.75"';
  // The drawings are constants of the build, never text of a user.
  holder.innerHTML = `<svg class="icon" viewBox="0 0 24 24" ${paint} stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false">${drawings[name]}</svg>`;
  return holder.content.firstElementChild;
}
