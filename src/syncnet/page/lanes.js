// Where offers are drawn: a column for each actor, and in it a lane for each of its pending offers. No elements here.

export const COLUMNS_MAX = 40;
/** The widths that a column may have. */
export const COLUMNS_PX = [72, 48, 32];
const LANES = [0, 1, -1, 2, -2, 3, -3]; // sevenths of a column from its middle; what finds none shares the last

/** The columns of a picture. A column that was not used in the last `rowsMax` rows is given to another actor. */
export class Lanes {
  columns = []; // {actor, offers: how many are open in each lane, usedAt: row, isShared}
  #columnOf = new Map(); // actor → its column; actors that find none free share the last
  #placeOf = new Map(); // key of a pending offer → {column, lane}, oldest first
  #openAt = new Map(); // x → how many offers are open there; never 0
  #row = 0;

  constructor(rowsMax, columnPx) {
    this.rowsMax = rowsMax;
    this.columnPx = columnPx;
  }

  /** Begin a row: take the happenings of it, and return what it shows, all as x in px. */
  row(happenings) {
    this.#row += 1;
    const before = new Set(this.#openAt.keys());
    const nodes = new Map(); // key → {x, key, kind}
    for (const { kind, offers } of happenings) {
      for (const { key, actor } of offers) {
        nodes.set(key, { x: this.#place(key, actor), key, kind });
        if (kind === "synced" || kind === "ended") this.#release(key);
      }
    }
    const after = this.#openAt;
    const at = new Set([...nodes.values()].map(({ x }) => x));
    return {
      through: [...before].filter((x) => after.has(x) && !at.has(x)),
      nodes: [...nodes.values()].map((node) => ({ ...node, wasOpen: before.has(node.x), isOpen: after.has(node.x) })),
    };
  }

  /** Put an offer into a lane, as one that was pending before the first row. */
  start({ key, actor }) {
    this.#place(key, actor);
  }

  /** The open ends: the key of the oldest pending offer of each lane, by x. */
  ends() {
    const ends = new Map();
    for (const [key, place] of this.#placeOf) {
      const x = this.#x(place);
      if (!ends.has(x)) ends.set(x, key);
      if (ends.size === this.#openAt.size) break;
    }
    return ends;
  }

  get width() {
    return this.columns.length * this.columnPx;
  }

  #place(key, actor) {
    let place = this.#placeOf.get(key);
    if (!place) {
      const column = this.#column(actor);
      const { offers } = this.columns[column];
      const free = offers.indexOf(0);
      place = { column, lane: free < 0 ? offers.length - 1 : free };
      offers[place.lane] += 1;
      this.#placeOf.set(key, place);
      this.#openAt.set(this.#x(place), offers[place.lane]);
    }
    this.columns[place.column].usedAt = this.#row;
    return this.#x(place);
  }

  #release(key) {
    const place = this.#placeOf.get(key);
    const { offers } = this.columns[place.column];
    offers[place.lane] -= 1;
    this.#placeOf.delete(key);
    if (offers[place.lane]) this.#openAt.set(this.#x(place), offers[place.lane]);
    else this.#openAt.delete(this.#x(place));
  }

  #column(actor) {
    const known = this.#columnOf.get(actor);
    if (known !== undefined) return known;
    let column = this.columns.findIndex((each) => this.#isFree(each));
    if (column >= 0) {
      this.#columnOf.delete(this.columns[column].actor);
    } else if (this.columns.length < COLUMNS_MAX) {
      column = this.columns.length;
    } else {
      const last = this.columns[COLUMNS_MAX - 1]; // actors that share a column keep none of their own
      if (!last.isShared) this.#columnOf.delete(last.actor);
      last.actor = "others";
      last.isShared = true;
      return COLUMNS_MAX - 1;
    }
    this.columns[column] = { actor, offers: LANES.map(() => 0), usedAt: this.#row, isShared: false };
    this.#columnOf.set(actor, column);
    return column;
  }

  #isFree({ offers, usedAt, isShared }) {
    return !isShared && this.#row - usedAt > this.rowsMax && offers.every((open) => open === 0);
  }

  #x({ column, lane }) {
    return Math.round((column + 0.5 + LANES[lane] / 7) * this.columnPx);
  }
}
