// What is known of the chosen layer or block: shapes, costs, mistakes, weights, activations.
import { h, ask, exact, short, bytes, shape, number, trim } from "caffe/dom.js";
import { T } from "caffe/texts.js";

export function details(node, net, source, view) {
  if (!node) return overview(net);
  if (node.isGroup) return group(node, view);
  const [main, ...inPlace] = node.layers;
  const groupOf = view.seen.groupOf[node.index];
  return h("div", { class: "details" },
    h("h2", {}, main.name, " ", h("span", { class: "type" }, main.type)),
    node.layers.map((layer) => [layer.error && problem(layer.error), layer.notes.map((note) => h("p", { class: "note" }, note))]),
    facts([
      ...main.tops.map((top) => [T.shape, [h("code", {}, main.shapes[top] ? shape(main.shapes[top]) : "?"), " ", top]]),
      main.count && [T.parameters, [exact(main.count), " ", h("span", { class: "quiet" }, main.params.map(shape).join(", "))]],
      main.multiply_adds && [T.multiply_adds, exact(main.multiply_adds)],
      main.memory && [T.memory, bytes(main.memory)],
      main.field && [T.receptive, field(main.field)],
      main.bottoms.length && [T.bottoms, main.bottoms.join(", ")],
      main.line && [T.line, String(main.line)],
      inPlace.length && [T.in_place, inPlace.map((layer) => h("span", { class: "chip" }, `${layer.name} (${layer.type})`))],
    ]),
    groupOf !== null && h("button", { onclick: () => view.toggle(node) }, `${T.close} ${net.groups[groupOf].name}`),
    main.text && h("pre", {}, main.text.trimEnd()),
    inPlace.map((layer) => layer.text && h("pre", {}, `# ${layer.name}\n${layer.text.trimEnd()}`)),
    node.layers.filter((layer) => net.has_weights && layer.count).map((layer) => later(source.weights(layer.name), (found) => weights(found, layer))),
    net.photo && main.tops.map((top) => later(source.activations(top), (found) => activation(found, top))));
}

const field = ({ size, step }) =>
  size[0] < 0 ? T.whole : `${size.map(trim).join(" × ")}, ${T.step} ${step.map(trim).join(" × ")}`;

function facts(pairs) {
  return h("dl", {}, pairs.filter(Boolean).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

export function problem(error) {
  return h("div", { class: "problem", role: "alert" },
    error.line && h("b", {}, `${T.line} ${error.line}: `), error.layer && h("b", {}, `${error.layer}: `),
    error.field && [h("code", {}, error.field), " "], error.message, error.fix && h("p", {}, error.fix));
}

function overview(net) {
  const { count, multiply_adds: work, memory } = net.totals;
  return h("div", { class: "details" },
    h("h2", {}, net.name || net.title || "", " ", h("span", { class: "type" }, `${T.phase} ${net.phase}`)),
    facts([
      [T.layers, exact(net.layers.length)],
      [T.parameters, exact(count)],
      [T.multiply_adds, exact(work)],
      [T.memory, bytes(memory)],
      net.left_out && [T.left_out, String(net.left_out)],
      ["inputs", net.inputs.join(", ")],
      ["outputs", net.outputs.join(", ")],
    ]),
    net.errors.map(problem),
    net.photo_error && h("p", { class: "problem" }, net.photo_error),
    net.note && h("pre", {}, net.note));
}

function group(node, view) {
  return h("div", { class: "details" },
    h("h2", {}, node.title),
    facts([
      [T.layers, String(node.layers.length)],
      node.repeats > 1 && ["×" + node.repeats, T.repeated],
      node.shape && [T.shape, h("code", {}, shape(node.shape))],
      [T.parameters, exact(node.count)],
      [T.multiply_adds, exact(node.multiply_adds)],
      [T.memory, bytes(node.memory)],
    ]),
    node.error && problem(node.error),
    h("button", { onclick: () => view.toggle(node) }, T.open),
    h("ul", { class: "members" }, node.layers.slice(0, 200).map((layer) => h("li", {}, layer.name, " ", h("span", { class: "quiet" }, layer.type)))));
}

export function later(promise, show) {
  const place = h("div", { class: "later", "aria-busy": "true" }, T.loading);
  promise.then((found) => place.replaceChildren(show(found)), (error) => place.replaceChildren(h("p", { class: "problem" }, error.message)))
    .finally(() => place.removeAttribute("aria-busy"));
  return place;
}

function weights(found, layer) {
  if (!found) return h("p", { class: "quiet" }, T.no_embedding);
  return h("div", {}, found.map((values, i) =>
    h("figure", {},
      h("figcaption", {}, `${layer.name}[${i}] `, h("code", {}, shape(values.shape))),
      statistics(values), histogram(values),
      values.picture && h("img", { class: "pixels", src: values.picture, alt: `${T.filters} ${layer.name}` }))));
}

export function statistics(values) {
  if (values.min === undefined) return h("p", { class: "problem" }, "nothing finite");
  return h("p", { class: "quiet" }, `${number(values.min)} … ${number(values.max)}, mean ${number(values.mean)}, std ${number(values.std)}, zeros ${(100 * values.zeros).toFixed(1)} %`,
    values.not_finite > 0 && h("b", { class: "problem" }, ` ${exact(values.not_finite)} not finite`));
}

export function histogram(values) {
  if (!values.histogram) return null;
  const most = Math.max(...values.histogram);
  return h("div", { class: "histogram", role: "img", "aria-label": `${T.histogram} ${short(values.count)} values from ${number(values.edges[0])} to ${number(values.edges[1])}` },
    values.histogram.map((count) => h("i", { style: `height:${count ? Math.max(2, (100 * count) / most) : 0}%` })),
    h("span", {}, number(values.edges[0])), h("span", {}, number(values.edges[1])));
}

function activation(found, top) {
  if (!found) return h("p", { class: "quiet" }, T.no_embedding);
  return h("figure", {},
    h("figcaption", {}, `${T.activations} ${top} `, h("code", {}, shape(found.shape))),
    statistics(found),
    found.dead > 0 && h("p", { class: "note" }, `${found.dead} ${T.dead_maps}`),
    found.picture ? h("img", { class: "pixels", src: found.picture, alt: `${T.activations} ${top}` }) : histogram(found));
}
