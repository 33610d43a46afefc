/**
 * The bar at the top: model, version, latent space and API key.
 *
 * @typedef {import("./api.js").Model} Model
 * @typedef {import("./session.js").Session} Session
 */

import { ApiError } from "./api.js";
import { download, fillSelect, find } from "./dom.js";

/**
 * @param {Session} session
 * @returns {() => Promise<void>} asks what is served and chooses what the address or the service says
 */
export function setUpChoices(session) {
  const names = /** @type {HTMLSelectElement} */ (find("#model"));
  const versions = /** @type {HTMLSelectElement} */ (find("#version"));
  const spaces = /** @type {HTMLSelectElement} */ (find("#space"));
  const trouble = find("#trouble");

  /** @param {() => Promise<void>} work */
  async function attempt(work) {
    try {
      await work();
      trouble.hidden = true;
    } catch (error) {
      trouble.textContent = error instanceof Error ? error.message : String(error);
      trouble.hidden = false;
      if (error instanceof ApiError && error.status === 401) askForKey();
    }
  }

  /** @param {string} reference `name` or `name@version` */
  async function choose(reference) {
    const model = /** @type {Model} */ (await session.api.get(`v1/models/${encodeURIComponent(reference)}`));
    names.value = model.name;
    fillSelect(versions, model.versions.map((version) => [String(version), String(version)]));
    versions.value = String(model.version);
    fillSelect(spaces, Object.entries(model.spaces).map(([name, { latent_size }]) => [name, `${name} (${latent_size})`]));
    history.replaceState(null, "", `#${model.name}@${model.version}`);
    session.setModel(model);
    spaces.value = session.space;
    showReport(session);
  }

  names.addEventListener("change", () => attempt(() => choose(names.value)));
  versions.addEventListener("change", () => attempt(() => choose(`${names.value}@${versions.value}`)));
  spaces.addEventListener("change", () => session.setSpace(spaces.value));
  session.addEventListener("locked", askForKey);
  setUpReport(session, attempt);

  const start = () => {
    const wanted = decodeURIComponent(location.hash.slice(1));
    return attempt(async () => {
      const { models } = /** @type {{models: Model[]}} */ (await session.api.get("v1/models"));
      fillSelect(names, models.map(({ name }) => [name, name]));
      const known = models.some(({ name }) => name === wanted.split("@")[0]);
      const first = models.find((model) => model.default) ?? models[0];
      if (!first) throw new Error("No model is served. Train one with: latentd train mnist");
      await choose(known ? wanted : first.name).catch(() => choose(first.name));
    });
  };
  addEventListener("hashchange", start);
  setUpKey(session, start);
  return start;
}

function askForKey() {
  find("#key-box").showPopover();
  find("#key").focus();
}

/** @param {Session} session @param {() => Promise<void>} start */
function setUpKey(session, start) {
  const field = /** @type {HTMLInputElement} */ (find("#key"));
  field.value = session.api.key;
  find("#key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    session.api.key = field.value.trim();
    find("#key-box").hidePopover();
    start();
  });
}

/** @param {Session} session */
function showReport(session) {
  const link = /** @type {HTMLAnchorElement} */ (find("#report"));
  const { report } = session.model;
  link.hidden = !report;
  // Below the page's own address, so that it holds behind a proxy's prefix too.
  if (report) link.href = new URL(report.replace(/^\//, ""), session.api.base).href;
}

/**
 * A link brings no key, so that where one is needed the report is saved instead.
 * @param {Session} session
 * @param {(work: () => Promise<void>) => Promise<void>} attempt
 */
function setUpReport(session, attempt) {
  const link = /** @type {HTMLAnchorElement} */ (find("#report"));
  link.addEventListener("click", (event) => {
    if (!session.api.key) return;
    event.preventDefault();
    attempt(async () => download(await session.api.getBlob(link.href), `${session.model.name}.html`));
  });
}
