// Light or dark: as the system says, until the button is pressed.
import { h } from "caffe/dom.js";
import { T } from "caffe/texts.js";

export function themeButton() {
  const dark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  return h("button", { class: "theme", "aria-label": T.theme, title: T.theme, onclick: () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    document.dispatchEvent(new Event("theme"));
  } }, "◐");
}
