// Making elements. Names and payloads come from strangers: they become text nodes and attribute values, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** Return the element of this page with that id. */
export const byId = (id) => document.getElementById(id);

/** Return a new HTML element with attributes, and with children that are nodes or texts. */
export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** Return a new SVG element. */
export function drawn(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/** Set the text of a node, if it is another one: what does not change is not read out again. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Return a duration as people read it: `250 ms`, `3.2 s`, `4 min 05 s`. */
export function duration(ms) {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  const two = (number) => String(number).padStart(2, "0");
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${two(Math.floor((seconds % 3600) / 60))} min`;
}

/** Return a whole number with separators, and its noun. */
export function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

/** Return the time of day of a moment, to the second, or to the millisecond. */
export function timeOfDay(ms, isExact = false) {
  const text = new Date(ms).toTimeString().slice(0, 8);
  return isExact ? `${text}.${String(Math.floor(ms) % 1000).padStart(3, "0")}` : text;
}

/** Return `ACTOR:event` as the log does: another namespace than the default stands before it. */
export function memberName({ namespace, actor, events }) {
  return `${namespace === "default" ? "" : `${namespace}/`}${actor}:${events.join("|")}`;
}
