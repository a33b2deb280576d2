// The details of one offer or one sync: what /stats, /explain and /trace know of it.

import { getJson, pendingOffers } from "./api.js";
import { byId, count, duration, element, memberName, setText, timeOfDay } from "./dom.js";
import { lacks } from "./waiting.js";

/** Shows one offer or sync at a time; `closed` is called when the reader closes it. */
export class Details {
  #panel = byId("details");
  #title = byId("details-title");
  #body = byId("details-body");
  #offer = null;
  #shown = 0; // counts what was shown, so that a late answer is not put under another title

  constructor(closed) {
    const close = () => {
      this.close();
      closed();
    };
    byId("details-close").addEventListener("click", close);
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !this.#panel.hidden) close();
    });
  }

  close() {
    this.#shown += 1;
    this.#offer = null;
    this.#panel.hidden = true;
  }

  /** Bring the waiting time up to date. */
  tick(model) {
    if (!this.#offer) return;
    const isPending = model.pending.has(this.#offer.key);
    const time = this.#body.querySelector(".ticking");
    if (time && isPending) setText(time, duration(model.now() - this.#offer.at));
    setText(this.#body.querySelector(".state"), stateOf(model, this.#offer));
  }

  /** Show an offer, pending or over; `happening` is that of the row, if any. */
  async showOffer(model, offer) {
    const shown = this.#open(memberName(offer));
    const isPending = model.pending.has(offer.key);
    this.#offer = offer;
    const rows = [
      ["state", element("span", { class: "state" }, stateOf(model, offer))],
      ["id", offer.id],
      ["namespace", offer.namespace],
      ["since", timeOfDay(offer.at, true)],
    ];
    if (isPending) rows.push(["waiting", element("span", { class: "ticking" }, duration(model.now() - offer.at))]);
    if (offer.expect) rows.push(["expect", offer.expect.join(", ")]);
    else if (offer.mates !== undefined) {
      rows.push(["mates", String(offer.mates)], ["selector", offer.selector || "(everything)"]);
    }
    if (offer.labels) rows.push(["labels", labelList(offer.labels)]);
    const facts = factList(rows);
    this.#body.replaceChildren(facts);
    if (!isPending) return;
    const why = element("div", { class: "why" }, element("p", { class: "quiet" }, "asking the server …"));
    this.#body.append(element("h3", {}, "Why"), why);
    const [known, reasons] = await Promise.allSettled([paramsOf(offer), explanation(offer)]);
    if (shown !== this.#shown) return;
    if (known.value) addFacts(facts, known.value);
    why.replaceChildren(...(reasons.value ?? [element("p", {}, fallback(reasons.reason, offer, model))]));
  }

  async showSync({ event, sync, namespace, at, offers }) {
    const shown = this.#open(`${event} #${sync}`);
    const waited = new Map(offers.map((offer) => [offer.id, at - offer.at]));
    const rows = [
      ["sync", String(sync)],
      ["event", event],
      ["namespace", namespace],
      ["at", timeOfDay(at, true)],
    ];
    const members = element("section", {}, element("h3", {}, "Members"));
    this.#body.replaceChildren(factList(rows), members);
    let known = offers;
    let note = "";
    try {
      const { document } = await getJson("trace", { namespace, after: sync - 1, limit: 1 });
      const found = document.syncs.find((each) => each.sync === sync);
      if (found) known = found.members;
      else note = "The server has forgotten this sync; labels and payload sizes are not known.";
    } catch (error) {
      note = error.message;
    }
    if (shown !== this.#shown) return;
    for (const { id, actor, labels, payload_bytes: bytes } of known) {
      const facts = [["id", id]];
      if (labels) facts.push(["labels", labelList(labels)]);
      if (bytes !== undefined) facts.push(["payload", count(bytes, "byte")]);
      if (waited.get(id) > 0) facts.push(["waited", duration(waited.get(id))]);
      members.append(element("h4", {}, actor), factList(facts));
    }
    if (note) members.append(element("p", { class: "quiet" }, note));
  }

  #open(title) {
    this.#shown += 1;
    this.#offer = null;
    setText(this.#title, title);
    this.#body.replaceChildren();
    this.#panel.hidden = false;
    this.#title.focus();
    this.#panel.scrollTop = 0;
    return this.#shown;
  }
}

/** Return in words what has become of an offer. */
function stateOf(model, { key, at }) {
  if (model.pending.has(key)) return "pending";
  const end = model.endOf(key);
  if (!end) return "has ended";
  const how = end.kind === "synced" ? `synced as ${end.event} #${end.sync}` : end.text;
  return `${how}, after ${duration(end.at - at)}`;
}

function labelList(labels) {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(", ");
}

function factList(rows) {
  const list = element("dl", { class: "facts" });
  addRows(list, rows);
  return list;
}

function addRows(list, rows) {
  for (const [name, value] of rows) list.append(element("dt", {}, name), element("dd", {}, value));
}

function addFacts(list, params) {
  const rows = [["payload", count(params.payload_bytes, "byte")]];
  if (params.timeout) rows.push(["timeout", params.timeout]);
  if (params.linger) rows.push(["linger", params.linger]);
  addRows(list, rows);
}

async function paramsOf({ namespace, id }) {
  const offers = await pendingOffers(namespace);
  return offers.find((offer) => offer.id === id)?.params;
}

/** Return what `/explain` says of an offer, as elements; its texts are ready for people. */
async function explanation({ namespace, id }) {
  const { document } = await getJson("explain", { namespace, id });
  const { summary, reasons, others, others_left_out: leftOut, near_events: near, other_namespaces: elsewhere } =
    document.offers[0];
  const stuck = document.circles.map((circle) => element("p", { class: "stuck" }, circle.summary));
  const items = others.map(({ actor, event, fits, reason }) => {
    const name = element("span", { class: "event" }, `${actor}:${event}`);
    return element("li", { class: fits ? "fits" : "fits-not" }, name, ` ${reason}`);
  });
  const hints = [
    ...near.map(({ event, waiting }) => `${event} has ${waiting} waiting; did you mean that?`),
    ...elsewhere.map((each) => `${each.event} has ${each.waiting} waiting in the namespace ${each.namespace}.`),
  ];
  if (!items.length) hints.unshift(...reasons.map(({ reason }) => reason));
  if (leftOut) hints.push(`${count(leftOut, "more offer")} not examined`);
  return [
    element("p", {}, summary),
    ...stuck,
    element("ul", { class: "reasons" }, ...items),
    ...hints.map((text) => element("p", { class: "quiet" }, text)),
  ];
}

function fallback(error, offer, model) {
  return error.status === 404 ? `${offer.actor}: ${lacks(offer, model)}.` : error.message; // no longer pending
}
