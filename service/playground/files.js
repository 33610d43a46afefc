/** A file of any size and kind that the browser reads, brought to what a model works on. */

import { hasLightBorder } from "./pixels.js";
import { fromRgba } from "./png.js";

const MOST = 1024; // pixels a side that are looked at; models see far fewer

/** @typedef {import("./api.js").Model["image"]} ImageSpec */

/**
 * Do as the service does with files: transparency, turning dark into light, and last the size.
 * @param {Blob} file
 * @param {ImageSpec} spec the model's size, colours, background and rule for other sizes
 * @param {string} invert "true", "false", or "auto": where the border is light
 * @returns {Promise<import("./png.js").Pixels>}
 */
export async function fitFile(file, spec, invert) {
  const picture = flatten(await open(file), spec);
  const { width, height } = picture.canvas;
  const isLight = () => hasLightBorder(fromRgba(picture.getImageData(0, 0, width, height), 1));
  if (invert === "true" || (invert === "auto" && isLight())) turn(picture);
  const fitted = makePage(spec.width, spec.height, spec);
  fitted.imageSmoothingQuality = "high";
  fitted.drawImage(picture.canvas, ...findPlace(picture.canvas, spec));
  return fromRgba(fitted.getImageData(0, 0, spec.width, spec.height), spec.channels);
}

/** @param {Blob} file */
async function open(file) {
  try {
    return await createImageBitmap(file);
  } catch {
    throw new Error("This file is no picture that the browser can read.");
  }
}

/** @param {ImageBitmap} bitmap @param {ImageSpec} spec @returns a canvas with it on the background */
function flatten(bitmap, spec) {
  const scale = Math.min(1, MOST / Math.max(bitmap.width, bitmap.height));
  const page = makePage(Math.ceil(bitmap.width * scale), Math.ceil(bitmap.height * scale), spec);
  page.drawImage(bitmap, 0, 0, page.canvas.width, page.canvas.height);
  return page;
}

/** Turn dark into light. @param {OffscreenCanvasRenderingContext2D} page */
function turn(page) {
  page.globalCompositeOperation = "difference";
  page.fillStyle = "white";
  page.fillRect(0, 0, page.canvas.width, page.canvas.height);
}

/** @param {number} width @param {number} height @param {ImageSpec} spec */
function makePage(width, height, { background }) {
  const canvas = new OffscreenCanvas(width, height);
  const pen = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  const [red, green, blue] = [0, 1, 2].map((channel) => 255 * background[channel % background.length]);
  pen.fillStyle = `rgb(${red} ${green} ${blue})`;
  pen.fillRect(0, 0, width, height);
  return pen;
}

/**
 * @param {{width: number, height: number}} bitmap
 * @param {ImageSpec} spec
 * @returns {[number, number, number, number]} left, top, width and height of the whole picture
 */
function findPlace(bitmap, spec) {
  if (spec.resize === "stretch") return [0, 0, spec.width, spec.height];
  const scales = [spec.width / bitmap.width, spec.height / bitmap.height];
  const scale = spec.resize === "crop" ? Math.max(...scales) : Math.min(...scales);
  const [width, height] = [bitmap.width * scale, bitmap.height * scale];
  return [(spec.width - width) / 2, (spec.height - height) / 2, width, height];
}
