/**
 * Dots on a canvas, with zoom and pan by wheel, drag, pinch and keys. What the dots mean is the
 * map panel's matter.
 *
 * @typedef {import("./embedding.js").Embedding} Embedding
 * @typedef {[number, number]} Point
 */

const MARGIN = 18;
const DOT = 2.4;
const REACH = 14; // pixels within which a dot is hit
const CLICK = 5; // pixels that a click may move
const ZOOM = 1.4;
const DEEPEST = 60;
const DIRECTIONS = /** @type {Record<string, Point>} */ ({
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
});

export class Chart {
  /** @type {(index: number) => void} a dot is pointed at; -1 for none */
  onPoint = () => {};
  /** @type {(index: number) => void} a dot is picked */
  onPick = () => {};
  /** @type {(pen: CanvasRenderingContext2D, place: (point: Point) => Point) => void} */
  onDraw = () => {};
  /** @type {string[]} one a class */
  colours = [];
  /** @type {Embedding | null} */
  #embedding = null;
  #zoom = 1;
  /** @type {Point} of the map, in the middle of the canvas */
  #middle = [0, 0];
  #pointed = -1;
  /** @type {Map<number, Point>} pointers that are down */
  #down = new Map();
  #moved = 0;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    new ResizeObserver(() => this.draw()).observe(canvas);
    canvas.addEventListener("pointerdown", (event) => this.#press(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#lift(event));
    canvas.addEventListener("pointercancel", ({ pointerId }) => this.#down.delete(pointerId));
    canvas.addEventListener("pointerleave", () => this.#point(-1));
    canvas.addEventListener("wheel", (event) => this.#turn(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.#type(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** @param {Embedding | null} embedding */
  set embedding(embedding) {
    this.#embedding = embedding;
    this.#pointed = -1;
    this.showAll();
  }

  showAll() {
    if (!this.#embedding) return;
    const { left, top, right, bottom } = this.#embedding.bounds;
    this.#zoom = 1;
    this.#middle = [(left + right) / 2, (top + bottom) / 2];
    this.draw();
  }

  /** @param {number} factor over 1 to come nearer @param {Point} [around] a point of the canvas */
  zoom(factor, around) {
    const fixed = around && this.#toMap(around);
    this.#zoom = Math.max(1, Math.min(DEEPEST, this.#zoom * factor));
    if (fixed && around) {
      const drifted = this.#toMap(around);
      this.#middle = [this.#middle[0] + fixed[0] - drifted[0], this.#middle[1] + fixed[1] - drifted[1]];
    }
    this.draw();
  }

  draw() {
    const { canvas } = this;
    const { clientWidth: width, clientHeight: height } = canvas;
    const embedding = this.#embedding;
    if (!embedding || !width) return;
    [canvas.width, canvas.height] = [width * devicePixelRatio, height * devicePixelRatio];
    const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    pen.scale(devicePixelRatio, devicePixelRatio);
    const size = DOT * Math.min(3, this.#zoom ** 0.35);
    embedding.places.forEach((place, index) => {
      const [x, y] = this.#toCanvas(place);
      if (x < -size || y < -size || x > width + size || y > height + size) return;
      pen.fillStyle = this.colours[embedding.labels?.[index] ?? 0];
      pen.globalAlpha = index === this.#pointed ? 1 : 0.72;
      pen.beginPath();
      pen.arc(x, y, index === this.#pointed ? 2.2 * size : size, 0, 2 * Math.PI);
      pen.fill();
    });
    pen.globalAlpha = 1;
    this.onDraw(pen, (point) => this.#toCanvas(point));
  }

  /** Pixels of the canvas that a unit of the map takes. */
  get #scale() {
    const { left, top, right, bottom } = /** @type {Embedding} */ (this.#embedding).bounds;
    const { clientWidth, clientHeight } = this.canvas;
    const [wide, high] = [clientWidth - 2 * MARGIN, clientHeight - 2 * MARGIN];
    return this.#zoom * Math.min(wide / (right - left || 1), high / (bottom - top || 1));
  }

  /** @param {Point} point of the map @returns {Point} */
  #toCanvas([x, y]) {
    const { clientWidth, clientHeight } = this.canvas;
    const scale = this.#scale;
    return [clientWidth / 2 + (x - this.#middle[0]) * scale, clientHeight / 2 + (y - this.#middle[1]) * scale];
  }

  /** @param {Point} point of the canvas @returns {Point} */
  #toMap([x, y]) {
    const { clientWidth, clientHeight } = this.canvas;
    const scale = this.#scale;
    return [(x - clientWidth / 2) / scale + this.#middle[0], (y - clientHeight / 2) / scale + this.#middle[1]];
  }

  /** @param {MouseEvent} event @returns {Point} */
  #find({ clientX, clientY }) {
    const { left, top } = this.canvas.getBoundingClientRect();
    return [clientX - left, clientY - top];
  }

  /** @param {Point} point of the canvas @returns {number} the dot there, or -1 */
  #hit(point) {
    if (!this.#embedding) return -1;
    const index = this.#embedding.findNearest(this.#toMap(point));
    if (index < 0) return -1;
    const [x, y] = this.#toCanvas(this.#embedding.places[index]);
    return Math.hypot(x - point[0], y - point[1]) <= REACH ? index : -1;
  }

  /** @param {number} index */
  #point(index) {
    if (index === this.#pointed) return;
    this.#pointed = index;
    this.draw();
    this.onPoint(index);
  }

  /** @param {PointerEvent} event */
  #press(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.#down.set(event.pointerId, this.#find(event));
    if (this.#down.size === 1) this.#moved = 0;
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const now = this.#find(event);
    const before = this.#down.get(event.pointerId);
    if (!before) {
      if (event.pointerType !== "touch") this.#point(this.#hit(now));
      return;
    }
    const [right, down] = [now[0] - before[0], now[1] - before[1]];
    this.#moved += Math.hypot(right, down);
    const other = [...this.#down].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const spread = (/** @type {Point} */ point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
      this.zoom(spread(now) / (spread(before) || 1), other);
    }
    this.#down.set(event.pointerId, now);
    if (this.#moved > CLICK) this.#pan(right / this.#down.size, down / this.#down.size);
  }

  /** @param {number} right @param {number} down pixels */
  #pan(right, down) {
    if (!this.#embedding) return;
    this.#middle = [this.#middle[0] - right / this.#scale, this.#middle[1] - down / this.#scale];
    this.draw();
  }

  /** @param {PointerEvent} event */
  #lift(event) {
    this.#down.delete(event.pointerId);
    const index = this.#hit(this.#find(event));
    if (this.#down.size || this.#moved > CLICK || index < 0) return;
    this.#point(index);
    this.onPick(index);
  }

  /** Zoom by the wheel once the map is in use; before that the wheel scrolls the page. @param {WheelEvent} event */
  #turn(event) {
    if (document.activeElement !== this.canvas && !event.ctrlKey) return;
    event.preventDefault();
    if (this.#embedding) this.zoom(Math.exp(-event.deltaY / 300), this.#find(event));
  }

  /** @param {KeyboardEvent} event */
  #type(event) {
    const { key } = event;
    const embedding = this.#embedding;
    if (!embedding) return;
    if (key in DIRECTIONS) this.#step(embedding, DIRECTIONS[key]);
    else if (key === "Enter" && this.#pointed >= 0) this.onPick(this.#pointed);
    else if (key === "+" || key === "=") this.zoom(ZOOM);
    else if (key === "-") this.zoom(1 / ZOOM);
    else if (key === "0") this.showAll();
    else return;
    event.preventDefault();
  }

  /** @param {Embedding} embedding @param {Point} direction */
  #step(embedding, direction) {
    const index = this.#pointed < 0 ? embedding.findNearest(this.#middle) : embedding.findNext(this.#pointed, direction);
    this.#point(index);
    const [x, y] = this.#toCanvas(embedding.places[index]);
    const { clientWidth, clientHeight } = this.canvas;
    if (x < 0 || y < 0 || x > clientWidth || y > clientHeight) this.#middle = embedding.places[index];
    this.draw();
  }
}
