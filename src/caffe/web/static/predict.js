// The page of a prediction server: a photo in, classes or boxes out.
import { h, ask, number } from "caffe/dom.js";
import { bars } from "caffe/photo.js";
import { themeButton } from "caffe/theme.js";
import { T } from "caffe/texts.js";

const app = document.querySelector("#app");
const SHOWN = 0.3; // the least score of a box on the page

async function start() {
  const { models } = await ask("api/models");
  const usable = models.filter((model) => model.kind === "classes" || model.detects);
  const choice = h("select", { "aria-label": T.model }, (usable.length ? usable : models).map((model) => h("option", { value: model.name }, model.name)));
  const file = h("input", { type: "file", accept: "image/*", id: "file", class: "hidden-file", onchange: () => file.files[0] && show(file.files[0]) });
  const drop = h("label", { class: "drop", for: "file" }, T.drop_here);
  const picture = h("canvas", { hidden: true, role: "img", "aria-label": T.photo });
  const video = h("video", { hidden: true, muted: true, playsinline: true });
  const answer = h("div", { class: "answer", "aria-live": "polite" });
  const camera = h("button", { onclick: () => (video.srcObject ? stop() : watch()) }, T.use_camera);
  let last = null;

  async function predict(blob, bitmap) {
    const model = models.find((known) => known.name === choice.value);
    const task = model.kind === "boxes" || model.detects ? `detect?threshold=${SHOWN}&` : "classify?top=5&";
    const began = performance.now();
    try {
      const found = await ask(`${task}model=${encodeURIComponent(model.name)}`, { method: "POST", body: blob, headers: { "content-type": blob.type || "image/jpeg" } });
      const took = h("p", { class: "quiet" }, `${model.name} ${found.version}, ${T.took} ${number(found.milliseconds)} ms (${Math.round(performance.now() - began)} ms)`);
      if (model.detects) drawBoxes(bitmap, found);
      answer.replaceChildren(h("div", {}, model.detects ? boxes(found) : [bars(found.top), !found.probabilities && h("p", { class: "quiet" }, T.no_probabilities)]), took);
    } catch (error) {
      answer.replaceChildren(h("p", { class: "problem", role: "alert" }, error.message));
    }
    answer.dataset.done = String(Number(answer.dataset.done ?? 0) + 1);
  }

  function draw(bitmap) {
    picture.hidden = false;
    picture.width = bitmap.width;
    picture.height = bitmap.height;
    picture.getContext("2d").drawImage(bitmap, 0, 0);
  }

  function drawBoxes(bitmap, found) {
    draw(bitmap);
    const pen = picture.getContext("2d");
    const unit = Math.max(1, bitmap.width / 500);
    pen.font = `${Math.round(14 * unit)}px system-ui, sans-serif`;
    found.boxes.forEach((item) => {
      const [x1, y1, x2, y2] = item.box;
      const colour = `hsl(${(item.class * 137.5) % 360} 85% 45%)`;
      pen.lineWidth = 3 * unit;
      pen.strokeStyle = pen.fillStyle = colour;
      pen.strokeRect(x1, y1, x2 - x1, y2 - y1);
      const text = `${item.label} ${item.score.toFixed(2)}`;
      pen.fillRect(x1, Math.max(0, y1 - 19 * unit), pen.measureText(text).width + 8 * unit, 19 * unit);
      pen.fillStyle = "#fff";
      pen.fillText(text, x1 + 4 * unit, Math.max(14 * unit, y1 - 4 * unit));
    });
  }

  async function show(blob) {
    stop();
    try {
      const bitmap = await createImageBitmap(blob);
      last = [blob, bitmap];
      draw(bitmap);
      await predict(blob, bitmap);
    } catch (error) {
      answer.replaceChildren(h("p", { class: "problem", role: "alert" }, error.message));
    }
  }

  async function watch() {
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { width: 640 } });
    } catch (error) {
      answer.replaceChildren(h("p", { class: "problem", role: "alert" }, error.message));
      return;
    }
    camera.textContent = T.stop_camera;
    await video.play();
    while (video.srcObject) {
      const bitmap = await createImageBitmap(video);
      draw(bitmap);
      const blob = await new Promise((done) => picture.toBlob(done, "image/jpeg", 0.85));
      await predict(blob, bitmap);
    }
  }

  function stop() {
    for (const track of video.srcObject?.getTracks() ?? []) track.stop();
    video.srcObject = null;
    camera.textContent = T.use_camera;
  }

  document.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  document.addEventListener("dragleave", () => drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files[0]) show(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => event.clipboardData.files[0] && show(event.clipboardData.files[0]));
  choice.addEventListener("change", () => last && predict(...last));
  app.replaceChildren(
    h("header", {}, h("h1", {}, "caffe serve"), h("a", { href: "docs" }, "API"), themeButton()),
    h("main", { class: "predict" },
      h("div", { class: "bar" }, h("label", {}, T.model, " ", choice), camera), file, drop,
      h("div", { class: "result" }, picture, video, answer)));
  app.dataset.ready = "true";
}

function boxes(found) {
  if (!found.boxes.length) return h("p", {}, T.nothing_detected);
  return bars(found.boxes.map((item) => ({ label: item.label, score: item.score })));
}

start().catch((error) => app.replaceChildren(h("p", { class: "loading problem", role: "alert" }, error.message)));
