/**
 * The service's API, as any client uses it: a call is a value that can be sent, sent again for
 * another format, or written down as curl and Python (see snippets.js).
 *
 * @typedef {Object} Call
 * @property {string} path below the service's address, as in "v1/decode"
 * @property {Record<string, string | number>} query parameters
 * @property {{images?: string[], latents?: number[][]}} [body] images are base64 PNG files
 */

/**
 * @typedef {Object} Source
 * @property {string} name
 * @property {string} space "autoencoder", "vae" or "gan"
 * @property {boolean} class_conditional
 * @property {Record<string, {value: number, unit: string}>} [quality]
 */

/**
 * @typedef {Object} Model what `GET /v1/models/{name}` tells, as far as the page uses it
 * @property {string} name
 * @property {number} version
 * @property {number[]} versions
 * @property {boolean} default
 * @property {string[]} operations
 * @property {{channels: number, height: number, width: number, resize: string, background: number[]}} image
 * @property {string[] | null} classes
 * @property {Record<string, {latent_size: number}>} spaces
 * @property {Source[]} sources
 * @property {string | null} default_source
 * @property {Record<string, {value: number, unit: string, split: string, count: number}>} metrics
 * @property {string | null} [report] missing in services that know no reports
 * @property {string | null} [examples] where its test pictures are
 * @property {string[]} [maps] missing in services that know no maps
 */

const KEY = "latentd-key";

/** What the service answered instead of what was asked for: `message` is its own `detail`. */
export class ApiError extends Error {
  /** @param {string} detail @param {number} status */
  constructor(detail, status) {
    super(detail);
    this.status = status;
  }
}

export class Api {
  /** @param {string | URL} base the service's address, whatever prefix a proxy gives it */
  constructor(base) {
    this.base = new URL(base);
  }

  /** The API key, kept until the tab closes; empty where there is none. */
  get key() {
    return sessionStorage.getItem(KEY) ?? "";
  }

  set key(text) {
    if (text) sessionStorage.setItem(KEY, text);
    else sessionStorage.removeItem(KEY);
  }

  /** @param {Call} call @returns {URL} */
  locate(call) {
    const url = new URL(call.path, this.base);
    for (const [name, value] of Object.entries(call.query)) url.searchParams.set(name, String(value));
    return url;
  }

  /** @param {string} path @returns {Promise<any>} */
  async get(path) {
    return (await this.#fetch(new URL(path, this.base), { headers: this.#headers() })).json();
  }

  /** @param {string} path @returns {Promise<Blob>} */
  async getBlob(path) {
    return (await this.#fetch(new URL(path, this.base), { headers: this.#headers() })).blob();
  }

  /** @param {Call} call @returns {Promise<any>} the JSON answer */
  async send(call) {
    return (await this.fetch(call, "application/json")).json();
  }

  /**
   * Send a call for any of the formats that the service gives.
   * @param {Call} call
   * @param {string} accept a media type
   */
  async fetch(call, accept) {
    /** @type {Record<string, string>} */
    const headers = { ...this.#headers(), Accept: accept };
    if (call.body) headers["Content-Type"] = "application/json";
    const body = call.body && JSON.stringify(call.body);
    return this.#fetch(this.locate(call), { method: "POST", headers, body });
  }

  /**
   * Send a file as the body; the service finds out its format.
   * @param {Call} call
   * @param {Blob} file
   * @returns {Promise<any>} the JSON answer
   */
  async sendFile(call, file) {
    const headers = { ...this.#headers(), Accept: "application/json", "Content-Type": "image/png" };
    return (await this.#fetch(this.locate(call), { method: "POST", headers, body: file })).json();
  }

  /** @returns {Record<string, string>} */
  #headers() {
    return this.key ? { Authorization: `Bearer ${this.key}` } : {};
  }

  /** @param {URL} url @param {RequestInit} options */
  async #fetch(url, options) {
    let response;
    try {
      response = await fetch(url, options);
    } catch {
      throw new ApiError("The service cannot be reached.", 0);
    }
    if (!response.ok) throw new ApiError(await readDetail(response), response.status);
    return response;
  }
}

/** @param {Response} response an error, RFC 9457 */
async function readDetail(response) {
  try {
    return (await response.json()).detail ?? response.statusText;
  } catch {
    return `${response.status} ${response.statusText}`;
  }
}
