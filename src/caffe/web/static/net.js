// The tab of one net: its graph with a panel beside it, a table, the editor, a photo's activations.
import { h, ask, table, tabs, exact, bytes, shape, download } from "caffe/dom.js";
import { GraphView } from "caffe/graph.js";
import { details, problem } from "caffe/details.js";
import { editor } from "caffe/editor.js";
import { photo } from "caffe/photo.js";
import { T } from "caffe/texts.js";

export function netTab(net, index, live) {
  const base = document.querySelector("#app").dataset.base ?? "";
  const source = {
    weights: (name) => live ? ask(`${base}api/${index}/weights/${encodeURIComponent(name)}`) : Promise.resolve(net.weights?.[name]),
    activations: (blob) => live ? ask(`${base}api/${index}/activations/${encodeURIComponent(blob)}`) : Promise.resolve(net.activations?.[blob]),
    map: (kind, cls) => live ? ask(`${base}api/${index}/map/${kind}/${cls}`) : Promise.resolve(net.maps?.[`${kind}/${cls}`]),
    check: (text) => ask(`${base}api/parse`, { method: "POST", body: JSON.stringify({ document: index, text }), headers: { "content-type": "application/json" } }),
  };
  if (net.error) return h("div", { class: "net" }, broken(net, live, source));
  const pages = [[T.graph, () => graphPage(net, source, live)], [T.table, () => layerTable(net)]];
  if (net.photo) pages.push([T.photo, () => photo(net.photo, source, live)]);
  return tabs(pages);
}

function broken(net, live, source) {
  const place = h("div", { class: "net" });
  const edit = editor(net.text, {
    live, title: net.title, check: source.check,
    onnet: (fresh) => place.replaceWith(graphPage({ ...net, ...fresh, error: null }, source, live, true)),
  });
  edit.show(net);
  place.append(edit);
  return place;
}

function graphPage(net, source, live, withEditor = false) {
  const panel = h("aside", { class: "panel", "aria-live": "polite" });
  const view = new GraphView(net, (node) => panel.replaceChildren(details(node, view.net, source, view)));
  panel.replaceChildren(details(null, net, source, view));
  const search = searchBox(view);
  const problems = h("button", { class: "problems", onclick: () => nextProblem(view) });
  const count = () => {
    const found = view.net.errors.length;
    problems.hidden = !found;
    problems.textContent = `${found} ${found === 1 ? T.problem : T.problems}`;
  };
  count();
  const edit = editor(net.text, {
    live, title: net.title, check: source.check,
    onnet: (fresh) => {
      view.show({ ...net, ...fresh }, true);
      panel.replaceChildren(details(view.node(), view.net, source, view));
      count();
    },
  });
  if (net.errors.length) edit.show({ ...net, error: null, errors: net.errors });
  edit.hidden = !withEditor;
  const toggle = h("button", { "aria-expanded": String(withEditor), onclick: () => {
    edit.hidden = !edit.hidden;
    toggle.setAttribute("aria-expanded", String(!edit.hidden));
    const chosen = view.node();
    if (!edit.hidden && chosen?.main.line) edit.go(chosen.main.line);
  } }, T.editor);
  const colour = h("select", { "aria-label": T.colour_by, onchange: () => view.paint(colour.value) },
    ["type", "multiply_adds", "count", "memory"].map((name) => h("option", { value: name }, T["by_" + name])));
  const bar = h("div", { class: "bar" },
    search, h("label", {}, T.colour_by, " ", colour),
    h("button", { onclick: () => view.unfold(false) }, T.fold), h("button", { onclick: () => view.unfold(true) }, T.unfold),
    h("button", { onclick: () => view.all() }, T.fit), toggle, problems,
    h("button", { onclick: () => download(`${net.name || "net"}.svg`, view.picture(), "image/svg+xml") }, T.save_svg));
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/INPUT|TEXTAREA|SELECT/.test(document.activeElement.tagName) && search.isConnected) {
      event.preventDefault();
      search.querySelector("input").focus();
    }
  });
  const page = h("div", { class: "net" }, bar, h("div", { class: "beside" }, edit, view.element, panel));
  page.view = view;
  return page;
}

function nextProblem(view) {
  const bad = view.net.layers.map((layer, i) => [layer, i]).filter(([layer]) => layer.error).map(([, i]) => i);
  if (!bad.length) return;
  view.badTurn = ((view.badTurn ?? -1) + 1) % bad.length;
  view.selectLayer(bad[view.badTurn]);
}

function searchBox(view) {
  const list = h("ul", { class: "found", role: "listbox", id: "found" });
  const field = h("input", { type: "search", placeholder: T.search, "aria-label": T.search, role: "combobox", "aria-controls": "found", "aria-expanded": "false" });
  const box = h("div", { class: "search" }, field, list);
  let hits = [];
  const close = () => { list.replaceChildren(); field.setAttribute("aria-expanded", "false"); };
  const take = (i) => { close(); field.value = ""; view.selectLayer(i); };
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    hits = !words.length ? [] : view.net.layers.map((layer, i) => [layer, i])
      .filter(([layer]) => words.every((word) => `${layer.name} ${layer.type} ${layer.tops.join(" ")}`.toLowerCase().includes(word)));
    list.replaceChildren(...(words.length && !hits.length ? [h("li", {}, T.nothing_found)] : hits.slice(0, 12).map(([layer, i]) =>
      h("li", { role: "option", onmousedown: (event) => { event.preventDefault(); take(i); } }, layer.name, " ", h("span", { class: "quiet" }, layer.type)))));
    field.setAttribute("aria-expanded", String(hits.length > 0));
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && hits.length) take(hits[0][1]);
    if (event.key === "Escape") { close(); view.svg.focus(); }
  });
  field.addEventListener("blur", close);
  return box;
}

function layerTable(net) {
  const columns = [["Layer", "name"], ["Type", "type"], [T.shape, null], [T.parameters, "count"], [T.multiply_adds, "multiply_adds"], [T.memory, "memory"]];
  const body = h("tbody");
  let order = null, down = true;
  const show = () => {
    const rows = [...net.layers];
    if (order) rows.sort((a, b) => (a[order] > b[order] ? 1 : a[order] < b[order] ? -1 : 0) * (down ? -1 : 1));
    body.replaceChildren(...rows.map((layer) => h("tr", { class: layer.error ? "bad" : null },
      h("td", {}, layer.name), h("td", {}, layer.type, layer.short && h("span", { class: "quiet" }, "  " + layer.short)),
      h("td", {}, layer.error ? layer.error.message : layer.tops.map((top) => shape(layer.shapes[top] ?? ["?"])).join(", ")),
      h("td", { class: "n" }, layer.count ? exact(layer.count) : ""), h("td", { class: "n" }, layer.multiply_adds ? exact(layer.multiply_adds) : ""),
      h("td", { class: "n" }, layer.memory ? bytes(layer.memory) : ""))));
  };
  const head = columns.map(([title, key]) => h("th", { scope: "col" }, key
    ? h("button", { onclick: () => { down = order === key ? !down : true; order = key; show(); } }, title) : title));
  show();
  const { count, multiply_adds: work, memory } = net.totals;
  return h("div", { class: "scroll" }, h("table", { class: "layers" }, h("thead", {}, h("tr", {}, head)), body,
    h("tfoot", {}, h("tr", {}, h("th", { scope: "row" }, "Total"), h("td"), h("td"), h("td", { class: "n" }, exact(count)), h("td", { class: "n" }, exact(work)), h("td", { class: "n" }, bytes(memory))))));
}
