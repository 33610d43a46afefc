/** The latent map: thousands of training pictures by their codes, and where the current one lies. */

import { Chart } from "../chart.js";
import { fillSelect, find, make } from "../dom.js";
import { Embedding } from "../embedding.js";
import { keepLatest } from "../latest.js";
import { Panel } from "../panel.js";
import { toUrl } from "../png.js";

const ZOOM = 1.4;
const STEPS = 24; // of the walk, as it is drawn
const NAMES = /** @type {Record<string, string>} */ ({ pca: "PCA", tsne: "t-SNE" });

/** @typedef {import("../session.js").Session} Session */
/** @typedef {import("../embedding.js").MapAnswer} MapAnswer */
/** @typedef {import("../chart.js").Point} Point */

export class MapPanel extends Panel {
  #chart = new Chart(/** @type {HTMLCanvasElement} */ (find("#map-canvas")));
  #projection = /** @type {HTMLSelectElement} */ (find("#projection"));
  #preview = find("#map-preview");
  #legend = find(".legend");
  /** @type {MapAnswer | null} */
  #answer = null;
  /** @type {Embedding | null} */
  #embedding = null;
  /** Which end the next dot becomes. @type {0 | 1} */
  #next = 0;
  /** @type {Point | null} */
  #here = null;
  /** @type {Point[]} */
  #walk = [];

  /** @param {Session} session */
  constructor(session) {
    super(find("#map"), session);
    const load = keepLatest(() => this.#load());
    session.on("model", load);
    session.on("space", load);
    for (const change of /** @type {const} */ (["latent", "ends"])) session.on(change, () => this.#locate());
    this.#projection.addEventListener("change", () => this.#flatten());
    this.#chart.onDraw = (pen, place) => this.#mark(pen, place);
    this.#chart.onPoint = keepLatest((index) => this.#show(index));
    this.#chart.onPick = (index) => this.#pick(index);
    find("#zoom-in").addEventListener("click", () => this.#chart.zoom(ZOOM));
    find("#zoom-out").addEventListener("click", () => this.#chart.zoom(1 / ZOOM));
    find("#zoom-all").addEventListener("click", () => this.#chart.showAll());
  }

  async #load() {
    const { model, space } = this.session;
    const isThere = Boolean(model.maps?.includes(space));
    this.clear();
    this.#answer = this.#embedding = this.#chart.embedding = null;
    this.#preview.hidden = true;
    this.root.hidden = !isThere;
    if (!isThere) return;
    await this.attempt(async () => {
      this.#answer = await this.session.getMap();
      this.#explain();
      const names = Object.keys(this.#answer?.projections ?? {});
      fillSelect(this.#projection, names.map((name) => [name, NAMES[name] ?? name]));
      if (names.includes("tsne")) this.#projection.value = "tsne";
      this.#flatten();
    });
  }

  /** Give each class a colour, and tell which. */
  #explain() {
    const classes = (this.#answer?.labels && this.session.model.classes) || [];
    find("#map-colours").hidden = !classes.length;
    const chips = classes.map((label, index) => {
      const dot = make("i", { className: `class-${index % 10}`, "aria-hidden": "true" });
      return make("li", {}, dot, label);
    });
    this.#legend.replaceChildren(...chips);
    const dots = [...this.#legend.querySelectorAll("i")];
    this.#chart.colours = dots.length ? dots.map((dot) => getComputedStyle(dot).backgroundColor) : ["#888"];
  }

  #flatten() {
    if (!this.#answer) return;
    this.#embedding = new Embedding(this.#answer, this.#projection.value);
    this.#chart.embedding = this.#embedding;
    this.#locate();
  }

  /** Find where the current picture and the walk lie. */
  #locate() {
    const embedding = this.#embedding;
    if (!embedding) return;
    const { latent, ends: [start, end] } = this.session;
    this.#here = latent && embedding.locate(latent);
    this.#walk = start && end ? walk(start.latent, end.latent).map((step) => embedding.locate(step)) : [];
    this.#chart.draw();
  }

  /** @param {number} index of the dot that is pointed at; -1 for none */
  async #show(index) {
    const latent = this.#embedding?.latents[index];
    this.#preview.hidden = !latent;
    if (!latent) return;
    const call = this.session.call("decode", { space: this.session.space }, { latents: [latent] });
    await this.run(call, ({ images }) => {
      const label = this.#name(index);
      find("img", this.#preview).setAttribute("src", toUrl(images[0]));
      find("span", this.#preview).textContent = label;
      find("#map-said").textContent = `${label || "Dot"} ${index + 1} of ${this.#embedding?.places.length}`;
    });
  }

  /** @param {number} index @returns {string} its class */
  #name(index) {
    const label = this.#embedding?.labels?.[index];
    return label === undefined ? "" : (this.session.model.classes?.[label] ?? "");
  }

  /** @param {number} index of the dot that becomes an end of the line */
  #pick(index) {
    const latent = this.#embedding?.latents[index];
    if (!latent) return;
    this.session.setEnds(this.session.ends.map((end, at) => (at === this.#next ? { latent } : end)));
    find("#map-said").textContent = `${this.#name(index)} is the walk\u2019s ${this.#next ? "end" : "start"}`;
    this.#next = this.#next ? 0 : 1;
  }

  /** Mark the walk and the current picture. @param {CanvasRenderingContext2D} pen @param {(point: Point) => Point} place */
  #mark(pen, place) {
    const style = getComputedStyle(this.root);
    pen.strokeStyle = style.color;
    pen.fillStyle = style.color;
    pen.lineWidth = 2;
    if (this.#walk.length) drawWalk(pen, this.#walk.map(place));
    if (this.#here) drawCross(pen, place(this.#here), style.backgroundColor);
  }
}

/** @param {number[]} start @param {number[]} end @returns {number[][]} latents along the line */
const walk = (start, end) =>
  Array.from({ length: STEPS }, (_, step) =>
    start.map((value, axis) => value + (step / (STEPS - 1)) * (end[axis] - value)));

/** @param {CanvasRenderingContext2D} pen @param {Point[]} points */
function drawWalk(pen, points) {
  pen.setLineDash([2, 5]);
  pen.beginPath();
  for (const [x, y] of points) pen.lineTo(x, y);
  pen.stroke();
  pen.setLineDash([]);
  for (const [x, y] of [points[0], points[points.length - 1]]) {
    pen.beginPath();
    pen.arc(x, y, 5, 0, 2 * Math.PI);
    pen.fill();
  }
}

/** @param {CanvasRenderingContext2D} pen @param {Point} at @param {string} halo */
function drawCross(pen, [x, y], halo) {
  for (const [colour, width] of /** @type {[string, number][]} */ ([[halo, 8], [String(pen.fillStyle), 3]])) {
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.beginPath();
    pen.arc(x, y, 9, 0, 2 * Math.PI);
    for (const [right, down] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      pen.moveTo(x + 5 * right, y + 5 * down);
      pen.lineTo(x + 15 * right, y + 15 * down);
    }
    pen.stroke();
  }
}
