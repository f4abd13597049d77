// Two nets side by side.
import { h, table, number } from "caffe/dom.js";
import { T } from "caffe/texts.js";

export function comparison(found) {
  const layers = found.layers.map((item) => h("tr", {}, h("td", {}, item.name), h("td", {}, item.type), h("td", {}, h("pre", {}, item.change))));
  const most = Math.max(...found.weights.map((item) => item.relative ?? 0), 1e-12);
  const weights = found.weights.map((item) => h("tr", { class: item.relative === 0 ? "quiet" : null },
    h("td", {}, item.name), h("td", {}, item.change),
    h("td", { class: "n" }, number(item.relative), item.relative !== null && h("i", { class: "meter", style: `width:${(60 * item.relative) / most}px` })),
    h("td", { class: "n" }, number(item.largest))));
  return h("div", { class: "scroll comparison" },
    h("p", {}, found.titles.join(" → ")),
    h("h2", {}, `${T.layers_differ}: ${layers.length}`),
    layers.length ? table(["Layer", "Type", T.change], layers) : h("p", {}, T.none_differ),
    weights.length > 0 && [h("h2", {}, T.weights_differ), table(["Layer", "", T.relative, T.largest], weights)]);
}
