/**
 * A picture that can be sent to the other panels: a button with a menu. There is one menu for the
 * page; it knows for which picture it was opened.
 *
 * @typedef {import("./session.js").Session} Session
 */

import { download, find, make } from "./dom.js";
import { fromBase64, toUrl } from "./png.js";

const GAP = 6;

/**
 * @param {string} png base64
 * @param {string} name what a screen reader says
 * @returns {HTMLButtonElement}
 */
export function makePicture(png, name) {
  const button = make("button", { type: "button", className: "picture", "aria-haspopup": "menu" });
  button.append(make("img", { alt: "" }));
  setPicture(button, png, name);
  return button;
}

/** @param {HTMLButtonElement} button @param {string} png base64 @param {string} name */
export function setPicture(button, png, name) {
  find("img", button).setAttribute("src", toUrl(png));
  button.dataset.png = png;
  button.ariaLabel = `${name}: send or save`;
  button.disabled = false;
}

/** @param {HTMLButtonElement} button left without a picture, its place kept */
export function clearPicture(button) {
  find("img", button).removeAttribute("src");
  button.disabled = true;
}

/**
 * Open the menu for whatever picture is clicked, now or later.
 * @param {Session} session
 * @param {(index: 0 | 1, png: string) => void} setEnd takes a picture as an end of the line
 */
export function setUpMenu(session, setEnd) {
  const menu = find("#picture-menu");
  let png = "";
  /** @type {HTMLElement | null} */
  let opener = null;
  const acts = {
    use: () => session.setImage(png, false),
    start: () => setEnd(0, png),
    end: () => setEnd(1, png),
    save: () => download(new Blob([fromBase64(png)], { type: "image/png" }), `${session.model.name}.png`),
  };

  document.addEventListener("click", ({ target }) => {
    const button = target instanceof Element && target.closest("button.picture");
    if (!(button instanceof HTMLElement) || !button.dataset.png) return;
    [png, opener] = [button.dataset.png, button];
    menu.showPopover();
    place(menu, button);
    find("button", menu).focus();
  });
  menu.addEventListener("click", ({ target }) => {
    const act = target instanceof HTMLElement && target.dataset.act;
    if (!act) return;
    menu.hidePopover();
    opener?.focus();
    acts[/** @type {keyof typeof acts} */ (act)]();
  });
  menu.addEventListener("keydown", (event) => {
    const items = [...menu.querySelectorAll("button")];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const index = items.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
    items[(index + step + items.length) % items.length].focus();
  });
}

/** @param {HTMLElement} menu @param {HTMLElement} beside below it, or above where there is no room */
function place(menu, beside) {
  const { left, top, bottom } = beside.getBoundingClientRect();
  const { width, height } = menu.getBoundingClientRect();
  const below = bottom + GAP + height < innerHeight;
  menu.style.left = `${Math.max(GAP, Math.min(left, innerWidth - width - GAP))}px`;
  menu.style.top = `${below ? bottom + GAP : Math.max(GAP, top - height - GAP)}px`;
}
