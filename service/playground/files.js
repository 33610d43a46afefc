/**
 * A picture file of any size and kind as the model's input. The service converts it, so that the
 * page gives the results that any other client gets.
 *
 * @typedef {import("./session.js").Session} Session
 */

import { ApiError } from "./api.js";

const UNSUPPORTED = 415;

/**
 * @typedef {Object} Fitted
 * @property {string} png base64, of the model's size
 * @property {number} padding share of the picture that is padding, 0 to 1
 */

/**
 * @param {Session} session
 * @param {Blob} file
 * @param {string} invert "true", "false", or "auto": where the border is light
 * @returns {Promise<Fitted>}
 */
export async function fitFile(session, file, invert) {
  let png;
  try {
    png = await preprocess(session, file, invert);
  } catch (error) {
    if (!(error instanceof ApiError && error.status === UNSUPPORTED)) throw error;
    png = await preprocess(session, await convert(file, error), invert); // a format that the browser knows
  }
  return { png, padding: await measurePadding(file, session.model.image) };
}

/** @param {Session} session @param {Blob} file @param {string} invert */
async function preprocess(session, file, invert) {
  const { images } = await session.api.sendFile(session.call("preprocess", { invert }), file);
  return images[0];
}

/** @param {Blob} file @param {Error} refusal what the service says of it @returns {Promise<Blob>} as PNG */
async function convert(file, refusal) {
  const bitmap = await createImageBitmap(file).catch(() => {
    throw refusal;
  });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

/** @param {Blob} file @param {import("./api.js").Model["image"]} spec @returns {Promise<number>} */
async function measurePadding(file, spec) {
  if (spec.resize !== "pad") return 0;
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return 0;
  const shapes = [bitmap.width / bitmap.height, spec.width / spec.height];
  return 1 - Math.min(...shapes) / Math.max(...shapes);
}
