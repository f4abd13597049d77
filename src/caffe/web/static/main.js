// The page: a tab for each document that was named.
import { h, ask, tabs } from "caffe/dom.js";
import { netTab } from "caffe/net.js";
import { runsTab } from "caffe/runs.js";
import { dataTab, arraysTab } from "caffe/data.js";
import { comparison } from "caffe/compare.js";
import { themeButton } from "caffe/theme.js";
import { T } from "caffe/texts.js";

const app = document.querySelector("#app");

async function start() {
  app.replaceChildren(h("p", { class: "loading", role: "status" }, T.loading));
  try {
    const state = JSON.parse(document.querySelector("#state").textContent) ?? (await ask("api/state"));
    show(state);
  } catch (error) {
    app.replaceChildren(h("div", { class: "loading" }, h("p", {}, T.failed), h("p", { class: "problem", role: "alert" }, error.message)));
  }
}

function show(state) {
  const pages = state.documents.map((found, i) => [found.title, () => tab(found, i, state.live)]);
  if (state.comparison) pages.unshift([T.compare, () => comparison(state.comparison)]);
  app.replaceChildren(h("header", {}, h("h1", {}, state.documents.length === 1 ? state.documents[0].title : "caffe"), themeButton()), tabs(pages));
  app.dataset.ready = "true";
}

function tab(found, index, live) {
  if (found.kind === "net") return netTab(found, index, live);
  if (found.kind === "runs") return runsTab(found, index, live);
  return found.kind === "data" ? dataTab(found) : arraysTab(found);
}

start();
