/**
 * Arithmetic on pixels; nothing here knows the page.
 *
 * @typedef {import("./png.js").Pixels} Pixels
 * @typedef {import("./api.js").Model["image"]} ImageSpec
 */

/** @param {ImageSpec} spec @returns {Pixels} the bundle's background and nothing on it */
export function makeBlank({ channels, height, width, background }) {
  const data = new Uint8ClampedArray(height * width * channels);
  for (let i = 0; i < data.length; i++) data[i] = 255 * background[i % channels];
  return { channels: channels === 1 ? 1 : 3, height, width, data };
}

/**
 * Add Gaussian noise, clipped at black and white. The same seed gives the same noise, so that
 * only its strength changes while a slider is dragged.
 * @param {Pixels} pixels
 * @param {number} deviation in units of the whole range from black to white
 * @param {number} seed
 * @returns {Pixels}
 */
export function addNoise(pixels, deviation, seed) {
  const random = makeRandom(seed);
  const data = pixels.data.map((value) => {
    const radius = Math.sqrt(-2 * Math.log(1 - random())); // Box and Muller
    return Math.round(value + 255 * deviation * radius * Math.cos(2 * Math.PI * random()));
  });
  return { ...pixels, data };
}

/** @param {number} seed @returns {() => number} uniform in [0, 1): Mulberry32 */
export function makeRandom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Show where two pictures differ: red where the second is lighter, blue where it is darker.
 * @param {Pixels} before
 * @param {Pixels} after of the same size
 * @returns {ImageData}
 */
export function mapError(before, after) {
  const { channels, height, width } = before;
  const rgba = new Uint8ClampedArray(4 * width * height);
  for (let i = 0; i < width * height; i++) {
    let difference = 0;
    for (let c = 0; c < channels; c++) {
      difference += (after.data[channels * i + c] - before.data[channels * i + c]) / channels;
    }
    const strength = Math.min(1, Math.abs(difference) / 128);
    const [red, green, blue] = difference > 0 ? [255, 92, 53] : [64, 156, 255];
    rgba.set([red * strength, green * strength, blue * strength, 255], 4 * i);
  }
  return new ImageData(rgba, width, height);
}

/**
 * Lay the places over a threshold on a picture, in red.
 * @param {Pixels} pixels
 * @param {number[][]} heat the score of each pixel
 * @param {number} threshold places over it are marked, the more the higher they are
 * @returns {ImageData}
 */
export function paintHeat(pixels, heat, threshold) {
  const { channels, height, width, data } = pixels;
  const rgba = new Uint8ClampedArray(4 * width * height);
  for (let i = 0; i < width * height; i++) {
    const over = heat[Math.floor(i / width)][i % width] - threshold;
    const weight = over > 0 ? Math.min(0.85, 0.35 + over / 2) : 0;
    for (let c = 0; c < 3; c++) {
      rgba[4 * i + c] = (1 - weight) * data[channels * i + (channels === 1 ? 0 : c)] + weight * [255, 60, 40][c];
    }
    rgba[4 * i + 3] = 255;
  }
  return new ImageData(rgba, width, height);
}
