/**
 * Strokes laid out as MNIST's digits are: scaled to fit 20 x 20 of 28 x 28 pixels, then moved so
 * that their centre of mass is the picture's centre (LeCun et al., Proc. IEEE 86, 1998).
 *
 * @typedef {Object} Ink how much of each pixel is covered, 0 to 255
 * @property {number} height
 * @property {number} width
 * @property {ArrayLike<number>} data
 */

const BOX_SHARE = 20 / 28;

/**
 * @param {Ink} ink strokes at the resolution of the screen
 * @param {number} height of the model's pictures
 * @param {number} width of the model's pictures
 * @returns {Float64Array} ink of height x width, 0 to 255
 */
export function centreInk(ink, height, width) {
  const centred = new Float64Array(height * width);
  const box = findBox(ink);
  if (!box) return centred;
  const scale = Math.min((BOX_SHARE * height) / box.height, (BOX_SHARE * width) / box.width);
  const small = shrink(ink, box, Math.max(1, Math.round(box.height * scale)), Math.max(1, Math.round(box.width * scale)));
  const mass = findMass(small);
  const top = Math.round((height - 1) / 2 - mass.y);
  const left = Math.round((width - 1) / 2 - mass.x);
  for (let y = 0; y < small.height; y++) {
    for (let x = 0; x < small.width; x++) {
      const [row, column] = [top + y, left + x];
      if (row < 0 || row >= height || column < 0 || column >= width) continue;
      centred[row * width + column] = small.data[y * small.width + x];
    }
  }
  return centred;
}

/** @param {Ink} ink @param {number} height @param {number} width */
export const shrinkWhole = (ink, height, width) =>
  shrink(ink, { top: 0, left: 0, height: ink.height, width: ink.width }, height, width).data;

/** @param {Ink} ink @returns the smallest box around all ink; null where there is none */
function findBox({ height, width, data }) {
  let [top, left, bottom, right] = [height, width, -1, -1];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!data[y * width + x]) continue;
      [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
      [left, right] = [Math.min(left, x), Math.max(right, x)];
    }
  }
  return bottom < 0 ? null : { top, left, height: bottom - top + 1, width: right - left + 1 };
}

/**
 * Average the area that each new pixel covers.
 * @param {Ink} ink
 * @param {{top: number, left: number, height: number, width: number}} box
 * @param {number} height
 * @param {number} width
 */
function shrink(ink, box, height, width) {
  const rows = weigh(box.height, height);
  const columns = weigh(box.width, width);
  const data = new Float64Array(height * width);
  for (const [y, row, high] of rows) {
    for (const [x, column, wide] of columns) {
      data[y * width + x] += high * wide * ink.data[(box.top + row) * ink.width + box.left + column];
    }
  }
  return { height, width, data };
}

/**
 * @param {number} from old size
 * @param {number} to new size
 * @returns {[number, number, number][]} new index, old index, share of the new that the old makes
 */
function weigh(from, to) {
  /** @type {[number, number, number][]} */
  const shares = [];
  const step = from / to;
  for (let index = 0; index < to; index++) {
    const [start, end] = [index * step, (index + 1) * step];
    for (let old = Math.floor(start); old < Math.min(from, Math.ceil(end - 1e-9)); old++) {
      shares.push([index, old, (Math.min(end, old + 1) - Math.max(start, old)) / step]);
    }
  }
  return shares;
}

/** @param {Ink} ink @returns its centre of mass, in pixels */
function findMass({ height, width, data }) {
  let [total, sumY, sumX] = [0, 0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const value = data[y * width + x];
      total += value;
      sumY += value * y;
      sumX += value * x;
    }
  }
  return { y: sumY / total, x: sumX / total };
}
