/** Class probabilities as bars. */

import { find, make } from "../dom.js";
import { keepLatest } from "../latest.js";
import { Panel } from "../panel.js";

const MOST = 12; // of more classes only the likeliest are listed
const LISTED = 10;

/** @typedef {import("../session.js").Session} Session */

export class ClassifyPanel extends Panel {
  #bars = find(".bars");

  /** @param {Session} session */
  constructor(session) {
    super(find("#classify"), session, false);
    session.on("image", keepLatest(() => this.#refresh()));
    session.on("model", () => this.#adapt());
  }

  #adapt() {
    this.clear();
    this.root.hidden = !this.session.can("classify");
    const { classes } = this.session.model;
    const rows = this.#count();
    this.#bars.replaceChildren(...Array.from({ length: rows }, (_, index) => {
      const label = rows === classes?.length ? classes[index] : "\u00a0";
      return make("li", {}, make("span", { textContent: label }),
        make("span", { className: "track", "aria-hidden": "true" }, make("i")), make("output", { textContent: "\u2013" }));
    }));
  }

  #count() {
    const { length } = this.session.model.classes ?? [];
    return length <= MOST ? length : LISTED;
  }

  async #refresh() {
    const { image } = this.session;
    if (!image || this.root.hidden) return;
    const call = this.session.call("classify", { top_k: this.#count() }, { images: [image] });
    await this.run(call, ({ predictions }) => this.#show(predictions[0].top));
  }

  /** @param {{label: string, probability: number}[]} top the likeliest first */
  #show(top) {
    const { classes } = this.session.model;
    const inOrder = top.length === classes?.length
      ? [...top].sort((a, b) => classes.indexOf(a.label) - classes.indexOf(b.label)) : top;
    inOrder.forEach(({ label, probability }, index) => {
      const row = /** @type {HTMLElement} */ (this.#bars.children[index]);
      row.classList.toggle("likeliest", label === top[0].label);
      find("span", row).textContent = label;
      find("output", row).textContent = `${(100 * probability).toFixed(probability > 0.999 ? 0 : 1)}%`;
      row.style.setProperty("--share", String(probability));
    });
  }
}
