// A conversation that is being edited: its turns, where each came from, and every earlier state to go back to.
import { uuid } from "../lib/dom.js";

const MOST_STATES = 200;
const SAME_EDIT = 1500;
const KEPT = ["role", "content", "name", "tool_calls", "tool_call_id", "train"];

/** A message with only what a record keeps; absent and empty are the same. */
export function canonical(turn) {
  const message = { role: turn.role, content: turn.content ?? "" };
  for (const name of KEPT.slice(2)) {
    const value = turn[name];
    if (value !== null && value !== undefined && value !== "" && !(Array.isArray(value) && value.length === 0)) message[name] = structuredClone(value);
  }
  return message;
}

export const same = (one, other) => JSON.stringify(canonical(one)) === JSON.stringify(canonical(other));

/** For each turn the index of the message it came from, or null: equal ones first, then those of one role between them. */
export function origins(original, turns) {
  const found = turns.map(() => null);
  let from = 0;
  turns.forEach((turn, at) => {
    const match = original.findIndex((message, index) => index >= from && same(message, turn));
    if (match < 0) return;
    found[at] = match;
    from = match + 1;
  });
  const taken = new Set(found.filter((index) => index !== null));
  turns.forEach((turn, at) => {
    if (found[at] !== null) return;
    const low = Math.max(-1, ...found.slice(0, at).filter((index) => index !== null));
    const high = Math.min(original.length, ...found.slice(at + 1).filter((index) => index !== null));
    const match = original.findIndex((message, index) => index > low && index < high && !taken.has(index) && message.role === turn.role);
    if (match < 0) return;
    found[at] = match;
    taken.add(match);
  });
  return found;
}

export class Conversation {
  constructor(original, turns = original) {
    this.original = original.map(canonical);
    this.load(turns);
  }

  /** Begin with other turns than the original's: a draft, a prediction. */
  load(turns) {
    const from = origins(this.original, turns);
    this.turns = turns.map((turn, at) => ({ key: uuid(), origin: from[at], ...canonical(turn) }));
    this.past = [];
    this.future = [];
    this.lastEdit = { what: "", at: 0 };
  }

  get messages() {
    return this.turns.map(canonical);
  }

  indexOf(key) {
    return this.turns.findIndex((turn) => turn.key === key);
  }

  /** Remember the present; typing in one place within a moment is one step. */
  remember(what = "") {
    const now = performance.now();
    const goesOn = what !== "" && what === this.lastEdit.what && now - this.lastEdit.at < SAME_EDIT;
    this.lastEdit = { what, at: now };
    if (goesOn) return;
    this.past.push(structuredClone(this.turns));
    if (this.past.length > MOST_STATES) this.past.shift();
    this.future = [];
  }

  undo() {
    return this.travel(this.past, this.future);
  }

  redo() {
    return this.travel(this.future, this.past);
  }

  travel(from, to) {
    if (!from.length) return false;
    to.push(this.turns);
    this.turns = from.pop();
    this.lastEdit = { what: "", at: 0 };
    return true;
  }

  change(key, changes, what = "") {
    this.remember(what && `${key} ${what}`);
    Object.assign(this.turns[this.indexOf(key)], changes);
  }

  /** A new turn after another (null: at the end); the roles take turns. */
  addAfter(key, roles) {
    const at = key === null ? this.turns.length : this.indexOf(key) + 1;
    const before = this.turns[at - 1];
    const wanted = before?.role === "user" || before?.role === "tool" ? "assistant" : "user";
    const turn = { key: uuid(), origin: null, role: roles.includes(wanted) ? wanted : roles[0], content: "" };
    this.remember();
    this.turns.splice(at, 0, turn);
    return turn;
  }

  remove(key) {
    this.remember();
    this.turns.splice(this.indexOf(key), 1);
  }

  move(key, by) {
    const at = this.indexOf(key);
    const to = at + by;
    if (to < 0 || to >= this.turns.length) return;
    this.remember();
    this.turns.splice(to, 0, ...this.turns.splice(at, 1));
  }

  reset() {
    this.remember();
    this.turns = this.original.map((message, at) => ({ key: uuid(), origin: at, ...structuredClone(message) }));
  }

  /** Put a removed message back where it stood. */
  restore(index) {
    this.remember();
    const after = this.turns.findIndex((turn) => turn.origin !== null && turn.origin > index);
    this.turns.splice(after < 0 ? this.turns.length : after, 0, { key: uuid(), origin: index, ...structuredClone(this.original[index]) });
  }

  /** "new", "edited", or "" for a turn as it was. */
  stateOf(turn) {
    if (turn.origin === null) return "new";
    return same(turn, this.original[turn.origin]) ? "" : "edited";
  }

  get removed() {
    const kept = new Set(this.turns.map((turn) => turn.origin));
    return this.original.map((message, index) => ({ message, index })).filter(({ index }) => !kept.has(index));
  }

  get isMoved() {
    const order = this.turns.map((turn) => turn.origin).filter((origin) => origin !== null);
    return order.some((origin, at) => at > 0 && origin < order[at - 1]);
  }

  get counts() {
    const states = this.turns.map((turn) => this.stateOf(turn));
    return { edited: states.filter((state) => state === "edited").length, added: states.filter((state) => state === "new").length, removed: this.removed.length };
  }
}
