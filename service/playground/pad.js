/** A pad to draw on with mouse, pen, finger or keys; it can have a picture underneath. */

import { centreInk, shrinkWhole } from "./centre.js";
import { makeBlank } from "./pixels.js";
import { toRgba } from "./png.js";

/** @typedef {import("./png.js").Pixels} Pixels */
/** @typedef {import("./api.js").Model["image"]} ImageSpec */

const SIDE = 280; // about as many pixels as a hand can aim at
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Pad {
  onDraw = () => {};
  /** Whether a stroke on another picture wipes it, instead of being drawn upon it. */
  beginsAnew = false;
  thickness = 2; // of the pen, in 28ths of the pad
  colour = "white";
  #ink = new OffscreenCanvas(1, 1); // strokes on nothing
  #under = new OffscreenCanvas(1, 1); // the base, enlarged
  /** @type {ImageSpec} */
  #spec = { channels: 1, height: 28, width: 28, resize: "pad", background: [0] };
  /** @type {Pixels} what lies under the strokes */
  #base = makeBlank(this.#spec);
  #isBlank = true;
  /** @type {{x: number, y: number} | null} where the keyboard's pen is; null while it is unused */
  #cursor = null;
  #isDown = false;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    canvas.addEventListener("pointerdown", (event) => this.#start(event));
    canvas.addEventListener("keydown", (event) => this.#press(event));
    canvas.addEventListener("blur", () => this.#liftCursor());
    this.adapt(this.#spec);
  }

  /** Take a model's size and colours, and begin anew. @param {ImageSpec} spec */
  adapt(spec) {
    this.#spec = spec;
    const scale = Math.max(1, Math.floor(SIDE / Math.max(spec.height, spec.width)));
    for (const canvas of [this.canvas, this.#ink, this.#under]) {
      [canvas.width, canvas.height] = [spec.width * scale, spec.height * scale];
    }
    this.wipe();
  }

  wipe() {
    this.lay(makeBlank(this.#spec));
    this.#isBlank = true;
    this.canvas.parentElement?.classList.add("blank");
  }

  /** Put a picture under what will be drawn. @param {Pixels} pixels */
  lay(pixels) {
    this.#base = pixels;
    this.#isBlank = false;
    this.canvas.parentElement?.classList.remove("blank");
    this.#pen.clearRect(0, 0, this.#ink.width, this.#ink.height);
    const base = new OffscreenCanvas(pixels.width, pixels.height);
    takePen(base).putImageData(toRgba(pixels), 0, 0);
    const pen = takePen(this.#under);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(base, 0, 0, this.#under.width, this.#under.height);
    this.#paint();
  }

  /**
   * Read what is on the pad at the model's size.
   * @param {boolean} centred whether strokes on an empty pad are laid out as MNIST's are
   * @returns {Pixels}
   */
  read(centred) {
    const { height, width, channels } = this.#spec;
    const data = new Uint8ClampedArray(height * width * channels);
    if (centred && this.#isBlank) {
      const cover = centreInk(takePlane(this.#pen, 3), height, width);
      const colour = toChannels(this.colour, channels);
      data.forEach((_, index) => {
        const below = this.#base.data[index];
        const share = cover[Math.floor(index / channels)] / 255;
        data[index] = Math.round(below + share * (colour[index % channels] - below));
      });
    } else {
      const pen = takePen(new OffscreenCanvas(this.#ink.width, this.#ink.height));
      pen.drawImage(this.#under, 0, 0);
      pen.drawImage(this.#ink, 0, 0);
      for (let channel = 0; channel < channels; channel++) {
        const plane = shrinkWhole(takePlane(pen, channel), height, width);
        plane.forEach((value, index) => (data[channels * index + channel] = Math.round(value)));
      }
    }
    return { ...this.#base, data };
  }

  get #pen() {
    return takePen(this.#ink);
  }

  #paint() {
    const pen = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    pen.drawImage(this.#under, 0, 0);
    pen.drawImage(this.#ink, 0, 0);
    if (this.#cursor) this.#paintCursor(pen, this.#cursor);
  }

  /** @param {CanvasRenderingContext2D} pen @param {{x: number, y: number}} at */
  #paintCursor(pen, { x, y }) {
    pen.strokeStyle = this.#isDown ? "orangered" : "grey";
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(x, y, this.#breadth / 2 + 2, 0, 2 * Math.PI);
    pen.stroke();
  }

  get #breadth() {
    return (this.thickness * Math.min(this.#ink.width, this.#ink.height)) / 28;
  }

  /** @param {PointerEvent} event */
  #start(event) {
    if (event.button !== 0) return;
    event.preventDefault(); // no selection, no scrolling
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    let last = this.#locate(event);
    this.#stroke(last, last);
    const move = (/** @type {PointerEvent} */ moved) => {
      for (const step of moved.getCoalescedEvents?.() ?? [moved]) {
        const next = this.#locate(step);
        this.#stroke(last, next);
        last = next;
      }
    };
    this.canvas.addEventListener("pointermove", move);
    for (const end of ["pointerup", "pointercancel"]) {
      this.canvas.addEventListener(end, () => this.canvas.removeEventListener("pointermove", move), { once: true });
    }
  }

  /** @param {PointerEvent} event */
  #locate(event) {
    const box = this.canvas.getBoundingClientRect();
    const across = (event.clientX - box.left) / box.width;
    const down = (event.clientY - box.top) / box.height;
    return { x: across * this.canvas.width, y: down * this.canvas.height };
  }

  /** @param {{x: number, y: number}} from @param {{x: number, y: number}} to */
  #stroke(from, to) {
    if (this.beginsAnew && !this.#isBlank) this.wipe();
    const pen = this.#pen;
    pen.strokeStyle = this.colour;
    pen.lineWidth = this.#breadth;
    pen.lineCap = pen.lineJoin = "round";
    pen.beginPath();
    pen.moveTo(from.x, from.y);
    pen.lineTo(to.x + 0.01, to.y); // a dot is a line too
    pen.stroke();
    this.canvas.parentElement?.classList.remove("blank");
    this.#paint();
    this.onDraw();
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    if (event.key === "Escape") this.wipe();
    else if (event.key === " ") this.#isDown = !this.#isDown;
    else if (!(event.key in KEYS)) return;
    event.preventDefault();
    this.#cursor ??= { x: this.canvas.width / 2, y: this.canvas.height / 2 };
    const [right, down] = KEYS[/** @type {keyof typeof KEYS} */ (event.key)] ?? [0, 0];
    const step = this.#breadth / 2;
    const next = { x: this.#cursor.x + right * step, y: this.#cursor.y + down * step };
    if (this.#isDown) this.#stroke(this.#cursor, next);
    this.#cursor = next;
    this.#paint();
  }

  #liftCursor() {
    this.#cursor = null;
    this.#isDown = false;
    this.#paint();
  }
}

/** @param {OffscreenCanvas} canvas @returns {OffscreenCanvasRenderingContext2D} */
const takePen = (canvas) =>
  /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));

/**
 * @param {OffscreenCanvasRenderingContext2D} pen
 * @param {number} channel 0 to 2, or 3 for how much is covered
 * @returns {import("./centre.js").Ink}
 */
function takePlane(pen, channel) {
  const { width, height } = pen.canvas;
  const rgba = pen.getImageData(0, 0, width, height).data;
  const data = new Uint8ClampedArray(width * height);
  for (let index = 0; index < data.length; index++) data[index] = rgba[4 * index + channel];
  return { width, height, data };
}

/** @param {string} colour as CSS writes it @param {number} channels @returns {number[]} 0 to 255 */
function toChannels(colour, channels) {
  const pen = takePen(new OffscreenCanvas(1, 1));
  pen.fillStyle = colour;
  pen.fillRect(0, 0, 1, 1);
  return [...pen.getImageData(0, 0, 1, 1).data.slice(0, channels)];
}
