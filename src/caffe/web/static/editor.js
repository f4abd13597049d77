// The prototxt beside the picture; what is typed is checked by the server, and mistakes stand at their line.
import { h, ask, download } from "caffe/dom.js";
import { problem } from "caffe/details.js";
import { T } from "caffe/texts.js";

const PAUSE = 250; // ms without a key before the text is sent

export function editor(text, { live, check, onnet, title }) {
  const numbers = h("pre", { class: "numbers", "aria-hidden": "true" });
  const area = h("textarea", { spellcheck: "false", wrap: "off", "aria-label": T.editor, readonly: !live });
  area.value = text;
  const marks = h("div", { class: "marks", "aria-hidden": "true" });
  const said = h("div", { class: "said", "aria-live": "polite" });
  const element = h("div", { class: "editor" },
    h("div", { class: "bar" },
      h("span", { class: "quiet" }, live ? T.edit_hint : T.no_editing),
      h("button", { onclick: () => download(title.replace(/.*\//, "") || "net.prototxt", area.value) }, T.download),
      live && h("button", { onclick: () => { area.value = text; changed(); } }, T.reset)),
    h("div", { class: "page" }, numbers, h("div", { class: "text" }, marks, area)), said);
  let timer = null, asked = 0;

  function count() {
    const lines = area.value.split("\n").length;
    numbers.textContent = Array.from({ length: lines }, (_, i) => i + 1).join("\n");
  }
  function changed() {
    count();
    clearTimeout(timer);
    timer = setTimeout(send, PAUSE);
  }
  async function send() {
    const turn = ++asked;
    try {
      const net = await check(area.value);
      if (turn === asked) show(net);
    } catch (error) {
      said.replaceChildren(problem({ message: error.message }));
    }
  }
  function show(net) {
    const errors = net.error ? [net.error] : net.errors;
    marks.replaceChildren(...errors.filter((error) => error.line).map((error) =>
      h("div", { class: "mark", style: `top: calc(${error.line - 1} * var(--line) + var(--pad))` })));
    said.replaceChildren(...(errors.length ? errors.map((error) =>
      h("div", { class: "jump", onclick: () => go(error.line) }, problem(error))) : [h("p", { class: "fine" }, T.fine)]));
    if (!net.error) onnet(net);
  }
  function go(line) {
    if (!line) return;
    const lines = area.value.split("\n");
    const start = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
    area.focus();
    area.setSelectionRange(start, start + (lines[line - 1] ?? "").length);
    const height = parseFloat(getComputedStyle(area).lineHeight);
    area.scrollTop = Math.max(0, (line - 6) * height);
  }
  area.addEventListener("input", changed);
  area.addEventListener("scroll", () => {
    numbers.style.transform = `translateY(${-area.scrollTop}px)`;
    marks.style.transform = `translateY(${-area.scrollTop}px)`;
  });
  area.addEventListener("keydown", (event) => {
    if (event.key === "Tab" && !event.shiftKey && live) {
      event.preventDefault();
      area.setRangeText("  ", area.selectionStart, area.selectionEnd, "end");
      changed();
    }
  });
  count();
  element.go = go;
  element.show = show;
  return element;
}
