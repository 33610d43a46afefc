/**
 * What all panels share: the model, the image, its place in latent space, and the ends of a line.
 * Whoever changes one of them sets it here, and whoever shows it listens.
 *
 * @typedef {import("./api.js").Api} Api
 * @typedef {import("./api.js").Call} Call
 * @typedef {import("./api.js").Model} Model
 *
 * @typedef {Object} End of the line
 * @property {number[]} latent in the session's space
 * @property {string} [png] the picture that it was made from; missing for points of the map
 */

/** Names of the events, each for the member of the same name. */
export const CHANGES = /** @type {const} */ (["model", "space", "image", "latent", "ends"]);

export class Session extends EventTarget {
  /** @type {Model | null} */
  #model = null;
  /** @type {string | null} */
  #image = null;
  /** @type {number[] | null} */
  #latent = null;
  /** @type {(End | null)[]} */
  #ends = [null, null];
  /** @type {{path: string, answer: Promise<any>} | null} */
  #map = null;
  /** Whether the image is the visitor's own, and not a sample of the model. */
  isOwn = false;
  /** Share of the image that is padding, 0 to 1. */
  padding = 0;
  space = "autoencoder";

  /** @param {Api} api */
  constructor(api) {
    super();
    this.api = api;
  }

  /** @returns {Model} the model; panels ask only after it was set */
  get model() {
    if (!this.#model) throw new Error("no model is chosen yet");
    return this.#model;
  }

  /** The image as a base64 PNG of the model's size; null before there is one. */
  get image() {
    return this.#image;
  }

  /** Where the sliders stand; null before an image was encoded. */
  get latent() {
    return this.#latent;
  }

  get ends() {
    return this.#ends;
  }

  /** `name@version`, so that what is on screen stays true when the store changes. */
  get reference() {
    return `${this.model.name}@${this.model.version}`;
  }

  get latentSize() {
    return this.model.spaces[this.space].latent_size;
  }

  /**
   * Fetch the map of the latent space, once for all panels.
   * @returns {Promise<import("./embedding.js").MapAnswer | null>} null if the bundle has none
   */
  getMap() {
    const { model, reference, space } = this;
    const path = `v1/models/${encodeURIComponent(reference)}/maps/${space}`;
    if (!model.maps?.includes(space)) return Promise.resolve(null);
    if (this.#map?.path !== path) this.#map = { path, answer: this.api.get(path) };
    return this.#map.answer;
  }

  /** @param {string} operation */
  can(operation) {
    return this.model.operations.includes(operation);
  }

  /**
   * Make a call of an operation on this model.
   * @param {string} operation
   * @param {Record<string, string | number>} query
   * @param {Call["body"]} [body]
   * @returns {Call}
   */
  call(operation, query = {}, body) {
    return { path: `v1/${operation}`, query: { model: this.reference, ...query }, body };
  }

  /** @param {Model} model */
  setModel(model) {
    const before = this.#model?.image;
    const sides = /** @type {const} */ (["channels", "height", "width"]);
    const fits = before && sides.every((side) => before[side] === model.image[side]);
    this.#model = model;
    if (!(this.space in model.spaces)) this.space = "autoencoder";
    this.#latent = null;
    this.#ends = [null, null];
    this.#image = this.isOwn && fits ? this.#image : null; // what was drawn meets the next model
    this.#tell("model");
    if (this.#image) this.#tell("image");
  }

  /** @param {string} space */
  setSpace(space) {
    this.space = space;
    this.#latent = null;
    this.#tell("space");
  }

  /** @param {string} png base64, of the model's size @param {boolean} isOwn @param {number} padding */
  setImage(png, isOwn, padding = 0) {
    this.#image = png;
    this.isOwn = isOwn;
    this.padding = padding;
    this.#tell("image");
  }

  /** @param {number[]} latent */
  setLatent(latent) {
    this.#latent = latent;
    this.#tell("latent");
  }

  /** @param {(End | null)[]} ends start and end */
  setEnds(ends) {
    this.#ends = ends;
    this.#tell("ends");
  }

  /**
   * Listen; every listener is called again with each change.
   * @param {(typeof CHANGES)[number]} change
   * @param {() => void} listener
   */
  on(change, listener) {
    this.addEventListener(change, listener);
  }

  /** @param {(typeof CHANGES)[number]} change */
  #tell(change) {
    this.dispatchEvent(new Event(change));
  }
}
