// The net as a picture: layout, zoom, pan, minimap, and walking from layer to layer by keyboard.
import * as dagre from "caffe/vendor/dagre.js";
import { visible, initiallyOpen, COSTS } from "caffe/folding.js";
import { h, s, shape, short, bytes } from "caffe/dom.js";
import { T } from "caffe/texts.js";

const FAMILIES = [
  ["data", /Data$|^Input$|^Parameter$|^DummyData$/],
  ["conv", /Convolution|Deconvolution|Im2col|Correlation|LocallyConnected|^Local/],
  ["dense", /InnerProduct|Embed|LSTM|RNN|Margin/],
  ["pool", /Pool|Interp|Upsampl|Resize|Crop|Reorg/i],
  ["norm", /Norm|LRN|MVN|^BN$|^Scale$|^Bias$/],
  ["act", /ReLU|Sigmoid|TanH|ELU|BNLL|Swish|Mish|Dropout|Power|Exp|Log|Abs|Clip|Threshold|PReLU|Axpy/],
  ["join", /Concat|Eltwise|Slice|Split|Reshape|Flatten|Permute|Tile|Silence|Reduction|Shuffle|Mul$|Add$/],
  ["loss", /Loss|Accuracy|Softmax|ArgMax|Evaluate/],
  ["boxes", /Prior|Detection|Proposal|ROI|Region|Yolo|MultiBox|Anchor/i],
];
const ZOOM = [0.03, 3];
const READABLE = 0.75; // the scale at which a box's words can be read
const MARGIN = 24;

export const family = (type) => FAMILIES.find(([, pattern]) => pattern.test(type))?.[0] ?? "other";

export function layout(nodes, edges) {
  // Where all ways lead through one node, the graph falls into pieces: each is laid out alone, and hung below the one
  // before. That takes time in proportion to the net's length, and keeps its trunk straight.
  const places = new Map(), paths = [];
  const size = { left: 0, right: 0, bottom: 0 };
  for (const piece of pieces([...nodes.keys()], edges)) {
    const graph = new dagre.Graph();
    graph.setGraph({ rankdir: "TB", nodesep: 16, ranksep: 30, ranker: piece.nodes.length > 150 ? "longest-path" : "network-simplex" });
    graph.setDefaultEdgeLabel(() => ({}));
    for (const id of piece.nodes) graph.setNode(id, { width: nodes.get(id).width, height: nodes.get(id).height });
    for (const [from, to] of piece.edges) graph.setEdge(from, to);
    dagre.layout(graph);
    const hung = places.get(piece.nodes[0]), first = graph.node(piece.nodes[0]);
    const by = hung ? { x: hung.x - first.x, y: hung.y - first.y } : { x: -first.x, y: 0 };
    for (const id of piece.nodes) {
      const { x, y } = graph.node(id);
      places.set(id, { x: x + by.x, y: y + by.y });
      size.left = Math.min(size.left, x + by.x - nodes.get(id).width / 2);
      size.right = Math.max(size.right, x + by.x + nodes.get(id).width / 2);
      size.bottom = Math.max(size.bottom, y + by.y + nodes.get(id).height / 2);
    }
    for (const edge of graph.edges())
      paths.push({ from: edge.v, to: edge.w, points: graph.edge(edge).points.map(({ x, y }) => ({ x: x + by.x, y: y + by.y })) });
  }
  for (const { points } of paths) for (const { x } of points) { size.left = Math.min(size.left, x); size.right = Math.max(size.right, x); }
  const shift = { x: MARGIN - size.left, y: MARGIN };
  for (const place of places.values()) { place.x += shift.x; place.y += shift.y; }
  for (const { points } of paths) for (const point of points) { point.x += shift.x; point.y += shift.y; }
  return { places, paths, width: size.right - size.left + 2 * MARGIN, height: size.bottom + 2 * MARGIN };
}

export function pieces(ids, edges) {
  const at = new Map(ids.map((id, i) => [id, i]));
  const forward = edges.every(([from, to]) => at.get(from) < at.get(to));
  const reach = ids.map((_, i) => i); // how far the edges of a node lead
  const fed = ids.map(() => false);
  for (const [from, to] of edges) {
    reach[at.get(from)] = Math.max(reach[at.get(from)], at.get(to));
    fed[at.get(to)] = true;
  }
  const ends = [0];
  let furthest = 0;
  for (let i = 0; i < ids.length; i++) {
    if (forward && i && furthest <= i && fed[i] && fed.slice(i + 1, i + 40).every(Boolean)) ends.push(i);
    furthest = Math.max(furthest, reach[i]);
  }
  if (ends[ends.length - 1] !== ids.length - 1 || ends.length === 1) ends.push(ids.length - 1);
  const pieceOf = ids.map(() => 0);
  for (let k = 1, i = 1; i < ids.length; i++) {
    while (i > ends[k]) k++;
    pieceOf[i] = k - 1;
  }
  const found = ends.slice(1).map((end, k) => ({ nodes: ids.slice(ends[k], end + 1), edges: [] }));
  for (const edge of edges) found[pieceOf[at.get(edge[1])]].edges.push(edge);
  return found;
}

const FONT = 'system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif'; // as in the style sheet
const TITLE = `600 12.5px ${FONT}`, SMALL = `11px ${FONT}`;
const pen = document.createElement("canvas").getContext("2d");

function wide(text, font) {
  pen.font = font;
  return pen.measureText(text).width;
}

function measure(node) {
  const lines = [node.title, node.subtitle, node.extra, node.shape ? shape(node.shape) : ""];
  const longest = Math.max(wide(node.title, TITLE), ...lines.slice(1).map((line) => wide(line, SMALL)));
  node.width = Math.min(300, Math.max(96, Math.ceil(longest) + (node.isGroup ? 40 : 26)));
  node.height = 18 + 16 * lines.filter(Boolean).length;
}

function fitted(text, width, font) {
  if (wide(text, font) <= width) return text;
  let kept = text.length;
  while (kept > 1 && wide(text.slice(0, kept) + "…", font) > width) kept--;
  return text.slice(0, kept) + "…";
}

export class GraphView {
  constructor(net, onselect) {
    this.onselect = onselect;
    this.colour = "type";
    this.view = { x: 0, y: 0, k: 1 };
    this.svg = s("svg", { class: "graph", role: "group", "aria-label": T.graph, tabindex: "0", onkeydown: (e) => this.key(e) },
      s("defs", {}, s("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 9, markerHeight: 9, markerUnits: "userSpaceOnUse", orient: "auto" },
        s("path", { d: "M0,0 L8,4 L0,8 z", class: "arrow" }))));
    this.canvas = s("g");
    this.svg.append(this.canvas);
    this.map = s("svg", { class: "minimap", preserveAspectRatio: "none", "aria-hidden": "true" });
    this.element = h("div", { class: "graph-box" }, this.svg, this.map, h("p", { class: "keys" }, T.keys));
    this.pointing();
    new ResizeObserver(() => {
      const width = this.svg.clientWidth;
      if (this.width && width) this.view.x += (width - this.width) / 2; // what was in the middle stays there
      this.width = width || this.width;
      this.moved();
    }).observe(this.svg);
    this.show(net);
  }

  show(net, keep = false) {
    const names = keep && this.net ? new Set([...this.open].map((g) => this.net.groups[g]?.name)) : null;
    this.net = net;
    this.open = names
      ? new Set(net.groups.map((group, i) => (names.has(group.name) ? i : -1)).filter((i) => i >= 0))
      : initiallyOpen(net);
    this.draw();
    if (!keep) requestAnimationFrame(() => this.fit());
  }

  draw() {
    const began = performance.now();
    this.seen = visible(this.net, this.open);
    for (const node of this.seen.nodes.values()) measure(node);
    const graph = layout(this.seen.nodes, this.seen.edges);
    this.size = graph;
    const most = Object.fromEntries(COSTS.map((cost) => [cost, Math.max(1, ...[...this.seen.nodes.values()].map((n) => n[cost]))]));
    const lines = graph.paths.map(({ from, to, points }) => s("path", { class: "edge", d: curve(points), "marker-end": "url(#arrow)", "data-from": from, "data-to": to }));
    this.boxes = new Map();
    for (const node of this.seen.nodes.values()) {
      const { x, y } = graph.places.get(node.id);
      Object.assign(node, { x, y });
      this.boxes.set(node.id, this.box(node, most));
    }
    this.canvas.replaceChildren(...lines, ...this.boxes.values());
    this.lines = lines;
    this.drawMap();
    this.mark();
    this.moved();
    this.took = performance.now() - began;
    this.element.dataset.layoutMs = this.took.toFixed(0);
    this.element.dataset.nodes = String(this.seen.nodes.size);
  }

  box(node, most) {
    const heat = this.colour === "type" ? null : Math.sqrt(node[this.colour] / most[this.colour]);
    const style = heat === null ? null : `--heat:${Math.round(heat * 100)}%`;
    const lines = [["title", fitted(node.title, node.width - 16, TITLE)], ["sub", fitted(node.subtitle, node.width - 12, SMALL)],
      ["sub extra", fitted(node.extra, node.width - 12, SMALL)], ["dims", node.shape ? shape(node.shape) : ""]].filter(([, text]) => text);
    const label = `${node.title}, ${node.subtitle}` + (node.shape ? ", " + shape(node.shape) : "") + (node.error ? `, ${T.problem}: ${node.error.message}` : "");
    const kind = node.isGroup ? "group" : "f-" + family(node.main.type);
    return s("g", {
      class: `node ${kind}${heat === null ? "" : " heat"}${node.error ? " bad" : ""}${node.repeats > 1 ? " repeated" : ""}`,
      transform: `translate(${node.x - node.width / 2},${node.y - node.height / 2})`,
      role: "button", tabindex: "-1", "aria-label": label, style, "data-id": node.id,
      onclick: () => this.select(node.id, false), ondblclick: () => this.toggle(node),
    },
      node.repeats > 1 && s("rect", { class: "behind", x: 5, y: 5, width: node.width, height: node.height, rx: 6 }),
      s("rect", { width: node.width, height: node.height, rx: 6 }),
      lines.map(([name, text], i) => s("text", { class: name, x: node.width / 2, y: 21 + 16 * i }, text)),
      node.error && s("text", { class: "flag", x: node.width - 8, y: 15 }, "!"),
      node.isGroup && s("text", { class: "plus", x: node.width - 12, y: 17 }, "+"),
      s("title", {}, label));
  }

  drawMap() {
    const { width, height } = this.size;
    const rects = [...this.seen.nodes.values()].map((n) =>
      s("rect", { x: n.x - n.width / 2, y: n.y - n.height / 2, width: n.width, height: n.height, class: n.error ? "bad" : null }));
    this.frame = s("rect", { class: "frame" });
    this.map.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.map.replaceChildren(...rects, this.frame);
    this.map.style.display = this.seen.nodes.size > 12 ? "" : "none";
  }

  moved() {
    const { x, y, k } = this.view;
    this.canvas.setAttribute("transform", `translate(${x},${y}) scale(${k})`);
    const { clientWidth: w, clientHeight: tall } = this.svg;
    for (const [name, value] of Object.entries({ x: -x / k, y: -y / k, width: w / k, height: tall / k })) this.frame.setAttribute(name, value);
  }

  fit() {
    const { clientWidth: w, clientHeight: tall } = this.svg;
    if (!w) return;
    const whole = Math.min(w / this.size.width, tall / this.size.height);
    const k = Math.min(1, Math.max(whole, READABLE)); // long and wide nets begin at their top, in the middle of their trunk
    const [first] = this.seen.nodes.values();
    const aside = Math.min(0, Math.max(w - this.size.width * k, w / 2 - first.x * k));
    this.view = { k, x: this.size.width * k < w ? (w - this.size.width * k) / 2 : aside, y: this.size.height * k < tall ? (tall - this.size.height * k) / 2 : 0 };
    this.moved();
  }

  all() {
    const { clientWidth: w, clientHeight: tall } = this.svg;
    const k = Math.min(1, w / this.size.width, tall / this.size.height);
    this.view = { k, x: (w - this.size.width * k) / 2, y: (tall - this.size.height * k) / 2 };
    this.moved();
  }

  zoom(factor, x = this.svg.clientWidth / 2, y = this.svg.clientHeight / 2) {
    const k = Math.min(ZOOM[1], Math.max(ZOOM[0], this.view.k * factor));
    const by = k / this.view.k;
    this.view = { k, x: x - (x - this.view.x) * by, y: y - (y - this.view.y) * by };
    this.moved();
  }

  centre(node) {
    const { k } = this.view;
    this.view = { k, x: this.svg.clientWidth / 2 - node.x * k, y: this.svg.clientHeight / 2 - node.y * k };
    this.moved();
  }

  pointing() {
    let from = null;
    this.svg.addEventListener("wheel", (e) => {
      e.preventDefault();
      if (e.ctrlKey || e.metaKey || !e.shiftKey) {
        const box = this.svg.getBoundingClientRect();
        this.zoom(Math.exp(-e.deltaY * 0.0015), e.clientX - box.left, e.clientY - box.top);
      }
    }, { passive: false });
    this.svg.addEventListener("pointerdown", (e) => { from = { x: e.clientX - this.view.x, y: e.clientY - this.view.y, id: e.pointerId, far: false, at: [e.clientX, e.clientY] }; });
    this.svg.addEventListener("pointermove", (e) => {
      if (!from) return;
      if (!from.far && Math.hypot(e.clientX - from.at[0], e.clientY - from.at[1]) < 4) return;
      if (!from.far) this.svg.setPointerCapture(from.id);
      from.far = true;
      this.view.x = e.clientX - from.x;
      this.view.y = e.clientY - from.y;
      this.moved();
    });
    for (const name of ["pointerup", "pointercancel"]) this.svg.addEventListener(name, () => { from = null; });
    const jump = (e) => {
      if (!e.buttons) return;
      const box = this.map.getBoundingClientRect();
      this.centre({ x: ((e.clientX - box.left) * this.size.width) / box.width, y: ((e.clientY - box.top) * this.size.height) / box.height });
    };
    this.map.addEventListener("pointerdown", jump);
    this.map.addEventListener("pointermove", jump);
  }

  node() { return this.seen.nodes.get(this.selected) ?? null; }

  select(id, follow = true) {
    this.selected = id;
    this.mark();
    const node = this.node();
    if (node && follow) this.centre(node);
    if (node && follow) this.boxes.get(id).focus({ preventScroll: true });
    this.onselect(node);
  }

  mark() {
    for (const [id, box] of this.boxes) {
      box.classList.toggle("selected", id === this.selected);
      box.setAttribute("tabindex", id === this.selected ? "0" : "-1");
    }
    for (const line of this.lines) {
      line.classList.toggle("near", line.dataset.from === this.selected || line.dataset.to === this.selected);
    }
  }

  selectLayer(index) {
    const unit = this.net.layers[index].unit;
    for (let g = this.seen.groupOf[unit]; g !== null; g = this.net.groups[g].parent) this.open.add(g);
    this.draw();
    this.select(this.seen.shownAs[unit]);
  }

  toggle(node) {
    if (node.isGroup) this.open.add(node.index);
    else {
      const inner = this.seen.groupOf[node.index];
      if (inner === null) return;
      this.open.delete(inner);
    }
    const before = { x: node.x, y: node.y };
    this.draw();
    const id = this.seen.shownAs[node.units[0]];
    const after = this.seen.nodes.get(id);
    this.view.x += (before.x - after.x) * this.view.k;
    this.view.y += (before.y - after.y) * this.view.k;
    this.moved();
    this.select(id, false);
  }

  unfold(all) {
    this.open = new Set(all ? this.net.groups.map((_, i) => i) : []);
    this.draw();
    this.fit();
  }

  paint(colour) {
    this.colour = colour;
    this.draw();
  }

  key(event) {
    const node = this.node();
    const act = {
      "+": () => this.zoom(1.3), "=": () => this.zoom(1.3), "-": () => this.zoom(1 / 1.3), 0: () => this.all(),
      Enter: () => node && this.toggle(node), " ": () => node && this.toggle(node),
      ArrowDown: () => this.walk(node, 1), ArrowUp: () => this.walk(node, -1),
      ArrowRight: () => this.beside(node, 1), ArrowLeft: () => this.beside(node, -1),
      Escape: () => { this.select(null, false); },
    }[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  }

  walk(node, by) {
    const nodes = [...this.seen.nodes.keys()];
    if (!node) return this.select(nodes[0]);
    const next = this.seen.edges.filter((edge) => edge[by > 0 ? 0 : 1] === node.id).map((edge) => edge[by > 0 ? 1 : 0]);
    next.sort((a, b) => Math.abs(this.seen.nodes.get(a).x - node.x) - Math.abs(this.seen.nodes.get(b).x - node.x));
    if (next.length) this.select(next[0]);
  }

  beside(node, by) {
    if (!node) return;
    const near = [...this.seen.nodes.values()]
      .filter((other) => (other.x - node.x) * by > 4 && Math.abs(other.y - node.y) < 60)
      .sort((a, b) => Math.abs(a.x - node.x) - Math.abs(b.x - node.x));
    if (near.length) this.select(near[0].id);
  }

  picture() {
    // the graph as a file of its own: the page's rules go into it
    const rules = [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules]).map((rule) => rule.cssText).join("\n");
    const copy = this.svg.cloneNode(true);
    copy.querySelector(":scope > g").removeAttribute("transform");
    copy.setAttribute("viewBox", `0 0 ${this.size.width} ${this.size.height}`);
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.prepend(s("style", {}, rules));
    return new XMLSerializer().serializeToString(copy);
  }
}

export const costText = (node) => `${short(node.multiply_adds)} ${T.multiply_adds}, ${short(node.count)} ${T.parameters}, ${bytes(node.memory)}`;

function curve(points) {
  const [first, ...rest] = points;
  let path = `M${first.x},${first.y}`;
  for (let i = 0; i < rest.length - 1; i++) {
    const middle = { x: (rest[i].x + rest[i + 1].x) / 2, y: (rest[i].y + rest[i + 1].y) / 2 };
    const end = i === rest.length - 2 ? rest[i + 1] : middle;
    path += ` Q${rest[i].x},${rest[i].y} ${end.x},${end.y}`;
  }
  return rest.length === 1 ? path + ` L${rest[0].x},${rest[0].y}` : path;
}
