/** Noise added to the picture, and taken away again. */

import { find } from "../dom.js";
import { keepLatest } from "../latest.js";
import { Panel } from "../panel.js";
import { clearPicture, setPicture } from "../picture.js";
import { addNoise } from "../pixels.js";
import { readPng, writePng } from "../png.js";

const SEED = 4; // of the noise: only its strength changes while the slider is dragged

/** @typedef {import("../session.js").Session} Session */

export class DenoisePanel extends Panel {
  #slider = /** @type {HTMLInputElement} */ (find("#noise"));
  #noisy = /** @type {HTMLButtonElement} */ (find("#noisy"));
  #clean = /** @type {HTMLButtonElement} */ (find("#denoised"));

  /** @param {Session} session */
  constructor(session) {
    super(find("#denoise"), session);
    const refresh = keepLatest(() => this.#refresh());
    session.on("image", refresh);
    session.on("model", () => this.#adapt());
    this.#slider.addEventListener("input", refresh);
  }

  #adapt() {
    this.clear();
    this.root.hidden = !this.session.can("denoise");
    clearPicture(this.#noisy);
    clearPicture(this.#clean);
  }

  async #refresh() {
    const { image, model } = this.session;
    if (!image || this.root.hidden) return;
    const level = this.#slider.valueAsNumber;
    find("#noise-value").textContent = level.toFixed(2);
    const noisy = await writePng(addNoise(await readPng(image, model.image.channels), level, SEED));
    const call = this.session.call("denoise", {}, { images: [noisy] });
    await this.run(call, ({ images }) => {
      setPicture(this.#noisy, noisy, "Spoiled picture");
      setPicture(this.#clean, images[0], "Cleaned picture");
    });
  }
}
