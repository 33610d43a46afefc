/** New pictures: the bundle's sample sources side by side. */

import { fillSelect, find, make, write } from "../dom.js";
import { keepLatest } from "../latest.js";
import { Panel } from "../panel.js";
import { makePicture } from "../picture.js";

/** What a source does, for those that latentd trains. @type {Record<string, string>} */
const EXPLAINED = {
  kde: "A training picture\u2019s numbers, nudged a little.",
  "class-kde": "Numbers of one class, nudged a little.",
  "pca-kde": "Nudged along the main directions only.",
  gmm: "From soft clouds fitted to the codes.",
  flow: "Noise, carried to where the codes are by a small network.",
  "vae-flow": "The same for the VAE\u2019s codes.",
  centroid: "Around the middle of a class.",
  "uniform-global": "Anywhere in one box around all codes: mostly nowhere.",
  "uniform-per-dimension": "Each number anywhere in its own range.",
  prior: "From the bell curve that the VAE was trained to fill.",
  "vae-kde": "The VAE\u2019s codes, nudged a little.",
  gan: "No code at all: a generator, trained to fool a critic.",
  "gan-filtered": "The generator\u2019s, passed through the autoencoder.",
};
const SEEDS = 100_000;
const LIKE_DATA = 0.75; // share that the judge recognises, relative to real pictures

/** @typedef {import("../session.js").Session} Session */
/** @typedef {import("../api.js").Source} Source */

export class GeneratePanel {
  #root = find("#generate");
  #form = /** @type {HTMLFormElement} */ (find("#generate-form"));
  #batches = find("#batches");
  #classes = /** @type {HTMLSelectElement} */ (find("#class"));
  #refresh = keepLatest(() => this.#make());
  /** @type {Batch[]} */
  #shown = [];

  /** @param {Session} session */
  constructor(session) {
    this.session = session;
    session.on("model", () => this.#adapt());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#refresh();
    });
    this.#form.addEventListener("change", () => this.#form.checkValidity() && this.#refresh());
    find("#temperature").addEventListener("input", () => {
      find("#temperature-value").textContent = this.#number("temperature").toFixed(1);
    });
    find("#roll").addEventListener("click", () => {
      /** @type {HTMLInputElement} */ (find("#seed")).value = String(Math.floor(Math.random() * SEEDS));
      this.#refresh();
    });
  }

  #adapt() {
    const { sources, classes, default_source } = this.session.model;
    this.#root.hidden = !sources.length;
    if (!sources.length) return;
    const first = sources.find(({ name }) => name === default_source) ?? sources[0];
    const chosen = [first, findRival(this.session.model, first)];
    find("#sources").replaceChildren(...sources.map((source) =>
      make("label", { className: "chip" },
        make("input", { type: "checkbox", value: source.name, checked: chosen.includes(source) }), source.name)));
    const able = classes && sources.some((source) => source.class_conditional);
    find("#class-field").hidden = !able;
    fillSelect(this.#classes, [["", "any"], ...(able ? classes : []).map((label) => /** @type {[string, string]} */ ([label, label]))]);
    this.#refresh();
  }

  async #make() {
    const { reference } = this.session;
    const chosen = this.#chosen();
    // Those that were there are filled in place: a new seed makes nothing on the page jump.
    this.#shown = chosen.map((source) =>
      this.#shown.find((batch) => batch.source === source) ?? new Batch(this.session, source));
    this.#batches.replaceChildren(...this.#shown.map(({ root }) => root));
    for (const batch of this.#shown) {
      if (this.session.reference !== reference) return;
      await batch.fill(this.session.call("sample", this.#query(batch.source)));
    }
  }

  /** @returns {Source[]} */
  #chosen() {
    const names = [...this.#form.querySelectorAll("#sources input:checked")].map((box) => /** @type {HTMLInputElement} */ (box).value);
    return this.session.model.sources.filter(({ name }) => names.includes(name));
  }

  /** @param {Source} source */
  #query(source) {
    const label = this.#classes.value;
    return {
      source: source.name,
      count: this.#number("count"),
      seed: this.#number("seed"),
      temperature: this.#number("temperature"),
      ...(label && source.class_conditional ? { class: label } : {}),
    };
  }

  /** @param {string} id */
  #number(id) {
    return /** @type {HTMLInputElement} */ (find(`#${id}`, this.#form)).valueAsNumber;
  }
}

/** What one source made. */
class Batch extends Panel {
  /** @param {Session} session @param {Source} source */
  constructor(session, source) {
    const grid = make("div", { className: "gallery" });
    const title = make("h3", { textContent: source.name });
    const root = make("section", { className: "batch", ariaLabel: `Pictures from ${source.name}` }, title,
      make("p", { className: "hint", textContent: explain(source) }), grid, make("footer", { className: "foot" }));
    super(root, session);
    this.source = source;
    this.grid = grid;
  }

  /** @param {import("../api.js").Call} call */
  async fill(call) {
    await this.run(call, ({ images }) => {
      this.grid.replaceChildren(...images.map((/** @type {string} */ png, /** @type {number} */ index) =>
        makePicture(png, `${this.source.name}, picture ${index + 1}`)));
    });
  }
}

/** @param {Source} source @returns {string} what it does, and how good it was measured to be */
function explain({ name, quality = {} }) {
  const figures = Object.entries(quality).map(([figure, { value, unit }]) =>
    `${figure.replaceAll("_", " ")} ${write(value, 3)}${unit === "percent" ? " %" : ""}`);
  return [EXPLAINED[name] ?? "", figures.join(", ")].filter(Boolean).join(" ");
}

/**
 * The source to stand beside the first, of those whose pictures look like the data: the best by the
 * judge, of another latent space if there is one.
 * @param {import("../api.js").Model} model
 * @param {Source} first
 * @returns {Source | undefined}
 */
function findRival({ sources, metrics }, first) {
  const least = LIKE_DATA * (metrics.floor_recognisable?.value ?? Infinity);
  const distance = (/** @type {Source} */ { quality }) => quality?.validation_frechet?.value ?? Infinity;
  const others = sources
    .filter((source) => source !== first && (source.quality?.recognisable?.value ?? 0) >= least)
    .sort((a, b) => distance(a) - distance(b) || 0);
  return others.find(({ space }) => space !== first.space) ?? others[0];
}
