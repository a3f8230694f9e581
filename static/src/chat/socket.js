// The stream of a conversation. It only reads: after a dropped line every open answer is asked for from the
// character that is missing, so nothing is lost and nothing comes twice.
import { backOff, socketUrl } from "../lib/live.js";

const CLOSED_ANONYMOUS = 4401;
const CLOSED_FORBIDDEN = 4403;

export class ChatSocket {
  /** `onOpen()`, each time: fetch, subscribe; `onMessage(message)` gets turn, delta and end. */
  constructor(path, { onOpen, onMessage, onLost }) {
    this.path = path;
    this.handlers = { onOpen, onMessage, onLost };
    this.tries = 0;
    this.closed = false;
    this.wake = () => !document.hidden && this.connect();
    document.addEventListener("visibilitychange", this.wake);
    window.addEventListener("online", this.wake);
    this.connect();
  }

  connect() {
    if (this.closed || this.socket) return;
    clearTimeout(this.timer);
    this.socket = new WebSocket(socketUrl(this.path));
    this.socket.addEventListener("open", () => {
      this.tries = 0;
      this.handlers.onOpen();
    });
    this.socket.addEventListener("message", (event) => this.handlers.onMessage(JSON.parse(event.data)));
    this.socket.addEventListener("close", (event) => this.onClose(event));
  }

  onClose(event) {
    this.socket = null;
    if (this.closed || event.code === CLOSED_ANONYMOUS || event.code === CLOSED_FORBIDDEN) return;
    this.handlers.onLost();
    this.tries += 1;
    this.timer = setTimeout(() => this.connect(), backOff(this.tries - 1));
  }

  subscribe(turn, after) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type: "subscribe", turn, after }));
  }

  leave() {
    this.closed = true;
    clearTimeout(this.timer);
    document.removeEventListener("visibilitychange", this.wake);
    window.removeEventListener("online", this.wake);
    this.socket?.close();
  }
}
