/** What does not belong: the places over a threshold, and the test pictures by their score. */

import { find, write } from "../dom.js";
import { keepLatest } from "../latest.js";
import { Panel } from "../panel.js";
import { makePicture } from "../picture.js";
import { paintHeat } from "../pixels.js";
import { readPng } from "../png.js";

const SHOWN = 6; // test pictures at each end of the order

/** @typedef {import("../session.js").Session} Session */
/** @typedef {{score: number, percentile: number}} Detection */

export class DetectPanel extends Panel {
  #canvas = /** @type {HTMLCanvasElement} */ (find("#heat-map"));
  #slider = /** @type {HTMLInputElement} */ (find("#anomaly-threshold"));
  /** @type {{pixels: import("../png.js").Pixels, heat: number[][], found: Detection} | null} */
  #shown = null;

  /** @param {Session} session */
  constructor(session) {
    super(find("#detect"), session);
    const refresh = keepLatest(() => this.#refresh());
    session.on("image", refresh);
    session.on("model", () => this.#adapt());
    this.#slider.addEventListener("input", () => this.#paint());
  }

  #adapt() {
    this.clear();
    this.#shown = null;
    this.root.hidden = !this.session.can("detect");
    for (const id of ["#most-normal", "#least-normal"]) find(id).replaceChildren();
    if (!this.root.hidden) this.#order();
  }

  async #refresh() {
    const { image, model } = this.session;
    if (!image || this.root.hidden) return;
    const call = this.session.call("detect", { heatmap: "array" }, { images: [image] });
    await this.run(call, async ({ detections, heatmaps, method }) => {
      const pixels = await readPng(image, model.image.channels);
      this.#shown = { pixels, heat: heatmaps[0][0], found: detections[0] };
      find("#anomaly-method").textContent = method;
      this.#paint();
    });
  }

  /** Mark what is over the slider's threshold; no request is needed for that. */
  #paint() {
    if (!this.#shown) return;
    const { pixels, heat, found } = this.#shown;
    const threshold = this.#slider.valueAsNumber;
    [this.#canvas.width, this.#canvas.height] = [pixels.width, pixels.height];
    this.#canvas.getContext("2d")?.putImageData(paintHeat(pixels, heat, threshold), 0, 0);
    find("#anomaly-threshold-value").textContent = threshold.toFixed(2);
    find("#anomaly-score").textContent = write(found.score, 3);
    find("#anomaly-verdict").textContent = found.score > threshold ? "does not belong" : "belongs";
    find("#anomaly-percentile").textContent = found.percentile.toFixed(0);
  }

  /** Show the test pictures that are most and least like the data. */
  async #order() {
    const { model, reference } = this.session;
    if (!model.examples) return;
    await this.attempt(async () => {
      const path = /** @type {string} */ (model.examples).replace(/^\//, "");
      /** @type {{images: string[]}} */
      const { images } = await this.session.api.get(path);
      const { detections } = await this.session.api.send(this.session.call("detect", {}, { images }));
      if (this.session.reference !== reference) return;
      const order = images.map((png, index) => ({ png, score: detections[index].score }));
      order.sort((a, b) => a.score - b.score);
      const half = Math.min(SHOWN, Math.floor(order.length / 2));
      this.#fill("#most-normal", order.slice(0, half));
      this.#fill("#least-normal", order.slice(order.length - half).reverse());
    });
  }

  /** @param {string} selector @param {{png: string, score: number}[]} pictures */
  #fill(selector, pictures) {
    const buttons = pictures.map(({ png, score }) => makePicture(png, `Picture with the score ${write(score, 2)}`));
    find(selector).replaceChildren(...buttons);
  }
}
