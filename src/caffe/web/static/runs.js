// Runs of training: curves together, settings side by side, snapshots, how each layer learns.
import uPlot from "caffe/vendor/uPlot.js";
import { h, ask, table, number, bytes, short } from "caffe/dom.js";
import { T } from "caffe/texts.js";

const COLOURS = ["#2f6fd0", "#d1495b", "#2a9d5c", "#8e5bc0", "#d9822b", "#1c9aa8", "#a0695b", "#c45ab3"];
const EVERY = 2000; // ms between questions for news
const NOT_CURVES = new Set(["NumIters", "Seconds"]);
const HEIGHT = 260;

export function runsTab(found, index, live) {
  const base = document.querySelector("#app").dataset.base ?? "";
  const state = { runs: found.runs, hidden: new Set(), zoom: null, x: "NumIters", smoothing: 0, log: false };
  const charts = h("div", { class: "charts" });
  const below = h("div", { class: "below" });
  const legend = h("div", { class: "legend" });
  let plots = [];

  const smoothing = h("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: 0, oninput: () => { state.smoothing = Number(smoothing.value); draw(); } });
  const bar = h("div", { class: "bar" },
    h("label", {}, T.x_axis, " ", h("select", { onchange: (e) => { state.x = e.target.value; state.zoom = null; draw(); } },
      h("option", { value: "NumIters" }, T.iteration), h("option", { value: "Seconds" }, T.seconds))),
    h("label", {}, T.smoothing, " ", smoothing),
    h("label", {}, h("input", { type: "checkbox", onchange: (e) => { state.log = e.target.checked; draw(); } }), " ", T.log_scale),
    h("span", { class: "quiet" }, T.zoom_hint));

  function showLegend() {
    legend.replaceChildren(...state.runs.map((run, i) => h("label", { class: "run" },
      h("input", { type: "checkbox", checked: !state.hidden.has(i), onchange: (e) => { e.target.checked ? state.hidden.delete(i) : state.hidden.add(i); draw(); } }),
      h("i", { style: `background:${COLOURS[i % COLOURS.length]}` }), h("b", {}, run.name), " ",
      run.error ? h("span", { class: "problem" }, run.error)
        : h("span", { class: "quiet" }, `${T.last_iteration} ${run.last}`, run.speed && `, ${number(Number(run.speed.toPrecision(3)))} ${T.speed}`))));
  }

  function draw() {
    for (const plot of plots) plot.destroy();
    const width = Math.max(280, Math.min(760, charts.clientWidth > 900 ? Math.floor((charts.clientWidth - 16) / 2) : charts.clientWidth));
    plots = [];
    charts.replaceChildren(...curves(state).map(({ name, series }) => {
      const place = h("figure", { class: "chart" }, h("figcaption", {}, name));
      plots.push(chart(place, name, series, state, width));
      return place;
    }));
  }

  let drawnFor = 0;
  new ResizeObserver(() => {
    if (!charts.clientWidth || charts.clientWidth === drawnFor) return;
    drawnFor = charts.clientWidth;
    draw();
  }).observe(charts);

  function update() {
    showLegend();
    draw();
    below.replaceChildren(...[settings(state.runs), layerStates(state.runs), filters(state.runs), snapshots(state.runs, live ? `${base}api/${index}/snapshot/` : null)].filter(Boolean));
  }
  showLegend();
  const element = h("div", { class: "scroll runs" }, bar, legend, charts, below);
  element.addEventListener("shown", update);
  document.addEventListener("theme", draw);
  let latest = JSON.stringify(found.runs.map((run) => [run.name, run.last, run.train.length, run.test.length, run.snapshots?.length, run.layers?.length]));
  if (live) setInterval(async () => {
    if (!element.isConnected || document.hidden) return;
    try {
      const news = await ask(`${base}api/${index}/news`);
      const now = JSON.stringify(news.runs.map((run) => [run.name, run.last, run.train.length, run.test.length, run.snapshots?.length, run.layers?.length]));
      if (now === latest) return;
      latest = now;
      state.runs = news.runs;
      const open = element.scrollTop;
      update();
      element.scrollTop = open;
    } catch { /* the server is away; ask again later */ }
  }, EVERY);
  return element;
}

function curves(state) {
  // name of an output → its series of every run, of training and of tests
  const found = new Map();
  state.runs.forEach((run, i) => {
    if (state.hidden.has(i)) return;
    for (const [kind, rows] of [["train", run.train], ["test", run.test], ...Object.entries(run.other_tests ?? {}).map(([n, r]) => [`test ${n}`, r])]) {
      const names = new Set(rows.flatMap((row) => Object.keys(row)));
      for (const name of names) {
        if (NOT_CURVES.has(name) || (name === "LearningRate" && kind !== "train")) continue;
        if (!found.has(name)) found.set(name, []);
        const points = rows.filter((row) => row[name] !== undefined);
        found.get(name).push({ run: run.name, i, kind, xs: points.map((row) => row[state.x]), ys: smooth(points.map((row) => row[name]), kind === "train" && name !== "LearningRate" ? state.smoothing : 0) });
      }
    }
  });
  const order = (name) => (name === "LearningRate" ? 2 : /loss/i.test(name) ? 0 : 1);
  return [...found].map(([name, series]) => ({ name, series })).sort((a, b) => order(a.name) - order(b.name));
}

function smooth(values, by) {
  if (!by) return values;
  let mean = 0, weight = 0;
  return values.map((value) => {
    if (value === null) return null;
    mean = by * mean + (1 - by) * value;
    weight = by * weight + (1 - by);
    return mean / weight;
  });
}

function chart(place, name, series, state, width) {
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
  const rule = getComputedStyle(document.documentElement).getPropertyValue("--rule").trim();
  const data = uPlot.join(series.map(({ xs, ys }) => [xs, ys]));
  const axis = { stroke: ink, grid: { stroke: rule, width: 1 }, ticks: { stroke: rule }, font: "12px system-ui, sans-serif" };
  const positive = state.log && series.every(({ ys }) => ys.every((y) => y === null || y > 0));
  place.dataset.points = String(series.reduce((sum, { xs }) => sum + xs.length, 0));
  place.addEventListener("dblclick", () => { state.zoom = null; });
  const plot = new uPlot({
    width, height: HEIGHT,
    scales: { x: { time: false }, y: positive ? { distr: 3 } : {} },
    axes: [{ ...axis, values: (_, ticks) => ticks.map(short) }, { ...axis, size: 64, values: (_, ticks) => ticks.map((t) => (t === null ? "" : number(t))) }],
    series: [{ label: state.x === "NumIters" ? T.iteration : T.seconds },
      ...series.map(({ run, i, kind, xs }) => ({
        label: state.runs.length > 1 ? `${run} ${kind}` : kind, stroke: COLOURS[i % COLOURS.length], width: kind === "train" ? 1.5 : 2,
        dash: kind === "train" ? [] : [6, 4], spanGaps: true, points: { show: kind !== "train" || xs.length < 30, size: 6 },
        value: (_, value) => number(value),
      }))],
    cursor: { sync: { key: "runs" } },
    hooks: { setSelect: [(u) => { if (u.select.width > 0) state.zoom = { min: u.posToVal(u.select.left, "x"), max: u.posToVal(u.select.left + u.select.width, "x") }; }] },
  }, data, place);
  if (state.zoom) plot.setScale("x", state.zoom); // news must not undo it
  return plot;
}

function settings(runs) {
  const names = [...new Set(runs.flatMap((run) => Object.keys(run.settings ?? {})))];
  const said = (run, name) => (run.settings?.[name] === undefined ? "–" : String(run.settings[name]));
  const rows = names.map((name) => {
    const values = runs.map((run) => said(run, name));
    const differs = new Set(values).size > 1;
    return h("tr", { class: differs ? "differs" : null }, h("th", { scope: "row" }, name), values.map((value) => h("td", {}, value)));
  });
  return h("section", {}, h("h2", {}, T.settings), names.length ? table(["", ...runs.map((run) => run.name)], rows) : h("p", { class: "quiet" }, T.settings_none));
}

function snapshots(runs, link) {
  const rows = runs.flatMap((run) => (run.snapshots ?? []).map((shot) => h("tr", {},
    h("td", {}, run.name), h("td", { class: "n" }, String(shot.iter)),
    h("td", {}, Object.entries(shot.scores).map(([name, value]) => `${name} ${number(value)}`).join(", ")),
    h("td", { class: "n" }, bytes(shot.bytes)),
    h("td", {}, link ? h("a", { href: link + encodeURIComponent(shot.file), download: shot.file, class: "button" }, T.download) : shot.file))));
  return h("section", {}, h("h2", {}, T.snapshots), rows.length ? table([T.run, T.iteration, "", "", ""], rows) : h("p", { class: "quiet" }, T.snapshots_none));
}

function layerStates(runs) {
  const known = runs.filter((run) => run.layers?.length);
  if (!known.length) return null;
  return h("section", {}, h("h2", {}, T.learning), h("p", { class: "quiet" }, T.learning_hint), known.map((run) => {
    const last = run.layers[run.layers.length - 1];
    const history = (name) => run.layers.map((row) => row.values[name]?.ratio).filter((v) => v > 0);
    return table([run.name, T.update_ratio, "", T.dead_units], Object.entries(last.values).map(([name, value]) =>
      h("tr", {}, h("th", { scope: "row" }, name), h("td", { class: "n" }, value.ratio === null ? "–" : value.ratio.toExponential(1)),
        h("td", {}, spark(history(name))), h("td", { class: "n" }, value.dead === null || value.dead === undefined ? "" : `${value.dead} / ${value.units}`))));
  }));
}

function spark(values) {
  if (values.length < 2) return "";
  const logs = values.map(Math.log10);
  const low = Math.min(...logs), high = Math.max(...logs);
  const points = logs.map((v, i) => `${(i * 120) / (logs.length - 1)},${22 - (high > low ? (20 * (v - low)) / (high - low) : 10)}`).join(" ");
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "spark");
  svg.setAttribute("viewBox", "0 0 120 24");
  svg.innerHTML = `<polyline points="${points}"/>`;
  return svg;
}

function filters(runs) {
  const known = runs.filter((run) => run.filters?.length);
  if (!known.length) return null;
  return h("section", {}, h("h2", {}, T.first_filters), known.map((run) => h("div", { class: "records" }, known.length > 1 && h("b", {}, run.name), run.filters.map((item) =>
    h("figure", {}, h("img", { class: "pixels", src: item.picture, alt: `${T.filters} ${item.layer}, ${T.iteration} ${item.iter}` }), h("figcaption", {}, `${T.iteration} ${item.iter}`))))));
}
