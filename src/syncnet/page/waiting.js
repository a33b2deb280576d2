// The list of pending offers, oldest first, with what each of them lacks.

import { byId, count, duration, element, memberName, setText } from "./dom.js";

const LISTED_MAX = 100;

/** Keeps the list up to date; an entry stays the same element for as long as its offer is pending. */
export class Waiting {
  #list = byId("waiting");
  #entries = new Map(); // key → element

  constructor(model, matches, select) {
    this.model = model;
    this.matches = matches;
    this.#list.replaceChildren();
    this.#list.onclick = (event) => {
      const offer = event.target.closest("li")?.offer;
      if (offer) select({ offer }); // it may have ended since the list was drawn
    };
  }

  draw() {
    const offers = [];
    let matching = 0;
    for (const offer of this.model.pending.values()) {
      if (!this.matches(offer)) continue;
      matching += 1;
      if (offers.length < LISTED_MAX) offers.push(offer);
    }
    const keys = new Set(offers.map(({ key }) => key));
    for (const [key, entry] of this.#entries) {
      if (keys.has(key)) continue;
      entry.remove();
      this.#entries.delete(key);
    }
    let next = this.#list.firstElementChild;
    for (const offer of offers) {
      let entry = this.#entries.get(offer.key);
      if (!entry) {
        entry = newEntry(offer);
        this.#entries.set(offer.key, entry);
      }
      if (entry === next) next = entry.nextElementSibling;
      else this.#list.insertBefore(entry, next);
      setText(entry.querySelector(".since"), duration(this.model.now() - offer.at));
      setText(entry.querySelector(".lacks"), lacks(offer, this.model));
    }
    setText(byId("waiting-total"), matching.toLocaleString("en"));
    const more = matching - offers.length;
    setText(byId("waiting-more"), more ? `and ${count(more, "more offer")}` : matching ? "" : "No offer is pending.");
  }
}

function newEntry(offer) {
  const name = element("span", { class: "event" }, memberName(offer));
  const button = element("button", { type: "button" }, name);
  button.append(element("span", { class: "since" }), element("span", { class: "lacks" }));
  return Object.assign(element("li", {}, button), { offer });
}

/** Return in words what an offer lacks, as far as the names and counts of the pending offers show. */
export function lacks(offer, model) {
  const { actor, namespace, events, expect, mates } = offer;
  if (expect) {
    const here = new Set();
    for (const other of model.pending.values()) {
      if (other.namespace === namespace && other.events.some((event) => events.includes(event))) here.add(other.actor);
    }
    const missing = expect.filter((name) => name !== actor && !here.has(name));
    return missing.length ? `lacks ${missing.join(", ")}` : "all of its roster are here, but do not fit";
  }
  const others = Math.max(0, model.present(offer) - 1);
  if (!Number.isInteger(mates)) return `${count(others, "other offer")} of this event here`;
  if (others < mates) return `lacks ${mates - others} of ${count(mates, "mate")}`;
  return `${count(others, "other")} here, but no set that fits`;
}
