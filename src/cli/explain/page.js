"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
// The namespace of SVG, as the parser has given it to the pictures of the legend.
const svgNamespace = document.querySelector("svg").namespaceURI;
const SIZE = 1000;
const MARGIN = 40;

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function drawn(name, attributes) {
  const made = document.createElementNS(svgNamespace, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

const number = (x) => (x === null ? "–" : Number(x.toPrecision(5)).toString());
const count = (x) => x.toLocaleString("en");

function table(target, header, rows, textColumns = [0]) {
  const cells = (tag, row) => element("tr", {}, ...row.map((value, column) =>
    element(tag, { className: textColumns.includes(column) ? "text" : "", textContent: value })));
  const body = element("tbody", {}, ...rows.map((row) => cells("td", row)));
  target.append(element("thead", {}, cells("th", header)), body);
  for (const cell of target.querySelectorAll("thead th")) cell.scope = "col";
  return body;
}

// Where nodes are drawn: from -1 to 1 in both directions.

const QUERY = { x: 0, y: 0, distance: null };

/** Least, middle and most of some numbers. */
function range(numbers) {
  let [least, most] = [Infinity, -Infinity];
  for (const x of numbers) [least, most] = [Math.min(least, x), Math.max(most, x)];
  return [least, (least + most) / 2, most];
}

const places = {
  plane() {
    const all = [QUERY, ...data.nodes];
    const [left, x, right] = range(all.map((node) => node.x));
    const [low, y, high] = range(all.map((node) => node.y));
    const reach = Math.max(right - left, high - low, 1e-30) / 2;
    return (node) => [(node.x - x) / reach, (node.y - y) / reach];
  },
  distance() {
    const radius = radiusOf();
    // Directions from the middle of the nodes: in many dimensions all of them lie on one side of the query.
    const middle = (of) => data.nodes.reduce((sum, node) => sum + of(node), 0) / data.nodes.length;
    const [x, y] = [middle((node) => node.x), middle((node) => node.y)];
    return (node) => {
      if (node.distance === null) return [0, 0];
      const angle = Math.atan2(node.y - y, node.x - x);
      return [radius(node.distance) * Math.cos(angle), radius(node.distance) * Math.sin(angle)];
    };
  },
};

/** The nearest node lies near the centre, the farthest at the rim; areas grow with the distance. */
function radiusOf() {
  const [least, , most] = range(data.nodes.map((node) => node.distance));
  return (distance) => 0.06 + 0.94 * Math.sqrt(Math.max(0, distance - least) / Math.max(most - least, 1e-30));
}

const onMap = ([x, y]) => [SIZE / 2 + x * (SIZE / 2 - MARGIN), SIZE / 2 - y * (SIZE / 2 - MARGIN)];

// One search.

class Panel {
  constructor(walk) {
    this.walk = walk;
    // The entry, each hop, and where the search re-ranks the best candidates.
    this.steps = walk.hops.length + 1 + (walk.reranked.length > 0 ? 1 : 0);
    this.map = drawn("svg", { class: "map", viewBox: `0 0 ${SIZE} ${SIZE}`, role: "img" });
    this.map.setAttribute("aria-label", `${walk.name}: nodes around the query; the table of hops says the same`);
    this.caption = element("p", { className: "caption" });
    this.caption.setAttribute("aria-live", "polite");
    const hops = element("table");
    this.rows = table(hops, ["hop", "layer", "key", "estimate", "distance", "bound", "seen", "kept"],
      walk.hops.map((hop, at) => [at + 1, hop.layer, data.nodes[hop.node].key, number(hop.estimate), number(hop.distance),
        number(hop.bound), hop.seen.length, hop.seen.filter((seen) => seen.kept).length]), [0, 2]);
    const hits = element("table");
    table(hits, ["rank", "key", "distance", "payload"],
      walk.hits.map((hit, rank) => [rank + 1, hit.key, number(hit.distance), hit.payload]), [0, 1, 3]);
    this.element = element("section", { className: "panel" }, element("h3", { textContent: walk.name }),
      element("p", { className: "note", textContent: walk.effort }), this.map, this.caption,
      element("details", {}, element("summary", { textContent: `${walk.hops.length} hops` }),
        element("div", { className: "scroll", tabIndex: 0 }, hops)),
      element("details", { open: true }, element("summary", { textContent: `${walk.hits.length} results` }),
        element("div", { className: "scroll", tabIndex: 0 }, hits)));
    this.parents = this.findParents();
  }

  /** For each node that is expanded in the base layer or above: the node that led there. */
  findParents() {
    const parents = new Map();
    for (const hop of this.walk.hops) {
      for (const seen of hop.seen) if (!parents.has(seen.node)) parents.set(seen.node, hop.node);
    }
    return parents;
  }

  place(layout) {
    const place = places[layout]();
    this.layout = layout;
    this.at = data.nodes.map((node) => onMap(place(node)));
    this.way = drawn("path", { class: "way" });
    this.fan = drawn("path", { class: "fan" });
    this.bound = drawn("circle", { class: "bound", cx: SIZE / 2, cy: SIZE / 2, r: 0 });
    this.dots = data.nodes.map((node, index) => {
      const [cx, cy] = this.at[index];
      const dot = drawn("circle", { cx, cy, r: 5 });
      const title = drawn("title", {});
      const payload = node.payload ? `\n${node.payload}` : "";
      title.textContent = `${node.key}: distance ${number(node.distance)}${payload}`;
      dot.append(title);
      return dot;
    });
    this.hits = this.walk.hits.filter((hit) => hit.node !== null).map((hit) => {
      const [x, y] = this.at[hit.node];
      return drawn("rect", { class: "hit", x: x - 12, y: y - 12, width: 24, height: 24 });
    });
    const [x, y] = onMap(place(QUERY));
    const query = drawn("path", { class: "query", d: `M${x - 14} ${y}h28M${x} ${y - 14}v28` });
    this.map.replaceChildren(this.bound, this.way, this.fan, ...this.dots, query, ...this.hits);
  }

  show(step) {
    const { walk } = this;
    const at = Math.min(step, this.steps - 1);
    const done = walk.hops.slice(0, Math.min(at, walk.hops.length));
    const reranking = at > walk.hops.length;
    const now = reranking || at === 0 ? null : walk.hops[at - 1];
    const state = new Array(data.nodes.length).fill("unseen");
    if (walk.entry !== null) state[walk.entry] = "kept";
    for (const hop of done) {
      for (const seen of hop.seen) {
        if (state[seen.node] !== "expanded") state[seen.node] = seen.kept ? "kept" : "dropped";
      }
      state[hop.node] = "expanded";
    }
    const marked = new Set(now ? [now.node] : reranking ? walk.reranked.map((seen) => seen.node) : [walk.entry]);
    this.dots.forEach((dot, node) => {
      dot.setAttribute("class", `dot ${state[node]}${marked.has(node) ? " now" : ""}`);
      dot.setAttribute("r", { unseen: 3, dropped: 4, kept: 6, expanded: 8 }[state[node]]);
    });
    const line = (from, to) => `M${this.at[from].join(" ")}L${this.at[to].join(" ")}`;
    const led = done.filter((hop) => this.parents.has(hop.node) && this.parents.get(hop.node) !== hop.node);
    this.way.setAttribute("d", led.map((hop) => line(this.parents.get(hop.node), hop.node)).join(""));
    const fan = now ? now.seen.filter((seen) => seen.kept) : [];
    this.fan.setAttribute("d", fan.map((seen) => line(now.node, seen.node)).join(""));
    const ring = now && now.bound !== null && this.layout === "distance";
    this.bound.setAttribute("r", ring ? radiusOf()(now.bound) * (SIZE / 2 - MARGIN) : 0);
    const ended = at === this.steps - 1;
    for (const hit of this.hits) hit.setAttribute("visibility", ended ? "visible" : "hidden");
    Array.from(this.rows.rows).forEach((row, index) => row.classList.toggle("now", !reranking && index === at - 1));
    this.caption.textContent = this.say(at, now, reranking) + (ended ? ` End: ${walk.stop}.` : "");
  }

  say(at, now, reranking) {
    const { walk } = this;
    if (reranking) {
      return `Re-ranking: the distances of the ${walk.reranked.length} best candidates are computed.`;
    }
    if (walk.entry === null) return "Nothing is in the graph.";
    if (!now) return `Entry: ${data.nodes[walk.entry].key}${walk.landmarks ? `, the best of ${count(walk.landmarks)} landmarks by its key` : ""}.`;
    const near = [];
    if (now.estimate !== null) near.push(`estimate ${number(now.estimate)}`);
    if (now.distance !== null) near.push(`distance ${number(now.distance)}`);
    const kept = now.seen.filter((seen) => seen.kept).length;
    const bound = now.bound === null ? "" : ` Bound: ${number(now.bound)}.`;
    return `Hop ${at} of ${walk.hops.length}, layer ${now.layer}: ${data.nodes[now.node].key} (${near.join(", ")}) ` +
      `leads to ${now.seen.length} ${now.seen.length === 1 ? "node" : "nodes"}, ${kept} kept.${bound}`;
  }
}

// The page.

const panels = data.walks.map((walk) => new Panel(walk));
const steps = Math.max(...panels.map((panel) => panel.steps));
const [slider, play, layout] = [byId("step"), byId("play"), byId("layout")];
document.title = `${data.collection}: ${document.title}`;
byId("title").textContent = `The ${data.k} rows of ${data.collection} nearest to ${data.query}`;
byId("verdict").textContent = data.verdict;
byId("plane").textContent = `In the principal plane, which shows ${(100 * data.plane_share).toFixed(0)} % of the squared ` +
  `distances from the query, near nodes may look far apart and far ones near. ${count(data.nodes.length)} nodes were seen. ` +
  "Nodes not seen by a search yet are the faint dots.";
table(byId("counts"), ["", ...data.walks.map((walk) => walk.name)], [
  ["hops", ...data.walks.map((walk) => count(walk.hops.length))],
  ["full-precision distances", ...data.walks.map((walk) => count(walk.distances))],
  ["keys scored", ...data.walks.map((walk) => count(walk.key_scores))],
  ["re-ranked", ...data.walks.map((walk) => count(walk.reranked.length))],
  ["rows found", ...data.walks.map((walk) => count(walk.hits.length))],
  ["ended because", ...data.walks.map((walk) => walk.stop)],
]);
byId("panels").append(...panels.map((panel) => panel.element));
slider.max = steps - 1;

function show() {
  byId("at").textContent = `${slider.value} / ${slider.max}`;
  for (const panel of panels) panel.show(Number(slider.value));
}

function place() {
  for (const panel of panels) panel.place(layout.value);
  show();
}

let timer = null;

function stop() {
  clearInterval(timer);
  timer = null;
  play.textContent = "Play";
  play.setAttribute("aria-pressed", "false");
}

play.addEventListener("click", () => {
  if (timer !== null) return stop();
  if (slider.value === slider.max) slider.value = 0;
  show();
  play.textContent = "Pause";
  play.setAttribute("aria-pressed", "true");
  // The whole way in ten seconds, a step at least every half second and at most twenty a second.
  timer = setInterval(() => {
    slider.value = Number(slider.value) + 1;
    show();
    if (slider.value === slider.max) stop();
  }, Math.min(500, Math.max(50, 10000 / steps)));
});
slider.addEventListener("input", () => {
  stop();
  show();
});
layout.addEventListener("change", place);
slider.value = slider.max;
place();
