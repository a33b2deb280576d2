// Where offers are drawn: a column for each actor, and in it a lane for each of its pending offers. No elements here.

export const COLUMNS_MAX = 40;
/** The widths that a column may have. */
export const COLUMNS_PX = [72, 48, 32];
const LANES = [0, 1, -1, 2, -2, 3, -3]; // sevenths of a column from its middle; what finds none shares the last

/** The columns of a picture. A column that was not used in the last `rowsMax` rows is given to another actor. */
export class Lanes {
  columns = []; // {actor, lanes: [key], usedAt: row}
  #columnOf = new Map(); // actor → its column; actors that find none free share the last
  #laneOf = new Map(); // key of a pending offer → {column, lane, actor}
  #row = 0;

  constructor(rowsMax, columnPx) {
    this.rowsMax = rowsMax;
    this.columnPx = columnPx;
  }

  /** Begin a row: take the happenings of it, and return what it shows, all as x in px. */
  row(happenings) {
    this.#row += 1;
    const before = this.open();
    const nodes = new Map(); // key → {x, key, kind}
    for (const { kind, offers } of happenings) {
      for (const { key, actor } of offers) {
        const x = this.#place(key, actor);
        nodes.set(key, { x, key, kind, wasOpen: before.has(key) });
        if (kind === "synced" || kind === "ended") this.#release(key);
      }
    }
    const after = this.open();
    return {
      through: [...new Set([...before].filter(([key]) => after.has(key) && !nodes.has(key)).map(([, x]) => x))],
      nodes: [...nodes.values()].map((node) => ({ ...node, isOpen: after.has(node.key) })),
    };
  }

  /** Put an offer into a lane, as one that was pending before the first row. */
  start({ key, actor }) {
    this.#place(key, actor);
  }

  get width() {
    return this.columns.length * this.columnPx;
  }

  /** The lanes of the pending offers: x by key. */
  open() {
    const open = new Map();
    for (const [key, place] of this.#laneOf) open.set(key, this.#x(place));
    return open;
  }

  #place(key, actor) {
    let place = this.#laneOf.get(key);
    if (!place) {
      const column = this.#column(actor);
      const { lanes } = this.columns[column];
      const free = lanes.indexOf(undefined);
      const lane = free < 0 ? lanes.length : free;
      lanes[lane] = key;
      place = { column, lane, actor };
      this.#laneOf.set(key, place);
    }
    this.columns[place.column].usedAt = this.#row;
    return this.#x(place);
  }

  #release(key) {
    const { column, lane } = this.#laneOf.get(key);
    const { lanes } = this.columns[column];
    lanes[lane] = undefined;
    while (lanes.length && lanes.at(-1) === undefined) lanes.pop();
    this.#laneOf.delete(key);
  }

  #column(actor) {
    const known = this.#columnOf.get(actor);
    if (known !== undefined) return known;
    const isFree = ({ lanes, usedAt, isShared }) => !isShared && !lanes.length && this.#row - usedAt > this.rowsMax;
    let column = this.columns.findIndex(isFree);
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
    this.columns[column] = { actor, lanes: [], usedAt: this.#row, isShared: false };
    this.#columnOf.set(actor, column);
    return column;
  }

  #x({ column, lane }) {
    const sevenths = LANES[Math.min(lane, LANES.length - 1)];
    return Math.round((column + 0.5 + sevenths / 7) * this.columnPx);
  }
}
