/** Where the picture comes from: a drawing, a file that is opened, dropped or pasted, or a sample. */

import { find } from "../dom.js";
import { fitFile } from "../files.js";
import { keepLatest } from "../latest.js";
import { Pad } from "../pad.js";
import { Panel } from "../panel.js";
import { readPng, writePng } from "../png.js";

const FIRST_SEED = 2;
const SEEDS = 2 ** 32;

/** @typedef {import("../session.js").Session} Session */

export class InputPanel extends Panel {
  #pad = new Pad(/** @type {HTMLCanvasElement} */ (find("#pad")));
  #centre = /** @type {HTMLInputElement} */ (find("#centre"));
  #pen = /** @type {HTMLInputElement} */ (find("#pen"));
  #ink = /** @type {HTMLInputElement} */ (find("#ink"));
  #file = /** @type {HTMLInputElement} */ (find("#file"));

  /** @param {Session} session */
  constructor(session) {
    super(find("#input"), session);
    const draw = keepLatest(() => this.#send());
    this.#pad.onDraw = draw;
    session.on("model", () => this.#adapt());
    session.on("image", () => this.#show());
    find("#surprise").addEventListener("click", () => this.takeSample(Math.floor(Math.random() * SEEDS)));
    find("#wipe").addEventListener("click", () => this.#wipe());
    find("#choose").addEventListener("click", () => this.#file.click());
    this.#file.addEventListener("change", () => this.#take(this.#file.files?.[0]));
    this.#centre.addEventListener("change", () => (this.#pad.beginsAnew = this.#centre.checked));
    this.#pen.addEventListener("input", () => (this.#pad.thickness = this.#pen.valueAsNumber));
    this.#ink.addEventListener("input", () => (this.#pad.colour = this.#ink.value));
    this.#listenForFiles();
  }

  /** Let the model make a picture up. @param {number} seed */
  async takeSample(seed = FIRST_SEED) {
    if (!this.session.can("sample")) return;
    const call = this.session.call("sample", { seed });
    await this.run(call, ({ images }) => this.session.setImage(images[0], false));
  }

  #adapt() {
    const { image, classes } = this.session.model;
    this.clear();
    this.#sent = null;
    this.#pad.adapt(image);
    this.#pad.colour = image.channels === 3 ? this.#ink.value : image.background[0] > 0.5 ? "black" : "white";
    this.#pad.thickness = this.#pen.valueAsNumber;
    find("#ink-field").hidden = image.channels === 1;
    find("#surprise").hidden = !this.session.can("sample");
    // Digits are laid out as MNIST's are; of other data sets nothing is known.
    this.#centre.checked = image.channels === 1 && Boolean(classes?.every((label) => /^\d$/.test(label)));
    this.#pad.beginsAnew = this.#centre.checked;
    find("#centre-field").hidden = image.channels === 3;
    /** @type {HTMLSelectElement} */ (find("#invert")).value = image.channels === 1 && image.background[0] < 0.5 ? "auto" : "false";
  }

  /** Show what came from elsewhere on the pad, to be drawn upon. */
  async #show() {
    const { image, model } = this.session;
    if (image && image !== this.#sent) this.#pad.lay(await readPng(image, model.image.channels));
  }

  /** @type {string | null} what was drawn, and is on the pad already */
  #sent = null;

  async #send() {
    await new Promise(requestAnimationFrame); // the hand goes first: one reading a frame
    this.#sent = await writePng(this.#pad.read(this.#centre.checked));
    this.clear(); // no call made this
    this.session.setImage(this.#sent, true);
  }

  #wipe() {
    this.#pad.wipe();
    this.#pad.canvas.focus();
  }

  #listenForFiles() {
    document.addEventListener("paste", ({ clipboardData }) => this.#take(clipboardData?.files[0]));
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      this.#take(event.dataTransfer?.files[0]);
    });
  }

  /** @param {File | undefined} file */
  async #take(file) {
    if (!file) return;
    await this.attempt(async () => {
      const { value } = /** @type {HTMLSelectElement} */ (find("#invert"));
      const { png, padding } = await fitFile(this.session, file, value);
      this.clear();
      this.session.setImage(png, true, padding);
    });
    this.#file.value = "";
  }
}
