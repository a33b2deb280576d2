// The picture: one row for each happening, newest at the bottom, drawn once and then left alone. The last row shows the
// open ends. At most `DRAWN_MAX` rows are drawn every `DRAW_MS`; a row says how many happenings were left out.

import { COLUMNS_PX, Lanes } from "./lanes.js";
import { byId, count, drawn, element, memberName, setText, timeOfDay } from "./dom.js";

const ROWS_MAX = 200;
const DRAW_MS = 120;
const DRAWN_MAX = 12;
const WAITING_MAX = 2_000; // above that a draw begins anew, from the history
const ROW_PX = 28;
const MIDDLE = ROW_PX / 2;
const LETTER_PX = 8; // of a name; where one does not fit into its column, all are written upright

/** Draws the happenings of a model that `matches` accepts; `select` is called with one that was chosen. */
export class Picture {
  #rows = byId("rows");
  #names = byId("names");
  #ends = byId("ends");
  #scroller = byId("picture");
  #columnPx = COLUMNS_PX[0];
  #lanes = new Lanes(ROWS_MAX, this.#columnPx);
  #waiting = [];
  #dropped = 0; // happenings for which there was no room among those that wait to be drawn
  #isScheduled = false;
  #drawnAt = 0;
  #drawnNames = "";
  #selected = "";
  #leftOutTotal = 0;
  isPaused = false;

  constructor(model, matches, select) {
    this.model = model;
    this.matches = matches;
    this.select = select;
    this.#rows.replaceChildren();
    this.#rows.onclick = (event) => this.#clicked(event);
    this.#rows.onkeydown = (event) => this.#pressed(event);
    this.#ends.onclick = (event) => this.#clicked(event);
    byId("newest").onclick = () => this.#scrollDown();
    this.#scroller.onscroll = () => this.#scrolled();
    this.rebuild();
  }

  /** Draw some more happenings, soon. */
  push(happenings) {
    if (this.isPaused) return;
    for (const happening of happenings) {
      if (!this.matches(happening)) continue;
      if (this.#waiting.length < WAITING_MAX) this.#waiting.push(happening);
      else this.#dropped += 1;
    }
    this.#schedule();
  }

  /** Draw everything anew: what is pending, and the end of the history. */
  rebuild() {
    const matching = this.model.history.filter(this.matches);
    const shown = matching.slice(-ROWS_MAX);
    this.#waiting = [];
    this.#dropped = 0;
    this.#lanes = new Lanes(ROWS_MAX, this.#columnPx);
    this.#rows.replaceChildren();
    for (const offer of this.#openBefore(shown)) this.#lanes.start(offer);
    for (const happening of shown) this.#add(happening, [happening]);
    this.#finish(true);
  }

  /** Mark the rows of an offer. */
  mark(key) {
    this.#selected = key;
    for (const row of this.#rows.children) this.#markRow(row);
  }

  #markRow(row) {
    row.classList.toggle("selected", row.happening.offers?.some(({ key }) => key === this.#selected) ?? false);
  }

  focus() {
    (this.#rows.querySelector("button[tabindex='0']") ?? this.#rows.lastElementChild?.firstElementChild)?.focus();
  }

  /** Return the offers that were pending before the first of some happenings. */
  #openBefore(happenings) {
    const opened = new Set();
    const before = new Map();
    for (const { kind, offers } of happenings) {
      for (const offer of offers) {
        if (kind === "pending") opened.add(offer.key);
        else if (!opened.has(offer.key)) before.set(offer.key, offer);
      }
    }
    for (const offer of this.model.pending.values()) {
      const isShown = this.matches({ kind: "pending", event: offer.events.join("|"), offers: [offer] });
      if (isShown && !opened.has(offer.key)) before.set(offer.key, offer);
    }
    return [...before.values()].sort((one, other) => one.at - other.at);
  }

  #schedule() {
    if (this.#isScheduled || !this.#waiting.length) return;
    this.#isScheduled = true;
    const wait = Math.max(0, this.#drawnAt + DRAW_MS - performance.now());
    setTimeout(() => requestAnimationFrame(() => this.#draw()), wait);
  }

  #draw() {
    this.#isScheduled = false;
    this.#drawnAt = performance.now();
    if (this.isPaused) return;
    const isAtEnd = this.#isAtEnd();
    if (this.#dropped) {
      this.#leftOutTotal += this.#dropped + this.#waiting.length - ROWS_MAX;
      this.rebuild();
      return;
    }
    const waiting = this.#waiting;
    this.#waiting = [];
    const leftOut = waiting.length > DRAWN_MAX ? waiting.splice(0, waiting.length - DRAWN_MAX + 1) : [];
    if (leftOut.length) {
      this.#leftOutTotal += leftOut.length;
      const text = `${leftOut.length} more, not drawn`;
      this.#add({ kind: "thinned", at: leftOut.at(-1).at, text }, leftOut);
    }
    for (const happening of waiting) this.#add(happening, [happening]);
    while (this.#rows.childElementCount > ROWS_MAX) this.#rows.firstElementChild.remove();
    this.#finish(isAtEnd);
  }

  #add(happening, all) {
    const row = this.#lanes.row(all);
    const { kind } = happening;
    const isSwitch = kind !== "thinned" && kind !== "gap";
    const attributes = isSwitch ? { class: "label", type: "button", tabindex: "-1" } : { class: "label" };
    const label = element(isSwitch ? "button" : "span", attributes);
    label.append(element("time", {}, timeOfDay(happening.at)), ...words(happening));
    const item = element("li", { class: `row ${kind}` }, label, cells(row, kind));
    item.happening = happening;
    this.#markRow(item);
    this.#rows.append(item);
  }

  #finish(isAtEnd) {
    if (this.#isTooWide()) {
      this.#columnPx = COLUMNS_PX[COLUMNS_PX.indexOf(this.#columnPx) + 1];
      this.rebuild();
      return;
    }
    const open = this.#lanes.ends();
    const lines = [...open.keys()].map((x) => `M${x} 0V8`).join("");
    const ends = [...open].map(([x, key]) => end(key, x));
    this.#ends.replaceChildren(drawn("path", { class: "line", d: lines }), ...ends);
    this.#scroller.style.setProperty("--lanes", `${Math.max(this.#lanes.width, this.#columnPx)}px`);
    this.#scroller.style.setProperty("--column", `${this.#columnPx}px`);
    this.#drawNames();
    if (!this.#rows.querySelector("button[tabindex='0']")) {
      this.#rows.querySelector("li:last-child button")?.setAttribute("tabindex", "0");
    }
    const leftOut = this.#leftOutTotal;
    setText(byId("left-out"), leftOut ? `Thinned: ${count(leftOut, "happening")} not drawn.` : "");
    if (isAtEnd) this.#scrollDown();
    else this.#scrolled();
  }

  /** Whether narrower columns would show more of them. */
  #isTooWide() {
    const room = this.#scroller.clientWidth - this.#names.offsetLeft;
    return room > 0 && this.#columnPx !== COLUMNS_PX.at(-1) && this.#lanes.width > room;
  }

  #drawNames() {
    const names = this.#lanes.columns.map(({ actor }) => actor);
    const text = [this.#columnPx, ...names].join("\n");
    if (text === this.#drawnNames) return;
    this.#drawnNames = text;
    this.#names.classList.toggle("upright", names.some((name) => name.length * LETTER_PX > this.#columnPx));
    this.#names.replaceChildren(...names.map((name) => element("li", { title: name }, name)));
  }

  // --- what the reader does ---

  #clicked(event) {
    const key = event.target.closest("[data-key]")?.getAttribute("data-key");
    const row = event.target.closest("li");
    const happening = row?.happening;
    if (row?.classList.contains("row")) this.#goTo(row.querySelector("button"), false);
    if (key !== undefined && happening?.kind !== "synced") this.select({ key, happening });
    else if (happening && happening.kind !== "gap" && happening.kind !== "thinned") this.select({ happening });
  }

  #pressed(event) {
    const buttons = [...this.#rows.querySelectorAll("button")];
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    this.#goTo(buttons[Math.min(Math.max(to, 0), buttons.length - 1)], true);
  }

  #goTo(button, isFocused) {
    if (!button) return;
    for (const other of this.#rows.querySelectorAll("button[tabindex='0']")) other.tabIndex = -1;
    button.tabIndex = 0;
    if (isFocused) button.focus();
  }

  #isAtEnd() {
    const { scrollTop, clientHeight, scrollHeight } = this.#scroller;
    return scrollTop + clientHeight >= scrollHeight - ROW_PX;
  }

  #scrollDown() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    byId("newest").hidden = true;
  }

  #scrolled() {
    byId("newest").hidden = this.#isAtEnd();
  }
}

/** Return the words of a row, those of the log on the terminal. */
function words({ kind, event, sync, namespace, offers, text }) {
  const part = (name, content) => element("span", { class: name }, content);
  if (kind === "synced") {
    const names = [...offers].reverse().map(({ actor }) => actor).join(" ");
    const prefix = namespace === "default" ? "" : `${namespace}/`;
    return [part("event", `${prefix}${event}`), part("number", ` #${sync}`), part("members", ` ${names}`)];
  }
  if (kind === "gap" || kind === "thinned") return [part("note", text)];
  const name = part("event", memberName(offers[0]));
  return kind === "pending" ? [name] : [name, part("how", ` ${text}`)];
}

function cells({ through, nodes }, kind) {
  const lines = through.map((x) => `M${x} 0V${ROW_PX}`);
  for (const { x, wasOpen, isOpen } of nodes) {
    if (wasOpen || isOpen) lines.push(`M${x} ${wasOpen ? 0 : MIDDLE}V${isOpen ? ROW_PX : MIDDLE}`);
  }
  const parts = [drawn("path", { class: "line", d: lines.join("") })];
  const all = nodes.map(({ x }) => x);
  if (kind === "synced") {
    parts.push(drawn("path", { class: "join", d: `M${Math.min(...all)} ${MIDDLE}H${Math.max(...all)}` }));
  }
  if (kind === "gap" || kind === "thinned") parts.push(drawn("path", { class: "break", d: `M0 ${MIDDLE}H10000` }));
  else parts.push(...nodes.map(node));
  return drawn("svg", { class: "cells", height: ROW_PX, "aria-hidden": "true", focusable: "false" }, ...parts);
}

function node({ x, key, kind }) {
  const cross = `M${x - 4} ${MIDDLE - 4}l8 8m0 -8l-8 8`;
  const shape =
    kind === "ended"
      ? drawn("path", { class: "cross", d: cross })
      : drawn("circle", { class: "dot", cx: x, cy: MIDDLE, r: kind === "synced" ? 5.5 : 4 });
  const target = drawn("circle", { class: "target", cx: x, cy: MIDDLE, r: 13 });
  return drawn("g", { class: "node", "data-key": key }, target, shape);
}

function end(key, x) {
  const target = drawn("circle", { class: "target", cx: x, cy: 13, r: 13 });
  return drawn("g", { class: "node", "data-key": key }, target, drawn("circle", { class: "end", cx: x, cy: 13, r: 5 }));
}
