// One WebSocket for live news. A message only says that a topic has news; what is missing is fetched again,
// after every reconnection too, so a lost message or a restarted server costs nothing but a moment. What happened
// between the making of the page and the opening of the line is told by the server at the subscription.
import htmx from "htmx.org";
import { t } from "./i18n.js";
import { toast } from "./toast.js";

const CLOSED_ANONYMOUS = 4401;
const REFRESH_GAP = 400;
const POLL_WHEN_LOST = 10_000;

const listeners = new Map();
let pageTopics = new Set();
let socket = null;
let tries = 0;
let wasOpen = false;
let retryTimer = null;
let pollTimer = null;
let loggedOut = false;

const isOpen = () => socket?.readyState === WebSocket.OPEN;
const send = (type, topic, more = {}) => isOpen() && socket.send(JSON.stringify({ type, topic, ...more }));
/** With the age of the page in milliseconds: what happened since it was made is told, too. */
const subscribe = (topic) => send("subscribe", topic, { age: Math.ceil(performance.now()) });
const wanted = (topic) => listeners.has(topic) || pageTopics.has(topic);

export const socketUrl = (path) => `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;

/** Milliseconds before the next try: 0.5 s doubling to 15 s, with jitter so that many pages do not knock at once. */
export const backOff = (attempt) => Math.min(15_000, 500 * 2 ** attempt) * (0.7 + 0.6 * Math.random());

/** Call `handler(payload)` on news of a topic; payload.resumed is true after a reconnection. Returns how to stop. */
export function listen(topic, handler) {
  const known = wanted(topic);
  if (!listeners.has(topic)) listeners.set(topic, new Set());
  listeners.get(topic).add(handler);
  connect();
  if (!known) subscribe(topic);
  return () => {
    listeners.get(topic)?.delete(handler);
    if (listeners.get(topic)?.size === 0) listeners.delete(topic);
    if (!wanted(topic)) send("unsubscribe", topic);
  };
}

const waiting = new WeakSet();

/** Ask an element to fetch itself again, at most once in REFRESH_GAP, and not while the tab is hidden. */
function refresh(element) {
  if (waiting.has(element)) return;
  if (document.hidden) {
    element.dataset.liveStale = "yes";
    return;
  }
  waiting.add(element);
  setTimeout(() => {
    waiting.delete(element);
    if (element.isConnected) htmx.trigger(element, "live");
  }, element.dataset.liveNow === undefined ? REFRESH_GAP : 0);
}

const elementsOf = (topic) => [...document.querySelectorAll("[data-live]")].filter((element) => element.dataset.live.split(/\s+/).includes(topic));

function announce(topic, payload) {
  document.dispatchEvent(new CustomEvent("shuyuan:event", { detail: { topic, payload } }));
  for (const handler of [...(listeners.get(topic) ?? [])]) handler(payload);
  elementsOf(topic).forEach(refresh);
}

function everythingMayBeStale() {
  for (const topic of new Set([...listeners.keys(), ...pageTopics])) announce(topic, { resumed: true });
}

/** The word "reconnecting" appears only when the line stays dead, not for the blink of a restart. */
function showLost(lost) {
  for (const element of document.querySelectorAll("[data-connection]")) element.classList.toggle("is-lost", lost && tries > 1);
  clearInterval(pollTimer);
  if (lost && !loggedOut) pollTimer = setInterval(everythingMayBeStale, POLL_WHEN_LOST);
}

function onOpen() {
  tries = 0;
  showLost(false);
  for (const topic of new Set([...listeners.keys(), ...pageTopics])) subscribe(topic);
  if (wasOpen) everythingMayBeStale();
  wasOpen = true;
}

function onClose(event) {
  socket = null;
  if (event.code === CLOSED_ANONYMOUS) {
    loggedOut = true;
    toast(t("error.login"), "warning", { label: t("app.reload"), run: () => location.reload() });
    return;
  }
  tries += 1;
  showLost(true);
  clearTimeout(retryTimer);
  retryTimer = setTimeout(connect, backOff(tries - 1));
}

function connect() {
  if (loggedOut || socket || (listeners.size === 0 && pageTopics.size === 0)) return;
  clearTimeout(retryTimer);
  socket = new WebSocket(socketUrl("/ws/events/"));
  socket.addEventListener("open", onOpen);
  socket.addEventListener("close", onClose);
  socket.addEventListener("message", (event) => {
    const { topic, payload } = JSON.parse(event.data);
    if (topic) announce(topic, payload ?? {});
  });
}

/** Follow the topics that the page's elements name now; parts of the page come and go with htmx. */
function scan() {
  const found = new Set([...document.querySelectorAll("[data-live]")].flatMap((element) => element.dataset.live.split(/\s+/).filter(Boolean)));
  const before = pageTopics;
  pageTopics = found;
  for (const topic of found) if (!before.has(topic) && !listeners.has(topic)) subscribe(topic);
  for (const topic of before) if (!wanted(topic)) send("unsubscribe", topic);
  connect();
}

export function startLive() {
  // An element with data-live and hx-get refreshes on news without having to say hx-trigger="live" itself.
  document.addEventListener("htmx:before:init", (event) => {
    const element = event.target;
    if (!element.dataset?.live) return;
    const trigger = element.getAttribute("hx-trigger");
    if (!trigger) element.setAttribute("hx-trigger", "live");
    else if (!/\blive\b/.test(trigger)) element.setAttribute("hx-trigger", `${trigger}, live`);
  });
  document.addEventListener("htmx:after:swap", scan);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    if (!isOpen()) connect();
    for (const element of document.querySelectorAll("[data-live-stale]")) {
      delete element.dataset.liveStale;
      refresh(element);
    }
  });
  window.addEventListener("online", connect);
  scan();
}
