// The live page: joins the feed to the model, and the model to what is shown.

import { getJson, pendingOffers, setToken } from "./api.js";
import { drawCharts } from "./charts.js";
import { Details } from "./details.js";
import { byId, count, element, setText } from "./dom.js";
import { Feed } from "./feed.js";
import { Filter } from "./filter.js";
import { Model } from "./model.js";
import { showCommands, startCommands, startForm } from "./offer.js";
import { Picture } from "./picture.js";
import { startTheme } from "./settings.js";
import { Waiting } from "./waiting.js";

const TICK_MS = 500;
const RECONCILE_MS = 1_000;
const STATES = {
  connecting: "connecting …",
  live: "live",
  lost: "connection lost, trying again",
  refused: "refused",
  unauthorized: "a token is needed",
};

class Page {
  #namespace = new URLSearchParams(location.hash.slice(1)).get("namespace") || "default";
  #filter = new Filter(() => this.#redraw());
  #details = new Details(() => this.#deselect());
  #isPaused = false;
  #isReconciling = false;
  #missedWhilePaused = 0;
  #origin = null; // what had the focus before the details were opened

  start() {
    startTheme();
    startCommands();
    startForm(() => this.#namespace, () => this.#askForToken());
    byId("pause").addEventListener("click", () => this.#pause());
    byId("token-form").addEventListener("submit", (event) => this.#useToken(event));
    byId("namespace").addEventListener("change", (event) => this.#follow(event.target.value.trim() || "default"));
    document.addEventListener("keydown", (event) => this.#pressed(event));
    setInterval(() => this.#tick(), TICK_MS);
    this.#follow(this.#namespace);
  }

  /** Begin anew with a namespace. */
  #follow(namespace) {
    this.#namespace = namespace;
    byId("namespace").value = namespace;
    history.replaceState(null, "", namespace === "default" ? "#" : `#${new URLSearchParams({ namespace })}`);
    this.feed?.close();
    this.#details.close();
    this.model = new Model();
    const select = (what) => this.#select(what);
    this.picture = new Picture(this.model, this.#filter.matches, select);
    this.waiting = new Waiting(this.model, this.#filter.matchesOffer, select);
    if (this.#isPaused) this.#pause();
    showCommands(namespace);
    this.feed = new Feed(namespace, {
      events: (events) => this.#events(events),
      state: (state, text) => this.#state(state, text),
      skew: (skewMs) => {
        this.model.skewMs = Math.min(this.model.skewMs, skewMs + 1000); // the header has whole seconds
      },
    });
    this.#listNamespaces();
    this.#tick();
  }

  #events(events) {
    const happenings = events.flatMap((event) => this.model.apply(event));
    if (this.#isPaused) this.#missedWhilePaused += happenings.length;
    this.picture.push(happenings);
    if (this.model.hasDoubts && !this.#isReconciling) this.#reconcile(this.model);
    if (byId("empty").hidden === (this.model.history.length === 0)) this.#tick();
  }

  /** After a gap nobody knows which offers are still pending: the server is asked, if the feed does not say it soon. */
  async #reconcile(model) {
    this.#isReconciling = true;
    await new Promise((resolve) => setTimeout(resolve, RECONCILE_MS));
    try {
      if (!model.hasDoubts || model !== this.model) return;
      const namespaces = this.#namespace === "*" ? model.doubtful() : [this.#namespace];
      for (const namespace of namespaces) model.reconcile(namespace, await pendingOffers(namespace));
      model.settle();
      this.#redraw();
    } catch {
      // the connection is lost again, and the next one begins with what is pending
    } finally {
      this.#isReconciling = false;
    }
  }

  #state(state, text) {
    const node = byId("state");
    node.dataset.state = state;
    setText(node, STATES[state]);
    const problem = state === "refused" ? text : "";
    setText(byId("problem"), problem);
    byId("problem").hidden = !problem;
    if (state === "unauthorized") this.#askForToken();
  }

  #tick() {
    const isEmpty = this.model.history.length === 0 && this.model.pending.size === 0;
    byId("empty").hidden = !isEmpty;
    byId("picture").hidden = isEmpty;
    if (this.#isPaused) setText(byId("paused"), `Paused: ${count(this.#missedWhilePaused, "happening")} since.`);
    else {
      this.waiting.draw();
      drawCharts(this.model);
    }
    this.#details.tick(this.model);
  }

  #redraw() {
    if (this.#isPaused) return;
    this.picture.rebuild();
    this.#tick();
  }

  #pause() {
    this.#isPaused = !this.#isPaused;
    this.#missedWhilePaused = 0;
    this.picture.isPaused = this.#isPaused;
    byId("pause").setAttribute("aria-pressed", this.#isPaused);
    byId("paused").hidden = !this.#isPaused;
    if (!this.#isPaused) this.#redraw();
    this.#tick();
  }

  /** Show the details of a sync, or of an offer: given itself, by the key of a pending one, or by its happening. */
  #select({ key, happening, offer: chosen }) {
    this.#origin = document.activeElement;
    if (happening?.kind === "synced") {
      this.picture.mark(happening.offers[0].key);
      this.#details.showSync(happening);
      return;
    }
    const offer = chosen ?? this.model.pending.get(key) ?? happening?.offers[0];
    if (!offer) return;
    this.picture.mark(offer.key);
    this.#details.showOffer(this.model, offer);
  }

  #deselect() {
    this.picture.mark("");
    if (this.#origin?.isConnected) this.#origin.focus();
    else this.picture.focus();
  }

  #pressed(event) {
    const isTyping = event.target.matches("input, textarea, select");
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "p") this.#pause();
    else if (event.key === "/") byId("filter-event").focus();
    else return;
    event.preventDefault();
  }

  async #listNamespaces() {
    try {
      const { document } = await getJson("namespaces", {});
      const names = document.namespaces.map((each) => each.namespace);
      byId("namespaces").replaceChildren(...names.map((value) => element("option", { value })));
    } catch {
      // a token that may not see the list: a name can still be typed
    }
  }

  #askForToken() {
    const dialog = byId("token-dialog");
    if (!dialog.open) dialog.showModal();
  }

  #useToken(event) {
    event.preventDefault();
    setToken(byId("token").value.trim());
    byId("token").value = "";
    byId("token-dialog").close();
    this.#follow(this.#namespace);
  }
}

new Page().start();
