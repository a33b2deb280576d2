// The filter: by a part of the name of an event and of an actor. Capitals make no difference.

import { byId } from "./dom.js";

/** Calls `changed` when the reader has changed the filter. */
export class Filter {
  #event = byId("filter-event");
  #actor = byId("filter-actor");

  constructor(changed) {
    for (const input of [this.#event, this.#actor]) input.addEventListener("input", changed);
  }

  get isActive() {
    return this.#event.value !== "" || this.#actor.value !== "";
  }

  /** Return whether to show a happening. A gap is always shown. */
  matches = ({ kind, event, offers }) => {
    if (kind === "gap" || !this.isActive) return true;
    const has = (text, part) => text.toLowerCase().includes(part.value.trim().toLowerCase());
    return has(event, this.#event) && offers.some(({ actor }) => has(actor, this.#actor));
  };

  /** Return whether to show a pending offer. */
  matchesOffer = (offer) => this.matches({ kind: "pending", event: offer.events.join("|"), offers: [offer] });
}
