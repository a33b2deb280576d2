// To try it: the two curl commands, and a form that makes an offer from the browser.

import { BASE, problemOf, send, token } from "./api.js";
import { byId, setText } from "./dom.js";

const EXTRA_MS = 5_000; // the server answers an offer that timed out; only a lost connection takes longer
const COPIED_MS = 2_000;

/** Write the commands for a namespace into the page. */
export function showCommands(namespace) {
  for (const actor of ["VM", "CUST"]) {
    const url = new URL("event", BASE);
    const query = { event: "coin", actor, ...(namespace !== "default" && { namespace }) };
    url.search = new URLSearchParams(query);
    const secret = token() ? `--oauth2-bearer "$TOKEN" ` : "";
    setText(byId(`curl-${actor}`), `curl ${secret}'${url.href.replaceAll("'", "%27")}'`);
  }
}

export function startCommands() {
  for (const button of document.querySelectorAll("button[data-copies]")) {
    const words = button.textContent;
    button.addEventListener("click", async () => {
      const isCopied = await copy(byId(button.dataset.copies));
      setText(button, isCopied ? "Copied" : "Press Ctrl+C");
      setTimeout(() => setText(button, words), COPIED_MS);
    });
  }
}

async function copy(node) {
  try {
    await navigator.clipboard.writeText(node.textContent); // only over HTTPS, and on the loopback
    return true;
  } catch {
    getSelection().selectAllChildren(node);
    return false;
  }
}

/** `namespace()` is the one that is shown; `refused` is called when a token is needed. */
export function startForm(namespace, refused) {
  const form = byId("offer-form");
  const result = byId("offer-result");
  let pending = 0;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const values = Object.fromEntries(new FormData(form));
    const seconds = Number(values.timeout);
    const query = { ...values, timeout: `${seconds}s`, namespace: namespace() };
    if (!query.payload) delete query.payload;
    pending += 1;
    const number = pending;
    const show = (text) => {
      if (number === pending) setText(result, text);
    };
    show(`${values.actor}:${values.event} is waiting, for at most ${seconds} s …`);
    try {
      const response = await send("event", query, { signal: AbortSignal.timeout(1000 * seconds + EXTRA_MS) });
      if (response.status === 401) refused();
      if (!response.ok) throw await problemOf(response);
      const { sync, members } = await response.json();
      show(`Synced as #${sync}: ${members.map(({ actor }) => actor).join(", ")}.`);
    } catch (error) {
      show(error.status ? error.message : "No answer from the server.");
    }
  });
}
