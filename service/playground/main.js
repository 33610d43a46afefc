/** Where the page begins: the models are asked for, the panels are made, a first picture is taken. */

import { Api } from "./api.js";
import { setUpChoices } from "./choices.js";
import { find, make, write } from "./dom.js";
import { setUpMenu } from "./picture.js";
import { Session } from "./session.js";
import { ClassifyPanel } from "./panels/classify.js";
import { CodePanel } from "./panels/code.js";
import { DenoisePanel } from "./panels/denoise.js";
import { DetectPanel } from "./panels/detect.js";
import { ExamplesPanel } from "./panels/examples.js";
import { GeneratePanel } from "./panels/generate.js";
import { InputPanel } from "./panels/input.js";
import { LinePanel } from "./panels/line.js";
import { MapPanel } from "./panels/map.js";
import { ReconstructPanel } from "./panels/reconstruct.js";

const session = new Session(new Api(new URL(".", document.baseURI)));
const input = new InputPanel(session);
const examples = new ExamplesPanel(session);
const line = new LinePanel(session);
for (const PanelOfImage of [ClassifyPanel, ReconstructPanel, DenoisePanel, DetectPanel, CodePanel, MapPanel, GeneratePanel]) {
  new PanelOfImage(session);
}
setUpMenu(session, (index, png) => line.setEnd(index, png));
session.on("model", showModel);
const choose = setUpChoices(session);
session.on("model", async () => {
  const { reference } = session;
  const loaded = examples.load();
  const first = session.model.examples ? await loaded : null; // samples need not be waited for
  if (session.reference !== reference) return;
  if (!session.image && first) session.setImage(first, false);
  else if (!session.image) await input.takeSample();
  await line.takeEnds();
});
await choose();

/** Tell what the model is: its sizes within the text, its figures, and what it lacks. */
function showModel() {
  const { image, metrics, operations, sources } = session.model;
  const aspect = `${image.width} / ${image.height}`;
  document.documentElement.style.setProperty("--aspect", aspect);
  showSpace();
  setFact("pixels", String(image.channels * image.height * image.width));
  const lacking = [
    ...(operations.includes("classify") ? [] : ["a classifier"]),
    ...(operations.includes("denoise") ? [] : ["a denoiser"]),
    ...(operations.includes("detect") ? [] : ["detectors"]),
    ...(sources.length ? [] : ["sample sources"]),
    ...("vae" in session.model.spaces ? [] : ["a VAE"]),
    ...(session.model.maps?.length ? [] : ["a latent map"]),
  ];
  find("#lacks").textContent = lacking.length
    ? `${session.reference} was published without ${lacking.join(", ")}.` : "";
  find("#figures").replaceChildren(
    ...Object.entries(metrics).map(([name, { value, unit, split }]) =>
      make("div", {}, make("dt", { textContent: name.replaceAll("_", " ") }),
        make("dd", { textContent: `${write(value, 4)} ${unit}, ${split}` }))),
  );
}
session.on("space", showSpace);

function showSpace() {
  setFact("latent", String(session.latentSize));
}

/** @param {string} name @param {string} text */
function setFact(name, text) {
  for (const fact of document.querySelectorAll(`[data-fact="${name}"]`)) fact.textContent = text;
}
