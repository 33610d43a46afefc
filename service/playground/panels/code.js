/** The latent code as sliders that decode live; also where the current picture is encoded. */

import { dot, findDirections, makeUnitDirections } from "../directions.js";
import { find, make } from "../dom.js";
import { keepLatest } from "../latest.js";
import { Panel } from "../panel.js";
import { clearPicture, setPicture } from "../picture.js";

const REACH = 3; // standard deviations that a slider reaches to each side
const PROBES = 64; // codes that directions are found from where there is no map
const FIRST = 12; // sliders that are shown at first
const MOST = 64; // and that can be shown
const MAPPED = 512; // numbers of a code, up to which its map is short enough to be fetched

/** @typedef {import("../session.js").Session} Session */
/** @typedef {import("../directions.js").Directions} Directions */

export class CodePanel extends Panel {
  #list = find(".sliders");
  #more = find("#code-more");
  #decoded = /** @type {HTMLButtonElement} */ (find("#decoded"));
  /** @type {number[] | null} code of the picture, to come back to */
  #encoded = null;
  /** @type {Directions | null} */
  #directions = null;
  /** @type {{input: HTMLInputElement, output: HTMLOutputElement}[]} */
  #sliders = [];
  #showsAll = false;

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
    this.#list.addEventListener("input", ({ target }) => this.#move(this.#sliders.findIndex(({ input }) => input === target)));
    this.#more.addEventListener("click", () => {
      this.#showsAll = !this.#showsAll;
      this.#makeSliders();
    });
    find("#code-back").addEventListener("click", () => this.#encoded && session.setLatent(this.#encoded));
    find("#code-zero").addEventListener("click", () => session.setLatent(Array(session.latentSize).fill(0)));
  }

  #adapt() {
    this.clear();
    this.#encoded = this.#directions = null;
    this.#showsAll = false;
    clearPicture(this.#decoded);
    this.#makeSliders();
    this.#measure();
  }

  /** Make as many sliders as are shown, in their places before their directions are known. */
  #makeSliders() {
    const { latentSize } = this.session;
    const known = Math.min(this.#directions?.axes.length ?? latentSize, MOST);
    const count = this.#showsAll ? known : Math.min(known, FIRST);
    this.#sliders = Array.from({ length: count }, (_, index) => makeSlider(index));
    this.#list.replaceChildren(...this.#sliders.map(({ input, output }, index) =>
      make("label", {}, make("span", { textContent: String(index + 1) }), input, output)));
    this.#more.hidden = known <= FIRST;
    this.#more.textContent = this.#showsAll ? "Fewer sliders" : `All ${known} sliders`;
    this.#follow();
  }

  /** Find the directions in which the codes of pictures differ. */
  async #measure() {
    const { model, space } = this.session;
    await this.attempt(async () => {
      const codes = await this.#listCodes();
      if (this.session.model !== model || this.session.space !== space) return;
      const isKnown = codes && codes.length > 1;
      this.#directions = isKnown ? findDirections(codes) : makeUnitDirections(this.session.latentSize, MOST);
      this.#makeSliders();
    });
  }

  /** @returns {Promise<number[][] | null>} codes of pictures: those of the map, else of a source's samples */
  async #listCodes() {
    const { model, space, latentSize } = this.session;
    const map = latentSize <= MAPPED ? await this.session.getMap() : null;
    if (map) return map.latents;
    const own = model.sources.filter((source) => source.space === space);
    const source = own.find(({ name }) => name === model.default_source) ?? own[0];
    if (!source) return null;
    const call = this.session.call("sample", { source: source.name, count: PROBES, seed: 0 });
    return (await this.session.api.send(call)).latents;
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

  /** Move the code along the direction of a slider. @param {number} index */
  #move(index) {
    const { latent } = this.session;
    if (!latent || !this.#directions || index < 0) return;
    const axis = this.#directions.axes[index];
    const step = this.#directions.deviations[index] * (this.#sliders[index].input.valueAsNumber - this.#locate(latent, index));
    this.session.setLatent(latent.map((value, at) => value + step * axis[at]));
  }

  /** @param {number[]} latent @param {number} index of a direction @returns {number} standard deviations from the mean */
  #locate(latent, index) {
    const { mean, axes, deviations } = /** @type {Directions} */ (this.#directions);
    return dot(latent.map((value, at) => value - mean[at]), axes[index]) / deviations[index];
  }

  /** Put the sliders where the latent is. */
  #follow() {
    const { latent } = this.session;
    if (!latent || !this.#directions) return;
    this.#sliders.forEach(({ input, output }, index) => {
      const value = this.#locate(latent, index);
      input.min = String(Math.min(Number(input.min), value));
      input.max = String(Math.max(Number(input.max), value));
      input.value = String(value);
      input.ariaValueText = value.toFixed(2);
      output.textContent = value.toFixed(2).replace("-", "\u2212");
    });
  }
}

/** @param {number} index */
function makeSlider(index) {
  const limits = { min: String(-REACH), max: String(REACH), value: "0" };
  const input = make("input", { type: "range", step: "any", ariaLabel: `Direction ${index + 1}`, ...limits });
  return { input, output: make("output", { textContent: "0.00" }) };
}
