/** Reconstruction beside the original, what was lost, and how unusual that is. */

import { find, write } from "../dom.js";
import { keepLatest } from "../latest.js";
import { Panel } from "../panel.js";
import { clearPicture, setPicture } from "../picture.js";
import { mapError } from "../pixels.js";
import { readPng, toUrl } from "../png.js";

const UNUSUAL = 90;
const STRANGE = 99;

/** @typedef {import("../session.js").Session} Session */

export class ReconstructPanel extends Panel {
  #original = /** @type {HTMLImageElement} */ (find("#original"));
  #picture = /** @type {HTMLButtonElement} */ (find("#reconstruction"));
  #error = /** @type {HTMLCanvasElement} */ (find("#error-map"));

  /** @param {Session} session */
  constructor(session) {
    super(find("#reconstruct"), session);
    const refresh = keepLatest(() => this.#refresh());
    for (const change of /** @type {const} */ (["image", "space"])) session.on(change, refresh);
    session.on("model", () => {
      this.clear();
      clearPicture(this.#picture);
    });
  }

  async #refresh() {
    const { image, space, model } = this.session;
    if (!image) return;
    const call = this.session.call("reconstruct", { space }, { images: [image] });
    await this.run(call, async ({ images, mse, anomaly_percentile }) => {
      const { channels } = model.image;
      const [before, after] = await Promise.all([readPng(image, channels), readPng(images[0], channels)]);
      this.#original.src = toUrl(image);
      setPicture(this.#picture, images[0], "Reconstruction");
      [this.#error.width, this.#error.height] = [before.width, before.height];
      this.#error.getContext("2d")?.putImageData(mapError(before, after), 0, 0);
      this.#judge(anomaly_percentile[0], mse[0]);
      this.#explainPadding();
    });
  }

  /** Say what the score of a padded picture counts. */
  #explainPadding() {
    const hint = find("#padding-said");
    const percent = Math.round(100 * this.session.padding);
    hint.hidden = percent === 0;
    hint.textContent = `Your file has another shape: ${percent} % of the picture is padding. The score counts it too, so it says less about your file.`;
  }

  /** @param {number} percentile @param {number} mse */
  #judge(percentile, mse) {
    const verdict = percentile < UNUSUAL ? "familiar" : percentile < STRANGE ? "unusual" : "like nothing it was trained on";
    find("#percentile").textContent = percentile.toFixed(percentile > STRANGE ? 1 : 0);
    find("#verdict").textContent = verdict;
    find("#needle").style.left = `${percentile}%`;
    find("#mse").textContent = write(mse, 3);
  }
}
