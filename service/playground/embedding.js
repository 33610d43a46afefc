/**
 * A latent map: codes of training pictures and where they lie when flattened to a plane.
 *
 * @typedef {Object} MapAnswer what `GET /v1/models/{name}/maps/{space}` tells
 * @property {string} space
 * @property {number[] | null} labels
 * @property {number[][]} latents
 * @property {Record<string, [number, number][]>} projections by name, one place for each latent
 * @property {{mean: number[], components: number[][]}} pca
 */

const NEIGHBOURS = 5;

export class Embedding {
  /** @param {MapAnswer} answer @param {string} projection a name */
  constructor(answer, projection) {
    this.latents = answer.latents;
    this.labels = answer.labels;
    this.places = answer.projections[projection];
    this.#pca = projection === "pca" ? answer.pca : null;
    const xs = this.places.map(([x]) => x);
    const ys = this.places.map(([, y]) => y);
    /** The smallest box around all places. */
    this.bounds = { left: Math.min(...xs), top: Math.min(...ys), right: Math.max(...xs), bottom: Math.max(...ys) };
  }

  /** @type {MapAnswer["pca"] | null} */
  #pca;

  /**
   * Find where any latent lies: by PCA exactly; otherwise, as t-SNE has no rule for new points,
   * between its nearest codes, the nearer the more.
   * @param {number[]} latent
   * @returns {[number, number]}
   */
  locate(latent) {
    if (this.#pca) return project(latent, this.#pca);
    const near = this.#findNeighbours(latent);
    const weights = near.map(({ distance }) => 1 / (distance + 1e-9));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const mean = (/** @type {0 | 1} */ axis) =>
      near.reduce((sum, { index }, at) => sum + (weights[at] / total) * this.places[index][axis], 0);
    return [mean(0), mean(1)];
  }

  /** @param {number[]} latent */
  #findNeighbours(latent) {
    const all = this.latents.map((code, index) => ({
      index,
      distance: code.reduce((sum, value, axis) => sum + (value - latent[axis]) ** 2, 0),
    }));
    return all.sort((a, b) => a.distance - b.distance).slice(0, NEIGHBOURS);
  }

  /** @param {[number, number]} from @returns {number} the nearest place; -1 where there is none */
  findNearest([x, y]) {
    let [nearest, least] = [-1, Infinity];
    this.places.forEach(([left, top], index) => {
      const distance = (left - x) ** 2 + (top - y) ** 2;
      if (distance < least) [nearest, least] = [index, distance];
    });
    return nearest;
  }

  /**
   * Find the next place in a direction: near, and not far off it.
   * @param {number} from an index
   * @param {[number, number]} direction of length 1
   */
  findNext(from, [right, down]) {
    const [x, y] = this.places[from];
    let [next, least] = [from, Infinity];
    this.places.forEach(([left, top], index) => {
      const along = (left - x) * right + (top - y) * down;
      const aside = Math.abs((left - x) * down - (top - y) * right);
      if (along > 0 && aside <= along && along + 2 * aside < least) [next, least] = [index, along + 2 * aside];
    });
    return next;
  }
}

/** @param {number[]} latent @param {MapAnswer["pca"]} pca @returns {[number, number]} */
function project(latent, { mean, components }) {
  const along = (/** @type {number[]} */ axis) =>
    axis.reduce((sum, weight, index) => sum + weight * (latent[index] - mean[index]), 0);
  return [along(components[0]), along(components[1])];
}
