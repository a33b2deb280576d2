// The live feed: `GET /trace` as server-sent events, for ever. After a lost connection it continues with the event
// after the last one (`Last-Event-ID`).

import { problemOf, send } from "./api.js";
import { EventReader } from "./sse.js";

const FIRST_DELAY_MS = 250;
const DELAY_MS_MAX = 5_000;
const QUIET_MS_MAX = 45_000; // the server sends a comment much earlier; after that the connection is lost
const FINAL = new Set([400, 403, 404, 405, 406]); // asking again would change nothing

/**
 * Follows one namespace.
 *
 * `listener.events` gets the events of each piece of the stream; `listener.state` gets a state (`connecting`, `live`,
 * `lost`, `refused`, `unauthorized`) and a text; `listener.skew` gets how many ms this clock is ahead of the server's.
 */
export class Feed {
  #listener;
  #lastId = "";
  #abort = new AbortController();

  constructor(namespace, listener) {
    this.namespace = namespace;
    this.#listener = listener;
    this.#run(this.#abort.signal);
  }

  close() {
    this.#abort.abort();
  }

  async #run(signal) {
    let delayMs = FIRST_DELAY_MS;
    while (!signal.aborted) {
      this.#listener.state("connecting", "");
      try {
        if (await this.#follow(signal)) delayMs = FIRST_DELAY_MS;
      } catch (error) {
        if (signal.aborted) return;
        const state = error.status === 401 ? "unauthorized" : FINAL.has(error.status) ? "refused" : "lost";
        this.#listener.state(state, error.status ? error.message : "no connection to the server");
        if (state !== "lost") return;
      }
      await new Promise((resolve) => setTimeout(resolve, delayMs * (0.5 + Math.random() / 2)));
      delayMs = Math.min(2 * delayMs, DELAY_MS_MAX);
    }
  }

  /** Read one stream to its end; return whether it brought anything. */
  async #follow(signal) {
    const headers = { accept: "text/event-stream", ...(this.#lastId && { "last-event-id": this.#lastId }) };
    const response = await send("trace", { namespace: this.namespace }, { headers, signal });
    if (!response.ok) throw await problemOf(response);
    if (!(response.headers.get("content-type") ?? "").startsWith("text/event-stream")) {
      throw Object.assign(new Error("this server has no live feed"), { status: 406 });
    }
    const date = Date.parse(response.headers.get("date") ?? "");
    if (date) this.#listener.skew(Date.now() - date);
    this.#listener.state("live", "");
    const stream = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const reader = new EventReader();
    let isUsed = false;
    for (;;) {
      const { done, value } = await within(QUIET_MS_MAX, stream);
      if (signal.aborted) return isUsed;
      if (done) break;
      const events = reader.read(value);
      if (events.length) {
        isUsed = true;
        this.#lastId = events.at(-1).id || this.#lastId;
        this.#listener.events(events);
      }
    }
    this.#listener.state("lost", "the server has ended the stream");
    return isUsed;
  }
}

/** Return what a stream brings next; cancel it, and raise, if that takes too long. */
async function within(ms, stream) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("no sign of the server")), ms);
  });
  try {
    return await Promise.race([stream.read(), late]);
  } catch (error) {
    stream.cancel().catch(() => {}); // the connection may be broken already
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
