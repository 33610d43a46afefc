/** The latent code as sliders that decode live; also where the current picture is encoded. */

import { find, make } from "../dom.js";
import { keepLatest } from "../latest.js";
import { Panel } from "../panel.js";
import { clearPicture, setPicture } from "../picture.js";

const DEVIATIONS = 3; // how far a slider reaches beyond the mean, in standard deviations
const PROBES = 64; // codes that the reach is measured on
const FALLBACK = 3; // reach where there is no source to ask, as of a standard normal distribution

/** @typedef {import("../session.js").Session} Session */

export class CodePanel extends Panel {
  #list = find(".sliders");
  #decoded = /** @type {HTMLButtonElement} */ (find("#decoded"));
  /** @type {number[] | null} code of the picture, to come back to */
  #encoded = null;
  /** @type {{input: HTMLInputElement, output: HTMLOutputElement}[]} */
  #sliders = [];

  /** @param {Session} session */
  constructor(session) {
    super(find("#code"), session);
    const encode = keepLatest(() => this.#encode());
    const decode = keepLatest(() => this.#decode());
    session.on("image", encode);
    session.on("latent", () => {
      this.#follow();
      decode();
    });
    session.on("model", () => this.#adapt());
    session.on("space", () => {
      this.#adapt();
      encode();
    });
    this.#list.addEventListener("input", () => session.setLatent(this.#sliders.map(({ input }) => input.valueAsNumber)));
    find("#code-back").addEventListener("click", () => this.#encoded && session.setLatent(this.#encoded));
    find("#code-zero").addEventListener("click", () => session.setLatent(this.#sliders.map(() => 0)));
  }

  #adapt() {
    this.clear();
    this.#encoded = null;
    clearPicture(this.#decoded);
    this.#sliders = Array.from({ length: this.session.latentSize }, (_, index) => makeSlider(index));
    this.#list.replaceChildren(...this.#sliders.map(({ input, output }, index) =>
      make("label", {}, make("span", { textContent: String(index + 1) }), input, output)));
    this.#measure();
  }

  /** Let sliders reach as far as the codes of pictures do. */
  async #measure() {
    const { model, space } = this.session;
    const own = model.sources.filter((source) => source.space === space);
    const source = own.find(({ name }) => name === model.default_source) ?? own[0];
    if (!source) return;
    await this.attempt(async () => {
      const call = this.session.call("sample", { source: source.name, count: PROBES, seed: 0 });
      const { latents } = await this.session.api.send(call);
      if (this.session.model !== model || this.session.space !== space) return;
      this.#sliders.forEach(({ input }, index) => {
        const reach = findReach(latents.map((/** @type {number[]} */ latent) => latent[index]));
        setReach(input, reach.low, reach.high);
      });
      this.#follow();
    });
  }

  async #encode() {
    const { image, space } = this.session;
    if (!image) return;
    const call = this.session.call("encode", { space }, { images: [image] });
    await this.run(call, ({ latents }) => {
      this.#encoded = latents[0];
      this.session.setLatent(latents[0]);
    });
  }

  async #decode() {
    const { latent, space } = this.session;
    if (!latent) return;
    const call = this.session.call("decode", { space }, { latents: [latent] });
    await this.run(call, ({ images }) => setPicture(this.#decoded, images[0], "Decoded picture"));
  }

  /** Put the sliders where the latent is. */
  #follow() {
    const { latent } = this.session;
    if (!latent) return;
    this.#sliders.forEach(({ input, output }, index) => {
      const value = latent[index];
      setReach(input, Math.min(Number(input.min), value), Math.max(Number(input.max), value));
      input.value = String(value);
      input.ariaValueText = value.toFixed(2);
      output.textContent = value.toFixed(2).replace("-", "\u2212");
    });
  }
}

/** @param {number} index */
function makeSlider(index) {
  const input = make("input", { type: "range", step: "any", ariaLabel: `Number ${index + 1}` });
  setReach(input, -FALLBACK, FALLBACK);
  input.value = "0";
  return { input, output: make("output", { textContent: "0.00" }) };
}

/** @param {HTMLInputElement} input @param {number} low @param {number} high */
function setReach(input, low, high) {
  input.min = String(low);
  input.max = String(high);
}

/** @param {number[]} values @returns mean, less and plus some standard deviations */
function findReach(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  const reach = DEVIATIONS * Math.sqrt(variance) || FALLBACK;
  return { low: mean - reach, high: mean + reach };
}
