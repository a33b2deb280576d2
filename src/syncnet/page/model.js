// What is known of one namespace: the pending offers, the latest happenings, rates and waiting times. No elements here.

export const HISTORY_MAX = 1_000;
export const SECONDS = 60;
/** The upper ends of the classes of waiting times, in ms. */
export const WAITED_MS = [10, 100, 1_000, 10_000, 60_000, Infinity];

const ENDS = {
  withdrawn: "withdrawn",
  disconnected: "disconnected",
  lost: "lost",
  "timed-out": "timed out",
  aborted: "aborted",
};

const keyOf = (namespace, id) => `${namespace}\n${id}`;

/**
 * The state of one namespace. `apply` takes the documents of the live feed and returns happenings:
 * {kind, at, offers, event, text}, with kind one of pending, synced, ended, missed and gap.
 */
export class Model {
  pending = new Map(); // offers by key, oldest first
  history = []; // happenings, oldest first
  skewMs = Infinity;
  hasDoubts = false; // ask `/stats` which offers are pending, and `reconcile`
  #seconds = new Map(); // second → {offers, syncs}
  #waited = []; // [moment, class] of members, oldest first
  #unsure = new Set(); // offers of which it is not known whether they are still pending: there was a gap
  #endedSinceGap = new Set();
  #listed = 0; // pending offers that the feed is about to list
  #isListWhole = false;
  #byEvent = new Map(); // namespace and event → number of pending offers

  /** The server's time now, as far as it is known. */
  now() {
    return Date.now() - (Number.isFinite(this.skewMs) ? this.skewMs : 0);
  }

  /** Take one event of the feed; return the happenings to show. */
  apply({ data }) {
    let document;
    try {
      document = JSON.parse(data);
    } catch {
      return [];
    }
    const happening = this.#happening(document);
    if (happening === null) return [];
    this.history.push(happening);
    if (this.history.length > 2 * HISTORY_MAX) this.history.splice(0, this.history.length - HISTORY_MAX);
    return [happening];
  }

  #happening(document) {
    if (document.happening === "gap") return this.#gap(document.missed);
    if (document.happening === "open") return this.#list(document);
    const at = Date.parse(document.at);
    if (Date.now() - at < this.skewMs) this.skewMs = Date.now() - at;
    const { happening, namespace, id } = document;
    if (happening === "pending") return this.#pending(offerOf(document, at));
    if (happening === "synced") return this.#sync(document, at);
    if (happening === "missed") {
      const text = "searched up to the bound; a set that can sync may not have been found";
      const offer = offerOf({ ...document, events: [document.event] }, at);
      return { kind: "missed", at, event: document.event, offers: [offer], text };
    }
    if (!(happening in ENDS)) return null; // refused, attached and retold change nothing that is shown
    const offer = this.#close(keyOf(namespace, id)) ?? offerOf(document, at);
    const by = document.by ? ` by ${document.by}` : "";
    const text = document.reason ? `aborted${by}: ${document.reason}` : ENDS[happening];
    return { kind: "ended", at, event: offer.events.join("|"), offers: [offer], text };
  }

  #pending(offer) {
    const isNew = this.#open(offer);
    if (this.#listed && --this.#listed === 0 && this.#isListWhole) this.#closeUnsure();
    return isNew ? { kind: "pending", at: offer.at, event: offer.events.join("|"), offers: [offer], text: "" } : null;
  }

  #open(offer) {
    this.#unsure.delete(offer.key);
    if (this.pending.has(offer.key)) return false; // listed again after a gap
    this.pending.set(offer.key, offer);
    this.#count(offer, 1);
    this.#second(offer.at).offers += 1;
    return true;
  }

  #sync(document, at) {
    const offers = document.members.map(({ id, actor }) => {
      const key = keyOf(document.namespace, id);
      const offer = this.#close(key);
      if (offer) this.#waited.push([at, WAITED_MS.findIndex((end) => at - offer.at < end)]);
      return offer ?? { key, id, actor, namespace: document.namespace, events: [document.event], at };
    });
    this.#second(at).syncs += 1;
    return { kind: "synced", at, event: document.event, sync: document.sync, namespace: document.namespace, offers };
  }

  #gap(missed) {
    this.#beUnsure();
    const text = typeof missed === "number" ? `gap: ${missed} happenings missed` : "gap: happenings were missed";
    return { kind: "gap", at: this.now(), event: "", offers: [], text };
  }

  /** The feed lists what is pending, at the start and after a gap. A list that is not whole leaves doubts. */
  #list({ pending, listed }) {
    this.#beUnsure();
    this.#listed = listed;
    this.#isListWhole = pending === listed;
    if (pending === 0) this.#closeUnsure();
    return null;
  }

  #beUnsure() {
    this.#unsure = new Set(this.pending.keys());
    this.#endedSinceGap.clear();
    this.#isListWhole = false;
    this.#listed = 0;
    this.hasDoubts = true;
  }

  #closeUnsure() {
    for (const key of [...this.#unsure]) this.#close(key);
    this.#endedSinceGap.clear();
    this.hasDoubts = false;
  }

  #close(key) {
    const offer = this.pending.get(key);
    if (this.hasDoubts) this.#endedSinceGap.add(key);
    if (!offer) return null;
    this.pending.delete(key);
    this.#unsure.delete(key);
    this.#count(offer, -1);
    return offer;
  }

  /** Take the pending offers of a namespace from `/stats`, where the feed left doubts. */
  reconcile(namespace, offers) {
    const here = new Set();
    for (const { id, params, created_at } of offers) {
      const offer = offerOf({ ...params, events: params.event, namespace, id }, Date.parse(created_at));
      here.add(offer.key);
      if (!this.#endedSinceGap.has(offer.key)) this.#open(offer);
    }
    for (const key of [...this.#unsure]) {
      if (this.pending.get(key).namespace === namespace && !here.has(key)) this.#close(key);
    }
  }

  /** The namespaces of offers of which it is not known whether they are still pending. */
  doubtful() {
    return new Set([...this.#unsure].map((key) => this.pending.get(key).namespace));
  }

  settle() {
    this.#closeUnsure();
  }

  /** How many offers are pending for an event of an offer, itself included: the most of any of its events. */
  present({ namespace, events }) {
    return Math.max(...events.map((event) => this.#byEvent.get(`${namespace}\n${event}`) ?? 0));
  }

  #count({ namespace, events }, change) {
    for (const event of events) {
      const key = `${namespace}\n${event}`;
      const number = (this.#byEvent.get(key) ?? 0) + change;
      if (number) this.#byEvent.set(key, number);
      else this.#byEvent.delete(key);
    }
  }

  /** Return the happening that ended an offer, if it is remembered. */
  endOf(key) {
    return this.history.findLast(
      ({ kind, offers }) => (kind === "synced" || kind === "ended") && offers.some((offer) => offer.key === key),
    );
  }

  #second(at) {
    const second = Math.floor(at / 1000);
    if (!this.#seconds.has(second)) this.#seconds.set(second, { offers: 0, syncs: 0 });
    return this.#seconds.get(second);
  }

  /** Offers and syncs in each of the last seconds, oldest first, without the current one; and the waiting times. */
  rates() {
    const end = Math.floor(this.now() / 1000);
    for (const second of this.#seconds.keys()) if (second < end - SECONDS) this.#seconds.delete(second);
    const perSecond = [];
    for (let second = end - SECONDS; second < end; second++) {
      perSecond.push(this.#seconds.get(second) ?? { offers: 0, syncs: 0 });
    }
    const first = this.#waited.findIndex(([at]) => at >= (end - SECONDS) * 1000);
    this.#waited.splice(0, first < 0 ? this.#waited.length : first);
    const waited = WAITED_MS.map(() => 0);
    for (const [, index] of this.#waited) waited[index] += 1;
    return { perSecond, waited };
  }
}

/** Return an offer as the page keeps it, from a document of the feed or of `/stats`. */
function offerOf(document, at) {
  const { namespace, id, actor, events, mates, selector, expect, labels } = document;
  return { key: keyOf(namespace, id), namespace, id, actor, events, mates, selector, expect, labels, at };
}
