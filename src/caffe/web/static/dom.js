// Making elements, and numbers as people read them.
const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
export const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

export function short(value) {
  if (!value) return "0";
  for (const [limit, unit] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]])
    if (Math.abs(value) >= limit) return trim(value / limit) + " " + unit;
  return trim(value);
}

export function bytes(value) {
  for (const [limit, unit] of [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]])
    if (value >= limit) return trim(value / limit) + " " + unit;
  return value + " B";
}

export const exact = (value) => value.toLocaleString("en-US");
export const shape = (dims) => (dims && dims.length ? dims.join(" × ") : "scalar");
export const trim = (value) => String(Number(value.toPrecision(3)));
export const number = (value) => (value === null || value === undefined ? "–" : String(Number(Number(value).toPrecision(5))));

export function table(head, rows, attributes) {
  return h("table", attributes,
    h("thead", {}, h("tr", {}, head.map((cell) => h("th", { scope: "col" }, cell)))),
    h("tbody", {}, rows));
}

export function download(name, text, type = "text/plain") {
  const link = h("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

export async function ask(path, options = {}) {
  const answer = await fetch(path, { ...options, headers: { "x-caffe": "1", ...(options.headers ?? {}) } });
  const found = await answer.json();
  if (found && found.error && typeof found.error === "string") throw new Error(found.error);
  return found;
}

export function tabs(pages, chosen = 0) {
  // pages: [title, () => element]; made when first shown
  const body = h("div", { class: "tab-body" });
  const made = new Map();
  const buttons = pages.map(([title], i) =>
    h("button", { role: "tab", "aria-selected": "false", onclick: () => show(i), onkeydown: (event) => step(event, i) }, title));
  function show(i) {
    buttons.forEach((button, k) => {
      button.setAttribute("aria-selected", String(k === i));
      button.tabIndex = k === i ? 0 : -1;
    });
    if (!made.has(i)) made.set(i, pages[i][1]());
    body.replaceChildren(made.get(i));
    made.get(i).dispatchEvent(new Event("shown"));
  }
  function step(event, i) {
    const to = { ArrowRight: i + 1, ArrowLeft: i - 1 }[event.key];
    if (to === undefined || !buttons[to]) return;
    buttons[to].focus();
    show(to);
  }
  const bar = h("div", { class: "tabs", role: "tablist" }, buttons);
  if (pages.length < 2) bar.hidden = true;
  show(chosen);
  return h("section", { class: "tabbed" }, bar, body);
}
