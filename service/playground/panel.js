/**
 * What panels have in common: a line for errors, and a foot that copies or downloads the call
 * whose answer is on screen.
 *
 * @typedef {import("./api.js").Call} Call
 * @typedef {import("./session.js").Session} Session
 */

import { ApiError } from "./api.js";
import { download, find, make } from "./dom.js";
import { toCurl, toPython } from "./snippets.js";

const COPIED_MS = 1600;
const FORMATS = { png: "image/png", npy: "application/x-npy" };

export class Panel {
  /** @type {Call | null} */
  #call = null;
  #error = make("p", { className: "error", role: "alert", hidden: true });

  /**
   * @param {HTMLElement} root
   * @param {Session} session
   * @param {boolean} givesImages whether its calls can be answered with PNG and npy
   */
  constructor(root, session, givesImages = true) {
    this.root = root;
    this.session = session;
    const buttons = [
      this.#button("Copy as curl", (call) => this.#copy(call, toCurl)),
      this.#button("Copy as Python", (call) => this.#copy(call, toPython)),
    ];
    if (givesImages) {
      buttons.push(this.#button("PNG", (call) => this.#download(call, "png"), "Download PNG"));
      buttons.push(this.#button("npy", (call) => this.#download(call, "npy"), "Download npy"));
    }
    this.foot = find(".foot", root);
    this.foot.append(...buttons);
    this.foot.ariaLive = "polite"; // tells that something was copied
    this.foot.before(this.#error);
    this.#setCall(null);
  }

  /**
   * Send a call, show its answer, and keep it for the foot. Errors are shown, never thrown.
   * @param {Call} call
   * @param {(answer: any) => void | Promise<void>} show
   */
  async run(call, show) {
    this.root.setAttribute("aria-busy", "true");
    await this.attempt(async () => {
      const answer = await this.session.api.send(call);
      if (this.#isOver(call)) return;
      await show(answer);
      this.#setCall(call);
    });
    this.root.removeAttribute("aria-busy");
  }

  /** @param {Call} call @returns {boolean} whether another model or space was chosen since */
  #isOver({ query }) {
    const { reference, space } = this.session;
    return query.model !== reference || ("space" in query && query.space !== space);
  }

  /** @param {() => Promise<void>} work whose error is shown as the service tells it */
  async attempt(work) {
    try {
      await work();
      this.#error.hidden = true;
    } catch (error) {
      this.fail(error);
    }
  }

  /** @param {unknown} error */
  fail(error) {
    if (error instanceof ApiError && error.status === 401) {
      this.session.dispatchEvent(new Event("locked"));
    }
    this.#error.textContent = error instanceof Error ? error.message : String(error);
    this.#error.hidden = false;
  }

  /** Forget what was shown, as for another model. */
  clear() {
    this.#setCall(null);
    this.#error.hidden = true;
  }

  /** @param {Call | null} call */
  #setCall(call) {
    this.#call = call;
    for (const button of this.foot.querySelectorAll("button")) button.disabled = !call;
  }

  /** @param {string} text @param {(call: Call) => void} act @param {string} [label] where the text is too short */
  #button(text, act, label) {
    const button = make("button", { type: "button", className: "quiet", textContent: text });
    if (label) button.ariaLabel = label;
    button.addEventListener("click", () => {
      if (this.#call) act(this.#call);
    });
    return button;
  }

  /** @param {Call} call @param {typeof toCurl} spell */
  async #copy(call, spell) {
    const text = spell(this.session.api.locate(call), call, Boolean(this.session.api.key));
    const button = /** @type {HTMLElement} */ (document.activeElement);
    if (await copyText(text)) {
      const label = button.textContent;
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = label), COPIED_MS);
    }
  }

  /** @param {Call} call @param {keyof typeof FORMATS} format */
  #download(call, format) {
    return this.attempt(async () => {
      const response = await this.session.api.fetch(call, FORMATS[format]);
      download(await response.blob(), `${this.session.model.name}-${call.path.slice(3)}.${format}`);
    });
  }
}

/**
 * Copy text; over plain HTTP, where browsers forbid that, show it to be copied by hand.
 * @param {string} text
 */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const dialog = /** @type {HTMLDialogElement} */ (document.getElementById("by-hand"));
    const field = /** @type {HTMLTextAreaElement} */ (dialog.querySelector("textarea"));
    field.value = text;
    dialog.showModal();
    field.select();
    return false;
  }
}
