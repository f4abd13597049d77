// What the net makes of a photo: its most likely classes, and which pixels speak for each.
import { h, number } from "caffe/dom.js";
import { later } from "caffe/details.js";
import { T } from "caffe/texts.js";

export function bars(top) {
  const most = Math.max(...top.map((item) => Math.abs(item.score)), 1e-9);
  return h("ol", { class: "bars" }, top.map((item) => h("li", {},
    h("span", { class: "name" }, item.label), h("span", { class: "score" }, number(item.score)),
    h("i", { style: `width:${Math.max(0.5, (100 * Math.abs(item.score)) / Math.max(most, item.score <= 1 ? 1 : most))}%` }))));
}

export function photo(found, source, live) {
  const picture = h("figure", {}, h("img", { src: found.picture, alt: T.photo }));
  if (!found.top.length) return h("div", { class: "photo" }, picture, h("div", {}, h("p", {}, T.no_classes)));
  const maps = h("div", { class: "maps" });
  const choice = h("select", { "aria-label": T.why }, found.top.map((item) => h("option", { value: item.index }, item.label)));
  const show = () => {
    const kinds = live ? ["gradient", "occlusion"] : ["gradient"];
    maps.replaceChildren(...kinds.map((kind) => later(source.map(kind, choice.value), (map) => map
      ? h("figure", {}, h("img", { src: map.picture, alt: `${T[kind]}: ${map.label}` }), h("figcaption", {}, T[kind]))
      : h("p", { class: "quiet" }, T.no_embedding))));
  };
  choice.addEventListener("change", show);
  show();
  return h("div", { class: "photo" },
    picture,
    h("div", {}, h("h2", {}, T.top_classes), bars(found.top), !found.probabilities && h("p", { class: "quiet" }, T.no_probabilities), h("h2", {}, T.why, " ", choice), maps));
}
