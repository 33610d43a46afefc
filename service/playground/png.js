/**
 * Pixels and PNG files. A picture is what the API has: a PNG file in base64. Its pixels are looked
 * at only where something is computed from them.
 *
 * @typedef {Object} Pixels
 * @property {1 | 3} channels grey, or red, green and blue
 * @property {number} height
 * @property {number} width
 * @property {Uint8ClampedArray} data of height x width x channels
 */

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const COLOUR_TYPES = { 1: 0, 3: 2 };
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

/** @param {string} png base64 @returns the address of an image element */
export const toUrl = (png) => `data:image/png;base64,${png}`;

/** @param {string} text base64 @returns {Uint8Array<ArrayBuffer>} */
export const fromBase64 = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));

/**
 * Read a picture's pixels.
 * @param {string} png base64
 * @param {number} channels the model's
 * @returns {Promise<Pixels>}
 */
export async function readPng(png, channels) {
  const blob = new Blob([fromBase64(png)], { type: "image/png" });
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const pen = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  pen.drawImage(bitmap, 0, 0);
  return fromRgba(pen.getImageData(0, 0, bitmap.width, bitmap.height), channels);
}

/**
 * Keep a canvas's colours, or their lightness (ITU-R 601, as the service).
 * @param {ImageData} image opaque
 * @param {number} channels
 * @returns {Pixels}
 */
export function fromRgba({ data, width, height }, channels) {
  const kept = new Uint8ClampedArray(width * height * channels);
  for (let i = 0; i < width * height; i++) {
    const [red, green, blue] = data.subarray(4 * i, 4 * i + 3);
    if (channels === 1) kept[i] = 0.299 * red + 0.587 * green + 0.114 * blue;
    else kept.set([red, green, blue], 3 * i);
  }
  return { channels: channels === 1 ? 1 : 3, height, width, data: kept };
}

/** @param {Pixels} pixels @returns {ImageData} */
export function toRgba({ channels, height, width, data }) {
  const rgba = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) rgba[4 * i + c] = data[channels * i + (channels === 1 ? 0 : c)];
  }
  return new ImageData(rgba, width, height);
}

/**
 * Write pixels as a PNG file. Not by a canvas: some browsers blur what is read from it.
 * @param {Pixels} pixels
 * @returns {Promise<string>} base64
 */
export async function writePng({ channels, height, width, data }) {
  const rows = new Uint8Array(height * (1 + width * channels)); // each row begins with filter 0
  for (let y = 0; y < height; y++) {
    const row = data.subarray(y * width * channels, (y + 1) * width * channels);
    rows.set(row, y * (1 + width * channels) + 1);
  }
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, COLOUR_TYPES[channels]], 8);
  const deflated = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const content = new Uint8Array(await new Response(deflated).arrayBuffer());
  const file = [
    ...SIGNATURE,
    ...chunk("IHDR", header),
    ...chunk("IDAT", content),
    ...chunk("IEND", new Uint8Array()),
  ];
  return btoa(file.map((byte) => String.fromCharCode(byte)).join(""));
}

/** @param {string} kind @param {Uint8Array} content */
function chunk(kind, content) {
  const framed = new Uint8Array(content.length + 12);
  const view = new DataView(framed.buffer);
  view.setUint32(0, content.length);
  framed.set([...kind].map((char) => char.charCodeAt(0)), 4);
  framed.set(content, 8);
  let crc = 0xffffffff;
  for (const byte of framed.subarray(4, -4)) crc = CRC_TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  view.setUint32(content.length + 8, ~crc >>> 0);
  return framed;
}
