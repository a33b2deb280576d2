// Small charts: offers and syncs per second, and how long the members of the latest syncs had waited.

import { SECONDS } from "./model.js";
import { byId, drawn, duration, element, setText } from "./dom.js";

const WIDTH = 240;
const HEIGHT = 48;
/** The words for `WAITED_MS`. */
const LABELS = ["< 10 ms", "< 100 ms", "< 1 s", "< 10 s", "< 1 min", "≥ 1 min"];
const NEAR_S = 5;

export function drawCharts(model) {
  const { perSecond, waited } = model.rates();
  drawRate("offers", perSecond);
  drawRate("syncs", perSecond);
  const oldest = model.pending.values().next().value;
  setText(byId("pending-total"), model.pending.size.toLocaleString("en"));
  setText(byId("oldest"), oldest ? duration(model.now() - oldest.at) : "–");
  drawWaited(waited);
}

function drawRate(name, perSecond) {
  const values = perSecond.map((second) => second[name]);
  const near = values.slice(-NEAR_S).reduce((sum, value) => sum + value, 0) / NEAR_S;
  const rate = near >= 100 ? Math.round(near).toLocaleString("en") : near.toFixed(1);
  setText(byId(`${name}-rate`), rate);
  const max = Math.max(...values, 1);
  const step = WIDTH / SECONDS;
  const bars = values.map((value, index) => {
    const height = value ? Math.max(1.5, (value / max) * HEIGHT) : 0;
    return `M${index * step} ${HEIGHT}v${-height}h${step - 1}v${height}z`;
  });
  const chart = byId(`${name}-chart`);
  chart.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  chart.setAttribute("aria-label", `${name} per second in the last ${SECONDS} s: now ${rate}, at most ${max}`);
  chart.replaceChildren(
    drawn("path", { class: "axis", d: `M0 ${HEIGHT - 0.5}H${WIDTH}` }),
    drawn("path", { class: "bars", d: bars.join("") }),
  );
  setText(byId(`${name}-max`), `max ${Math.max(...values).toLocaleString("en")}`);
}

function drawWaited(waited) {
  const list = byId("waited");
  const max = Math.max(...waited, 1);
  if (!list.childElementCount) {
    for (const label of LABELS) {
      const attributes = { "aria-hidden": "true", preserveAspectRatio: "none", viewBox: "0 0 100 1" };
      const bar = drawn("svg", attributes, drawn("path"));
      list.append(element("li", {}, element("span", {}, label), bar, element("span", { class: "figure" })));
    }
  }
  waited.forEach((members, index) => {
    const item = list.children[index];
    item.querySelector("path").setAttribute("d", `M0 0h${(100 * members) / max}v1H0z`);
    setText(item.querySelector(".figure"), members.toLocaleString("en"));
  });
}
