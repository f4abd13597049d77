// Databases and arrays.
import { h, exact, shape } from "caffe/dom.js";
import { statistics, histogram } from "caffe/details.js";
import { T } from "caffe/texts.js";

export function dataTab(found) {
  return h("div", { class: "scroll" }, h("p", {}, `${exact(found.count)} ${T.records} ${found.records.length}:`),
    h("div", { class: "records" }, found.records.map((record) => h("figure", {},
      record.picture ? h("img", { class: "pixels", src: record.picture, alt: record.key }) : h("p", { class: "problem" }, record.error ?? "?"),
      h("figcaption", {}, record.label && h("b", {}, `${T.label} ${record.label.join(", ")}`), " ", record.shape && h("code", {}, shape(record.shape)), h("br"), record.key)))));
}

export function arraysTab(found) {
  return h("div", { class: "scroll" }, h("div", { class: "arrays" }, found.arrays.map((item) => h("section", {},
    h("h2", {}, item.name), item.values.map((values) => h("figure", {}, h("figcaption", {}, h("code", {}, shape(values.shape))),
      statistics(values), histogram(values), values.picture && h("img", { class: "pixels", src: values.picture, alt: item.name })))))));
}
