/** Test pictures of the bundle to begin with; pictures that the model makes up where it has none. */

import { find, make } from "../dom.js";
import { Panel } from "../panel.js";
import { toUrl } from "../png.js";

const COUNT = 24; // pictures that are made up
const SEED = 5;
const TEXTS = {
  real: ["Test pictures", "The model was not trained on these. Pick one, and everything else follows."],
  made: ["Made-up pictures", "This bundle was published without test pictures. The model made these up: pick one."],
};

/** @typedef {import("../session.js").Session} Session */

export class ExamplesPanel extends Panel {
  #gallery = find("#examples .gallery");

  /** @param {Session} session */
  constructor(session) {
    super(find("#examples"), session);
  }

  /**
   * Fetch the pictures of the model.
   * @returns {Promise<string | null>} the first test picture as base64 PNG; null if there is none
   */
  async load() {
    const { model } = this.session;
    const isReal = Boolean(model.examples);
    this.clear();
    this.#gallery.replaceChildren();
    this.foot.hidden = isReal; // the calls of a foot are operations
    this.root.hidden = !isReal && !this.session.can("sample");
    [find("h2", this.root).textContent, find(".say", this.root).textContent] = isReal ? TEXTS.real : TEXTS.made;
    if (this.root.hidden) return null;
    return isReal ? this.#showReal() : this.#showMade();
  }

  async #showReal() {
    const { model } = this.session;
    /** @type {string | null} */
    let first = null;
    await this.attempt(async () => {
      const path = /** @type {string} */ (model.examples).replace(/^\//, "");
      const { images, labels } = await this.session.api.get(path);
      if (this.session.model !== model) return;
      this.#show(images, (index) => model.classes?.[labels?.[index]] ?? "");
      first = images[0];
    });
    return first;
  }

  async #showMade() {
    await this.run(this.session.call("sample", { count: COUNT, seed: SEED }), ({ images }) => this.#show(images, () => ""));
    return null;
  }

  /** @param {string[]} images @param {(index: number) => string} name gives the class, if there is one */
  #show(images, name) {
    this.#gallery.replaceChildren(...images.map((png, index) => {
      const label = name(index);
      const button = make("button", { type: "button", className: "thumb", title: label });
      button.ariaLabel = [`Picture ${index + 1}`, label].filter(Boolean).join(": ");
      button.append(make("img", { alt: "", src: toUrl(png) }));
      button.addEventListener("click", () => this.session.setImage(png, false));
      return button;
    }));
  }
}
