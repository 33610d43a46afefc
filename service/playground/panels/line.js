/** The walk: pictures along a straight line between two latents (report 001's boot to sneaker). */

import { find, make } from "../dom.js";
import { keepLatest } from "../latest.js";
import { Panel } from "../panel.js";
import { makePicture } from "../picture.js";

const SEED = 7;
const APART = 2; // classes between the first two ends: of Fashion-MNIST, sneaker and ankle boot

/** @typedef {import("../session.js").Session} Session */

export class LinePanel extends Panel {
  #strip = find(".strip");
  #steps = /** @type {HTMLInputElement} */ (find("#steps"));

  /** @param {Session} session */
  constructor(session) {
    super(find("#line"), session);
    const refresh = keepLatest(() => this.#refresh());
    session.on("ends", refresh);
    session.on("model", () => {
      this.clear();
      // Places of the pictures to come: nothing moves when they do.
      this.#strip.replaceChildren(...Array.from({ length: this.#steps.valueAsNumber }, () => make("i")));
    });
    session.on("space", () => this.#encodeAgain());
    this.#steps.addEventListener("input", refresh);
  }

  /**
   * Take a picture as an end.
   * @param {0 | 1} index start or end
   * @param {string} png base64
   */
  async setEnd(index, png) {
    await this.attempt(async () => {
      const [latent] = await this.#encode([png]);
      this.session.setEnds(this.session.ends.map((end, at) => (at === index ? { latent, png } : end)));
    });
    this.root.scrollIntoView({ block: "nearest" });
  }

  /** Take two pictures of the model's own as the first ends. */
  async takeEnds() {
    const { sources, classes, default_source: name } = this.session.model;
    const source = sources.find((known) => known.name === name);
    if (!source) return;
    const model = this.session.reference;
    await this.attempt(async () => {
      const picked = source.class_conditional && classes && classes.length > APART
        ? [classes.length - 1 - APART, classes.length - 1] : null;
      const draws = picked
        ? picked.map((index) => ({ source: source.name, seed: SEED, class: index }))
        : [{ source: source.name, seed: SEED, count: 2 }];
      const answers = await Promise.all(draws.map((query) => this.session.api.send(this.session.call("sample", query))));
      const pngs = answers.flatMap(({ images }) => images);
      if (this.session.reference === model) await this.#setPictures(pngs);
    });
  }

  /** @param {string[]} pngs start and end */
  async #setPictures(pngs) {
    const latents = await this.#encode(pngs);
    this.session.setEnds(pngs.map((png, index) => ({ latent: latents[index], png })));
  }

  /** @param {string[]} images @returns {Promise<number[][]>} their latents */
  async #encode(images) {
    const call = this.session.call("encode", { space: this.session.space }, { images });
    return (await this.session.api.send(call)).latents;
  }

  /** Ends that are pictures have a place in another space too; points of the map have not. */
  async #encodeAgain() {
    const pngs = this.session.ends.map((end) => end?.png);
    await this.attempt(async () => {
      if (pngs.every((png) => png !== undefined)) await this.#setPictures(pngs);
      else await this.takeEnds();
    });
  }

  async #refresh() {
    const { ends, space } = this.session;
    const steps = this.#steps.valueAsNumber;
    find("#steps-value").textContent = String(steps);
    const latents = ends.flatMap((end) => (end ? [end.latent] : []));
    if (latents.length < 2) return;
    const call = this.session.call("interpolate", { steps, space }, { latents });
    await this.run(call, ({ images }) => this.#show(images));
  }

  /** @param {string[]} images */
  #show(images) {
    this.#strip.style.setProperty("--steps", String(images.length));
    this.#strip.replaceChildren(...images.map((png, index) => makePicture(png, `Step ${index + 1} of ${images.length}`)));
  }
}
