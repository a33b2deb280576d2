// Requests to the server that this page came from. A token is kept in sessionStorage, and sent in a header only.

const TOKEN = "syncnet-token";
const TIMEOUT_MS = 10_000;
const PAGES_MAX = 20;

/** Where the server is mounted. All paths are relative to it. */
export const BASE = new URL(".", document.baseURI);

/** The answer to a request was a problem document; `status` is 0 if there was no answer. */
export class ProblemError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export const token = () => sessionStorage.getItem(TOKEN) ?? "";

export function setToken(text) {
  if (text) sessionStorage.setItem(TOKEN, text);
  else sessionStorage.removeItem(TOKEN);
}

/** Send a request; `query` has the parameters. */
export function send(path, query, { headers = {}, ...options } = {}) {
  const url = new URL(path, BASE);
  url.search = new URLSearchParams(query);
  const authorization = token() ? { authorization: `Bearer ${token()}` } : {};
  return fetch(url, { cache: "no-store", credentials: "omit", ...options, headers: { ...headers, ...authorization } });
}

/** Return the error that an answer other than 2xx stands for. */
export async function problemOf(response) {
  const text = await response.text();
  let detail = `the server answered ${response.status}`;
  try {
    const problem = JSON.parse(text);
    detail = [problem.title, problem.detail].filter((part) => typeof part === "string").join(": ") || detail;
  } catch {
    // not a problem document; perhaps a proxy made it
  }
  return new ProblemError(response.status, detail);
}

/** Return the response to a GET and its JSON; raise ProblemError if there is none. */
export async function getJson(path, query) {
  let response;
  try {
    const headers = { accept: "application/json" };
    response = await send(path, query, { headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch (error) {
    throw new ProblemError(0, `the server does not answer (${error.name})`);
  }
  if (!response.ok) throw await problemOf(response);
  return { response, document: await response.json() };
}

/** Return pending offers of a namespace from `/stats`, as {id, params, created_at}: those of the first pages. */
export async function pendingOffers(namespace) {
  const offers = [];
  let query = new URLSearchParams({ namespace });
  for (let page = 0; page < PAGES_MAX; page++) {
    const { response, document } = await getJson("stats", query);
    for (const actors of Object.values(document)) {
      for (const byId of Object.values(actors)) {
        for (const [id, entry] of Object.entries(byId)) offers.push({ id, ...entry });
      }
    }
    const next = /<\?([^>]*)>; rel="next"/.exec(response.headers.get("link") ?? "");
    if (next === null) break;
    query = new URLSearchParams(next[1]);
  }
  return offers;
}
