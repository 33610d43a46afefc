/** A file of any size and kind that the browser reads, brought to what a model works on. */

import { fromRgba } from "./png.js";

/** @typedef {import("./api.js").Model["image"]} ImageSpec */

/**
 * @param {Blob} file
 * @param {ImageSpec} spec the model's size, colours, background and rule for other sizes
 * @returns {Promise<import("./png.js").Pixels>}
 */
export async function fitFile(file, spec) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error("This file is no picture that the browser can read.");
  }
  const canvas = new OffscreenCanvas(spec.width, spec.height);
  const pen = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  pen.fillStyle = toColour(spec.background);
  pen.fillRect(0, 0, spec.width, spec.height);
  pen.imageSmoothingQuality = "high";
  const [x, y, width, height] = findPlace(bitmap, spec);
  pen.drawImage(bitmap, x, y, width, height);
  return fromRgba(pen.getImageData(0, 0, spec.width, spec.height), spec.channels);
}

/** @param {number[]} background one value a channel, 0 to 1 @returns {string} */
export function toColour(background) {
  const [red, green, blue] = [0, 1, 2].map((channel) => 255 * background[channel % background.length]);
  return `rgb(${red} ${green} ${blue})`;
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
