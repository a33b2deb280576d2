// Server-sent events, read by hand: EventSource cannot send a token. The grammar is that of the HTML standard,
// section 9.2.6. An event that is not complete when the stream ends is discarded, as the standard says.

/** Reads the text of a stream, in pieces of any size. */
export class EventReader {
  #rest = "";
  #isAfterReturn = false;
  #type = "";
  #data = [];
  #lastId = "";

  /** Take a piece of the stream; return the events that it completes, as {id, type, data}. */
  read(text) {
    if (this.#isAfterReturn && text.startsWith("\n")) text = text.slice(1); // the second half of a line end
    if (text === "") return [];
    this.#isAfterReturn = text.endsWith("\r");
    const lines = (this.#rest + text).split(/\r\n|\n|\r/);
    this.#rest = lines.pop();
    return lines.map((line) => this.#line(line)).filter((event) => event !== null);
  }

  #line(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#type = value;
    else if (field === "id" && !value.includes("\0")) this.#lastId = value;
    return null;
  }

  #dispatch() {
    const event = { id: this.#lastId, type: this.#type || "message", data: this.#data.join("\n") };
    const isEmpty = this.#data.length === 0;
    this.#type = "";
    this.#data = [];
    return isEmpty ? null : event;
  }
}
