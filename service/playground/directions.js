/**
 * The directions in which latent codes differ most: their principal components (Jolliffe, Principal
 * Component Analysis, 2002).
 *
 * @typedef {Object} Directions
 * @property {number[]} mean of the codes
 * @property {number[][]} axes unit vectors, orthogonal, the most varied first
 * @property {number[]} deviations of the codes along each axis
 */

const MOST_CODES = [256, 96]; // for short and for long codes: time grows with the smaller side cubed
const LONG = 128;
const SWEEPS = 12; // of Jacobi's method, which converges quadratically
const NEGLIGIBLE = 1e-4; // deviation relative to the first axis

/** @param {number[][]} codes at least two @returns {Directions} */
export function findDirections(codes) {
  const size = codes[0].length;
  const most = MOST_CODES[Number(size > LONG)];
  const picked = codes.filter((_, index) => codes.length <= most || index % Math.ceil(codes.length / most) === 0);
  const mean = Array.from({ length: size }, (_, axis) => sum(picked, (code) => code[axis]) / picked.length);
  const rows = picked.map((code) => code.map((value, axis) => value - mean[axis]));
  const isLong = size > rows.length; // then the smaller matrix of inner products has the same spectrum
  const vectors = isLong ? rows : transpose(rows);
  const { values, basis } = decompose(vectors.map((one) => vectors.map((other) => dot(one, other) / rows.length)));
  const order = values.map((_, index) => index).sort((a, b) => values[b] - values[a]);
  const kept = order.filter((index) => values[index] > NEGLIGIBLE ** 2 * values[order[0]]);
  const axes = kept.map((index) => {
    const weights = basis.map((row) => row[index]);
    return isLong ? normalise(combine(weights, rows)) : weights;
  });
  return { mean, axes, deviations: kept.map((index) => Math.sqrt(values[index])) };
}

/** Directions where no codes are known: the numbers themselves. @param {number} size @param {number} most */
export function makeUnitDirections(size, most) {
  const axes = Array.from({ length: Math.min(size, most) }, (_, index) =>
    Array.from({ length: size }, (_, axis) => Number(axis === index)));
  return { mean: Array(size).fill(0), axes, deviations: axes.map(() => 1) };
}

/** @param {number[]} one @param {number[]} other */
export const dot = (one, other) => one.reduce((total, value, index) => total + value * other[index], 0);

/** @param {number[][]} items @param {(item: number[]) => number} read */
const sum = (items, read) => items.reduce((total, item) => total + read(item), 0);

/** @param {number[][]} rows @returns {number[][]} */
const transpose = (rows) => rows[0].map((_, column) => rows.map((row) => row[column]));

/** @param {number[]} weights @param {number[][]} rows @returns {number[]} */
const combine = (weights, rows) =>
  rows[0].map((_, column) => weights.reduce((total, weight, index) => total + weight * rows[index][column], 0));

/** @param {number[]} vector @returns {number[]} */
function normalise(vector) {
  const length = Math.sqrt(dot(vector, vector));
  return vector.map((value) => value / length);
}

/**
 * Eigenvalues of a symmetric matrix and, in the columns of `basis`, its eigenvectors (Jacobi, 1846).
 * @param {number[][]} matrix is overwritten
 */
function decompose(matrix) {
  const size = matrix.length;
  const basis = matrix.map((_, row) => matrix.map((_, column) => Number(row === column)));
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    for (let p = 0; p < size - 1; p++) {
      for (let q = p + 1; q < size; q++) rotate(matrix, basis, p, q);
    }
  }
  return { values: matrix.map((row, index) => row[index]), basis };
}

/** Make the element (p, q) zero. @param {number[][]} matrix @param {number[][]} basis @param {number} p @param {number} q */
function rotate(matrix, basis, p, q) {
  if (Math.abs(matrix[p][q]) < 1e-15 * Math.sqrt(Math.abs(matrix[p][p] * matrix[q][q])) || !matrix[p][q]) return;
  const ratio = (matrix[q][q] - matrix[p][p]) / (2 * matrix[p][q]);
  const tangent = (ratio < 0 ? -1 : 1) / (Math.abs(ratio) + Math.hypot(ratio, 1));
  const cosine = 1 / Math.hypot(tangent, 1);
  const sine = tangent * cosine;
  for (const rows of [matrix, basis]) {
    for (const row of rows) [row[p], row[q]] = [cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]];
  }
  const [above, below] = [matrix[p], matrix[q]];
  matrix[p] = above.map((value, column) => cosine * value - sine * below[column]);
  matrix[q] = above.map((value, column) => sine * value + cosine * below[column]);
}
