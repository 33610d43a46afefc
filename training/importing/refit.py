"""New sample sources and single networks for a published bundle.

Its other networks stay, and are run from their graphs.
"""

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import torch
from safetensors.numpy import save

from service.artifact import SPACE_NETWORKS, Bundle, Store
from service.artifact.specs import ANOMALY_MAPS, FLOWS, NetworkName
from service.artifact.tensor_files import read_reference_errors, read_tensors
from service.errors import ArtifactError
from training.data.datasets import read_data
from training.data.splits import Splits
from training.errors import RunError
from training.evaluation.metrics import Evaluation, evaluate_networks
from training.files import replace_bytes
from training.fitting.examples import Examples
from training.fitting.network_set import NetworkSet, fit_network
from training.fitting.runs.run_folders import MAP_FILE, SAMPLERS_FOLDER, Run, pin_digest, start_run
from training.fitting.tasks import FitContext
from training.importing.networks import (
    ImportedAutoencoder,
    ImportedClassifier,
    ImportedDenoiser,
    ImportedGenerator,
    ImportedVae,
    OnnxNetwork,
)
from training.pipeline import FittedRun, complete_run, report_summary
from training.publishing.batch_size import DEFAULT
from training.publishing.bundle import PublishedNetwork, export_networks, publish_networks
from training.recipe.parsing import parse_recipe
from training.recipe.schema import Recipe
from training.sampling.samplers import sampler_file

_CPU = torch.device("cpu")

RETRAINABLE: dict[str, tuple[NetworkName, ...]] = {
    "denoiser": ("denoiser",),
    "vae": ("vae_encoder", "vae_decoder"),
    "gan": ("generator",),
}
"""The recipe sections that are trained on images alone, and the networks of each."""
_METRICS = {"denoiser": "denoise_mse", "vae": "vae_"}
"""How the names of a section's metrics begin."""
_KINDS = {"density": ("kde", "class-kde", "pca-kde"), "samplers": ("gmm",)}
"""The kinds of stored sources that a section of the recipe determines."""


def refit_bundle(
    bundle: Bundle,
    run: Run,
    store: Store,
    retrained: Collection[str],
    report_progress: Callable[[str], None],
) -> Bundle:
    """Fit the sources that a bundle lacks, measure all, and publish the next version.

    The sources and the map of a retrained network's space are fitted again too.

    Args:
        bundle: A bundle that `latentd train` published.
        run: The run folder and the recipe: the bundle's, with further sources and the sections of
            the retrained networks.
        store: The models store.
        retrained: Sections of `RETRAINABLE` to train again.
        report_progress: Receives one line per stage.

    Raises:
        RunError: the images are not those of the bundle, or the folder has another recipe.
        TrainingError: a network cannot be trained.
        ArtifactError: a file of the bundle cannot be used.
    """
    run = start_run(run, fresh=False)
    splits = read_data(run.recipe, Path(run.data_root), run.folder)
    report_summary(splits, report_progress)
    check_images(bundle, splits)
    run = pin_digest(run, splits.digest())
    _copy_samplers(bundle, run, retrained)
    networks = _retrain(load_networks(bundle), run, splits, retrained)
    evaluation = _evaluate(bundle, networks, run, splits, retrained)
    fitted = FittedRun(
        run, run.recipe, splits, networks, _CPU, report_progress, evaluation=evaluation
    )
    trained = complete_run(fitted)
    names = [name for section in retrained for name in RETRAINABLE[section]]
    exported = _list_published(bundle) | export_networks(trained, names)
    return publish_networks(trained, exported, store)


def check_images(bundle: Bundle, splits: Splits) -> None:
    """Check that the images are those that a bundle was trained on.

    Raises:
        RunError: they are others.
    """
    expected = bundle.manifest.provenance.dataset_digest
    if splits.digest() != expected:
        raise RunError(
            f"expected the images that {bundle.name}@{bundle.version} was trained on "
            f"(digest {expected[:12]}), got {splits.digest()[:12]}; set --data-root or --dataset"
        )


def _retrain(
    networks: NetworkSet, run: Run, splits: Splits, retrained: Collection[str]
) -> NetworkSet:
    """Train, resume or load networks, and return them in place of the bundle's."""
    training, validation = (
        Examples.from_images(images, _CPU) for images in (splits.train, splits.validation)
    )
    context = FitContext(run.recipe, run.folder, _CPU, training, validation)
    trained: dict[str, Any] = {name: fit_network(name, context) for name in retrained}
    return replace(networks, **trained, epochs={**networks.epochs, **context.epochs})


def _evaluate(
    bundle: Bundle, networks: NetworkSet, run: Run, splits: Splits, retrained: Collection[str]
) -> Evaluation:
    """Return the bundle's measurements, with those of retrained networks in their place."""
    published = _read_evaluation(bundle)
    begins = tuple(_METRICS[name] for name in retrained if name in _METRICS)
    if not begins:
        return published
    measured = evaluate_networks(networks, splits.test, run.recipe, _CPU)
    metrics = {name: m for name, m in measured.metrics.items() if name.startswith(begins)}
    errors = measured.vae_errors if "vae" in retrained else published.vae_errors
    return replace(published, metrics={**published.metrics, **metrics}, vae_errors=errors)


def _copy_samplers(bundle: Bundle, run: Run, retrained: Collection[str]) -> None:
    """Copy sources and maps to where a run has them, unless they are there or outdated."""
    folder, outdated = run.folder, _list_outdated(bundle, run.recipe)
    (folder / SAMPLERS_FOLDER).mkdir(exist_ok=True)
    maps = {s: file for s, file in bundle.manifest.maps.items() if s not in retrained}
    contents = {folder / MAP_FILE.format(space=s): bundle.read(f) for s, f in maps.items()}
    for name, spec in bundle.manifest.samplers.items():
        if spec.file is None or spec.kind == "flow":
            continue
        if spec.kind in outdated or spec.space in retrained:
            continue
        tensors = read_tensors(bundle.read(spec.file))
        if spec.codes is not None:
            shared = read_tensors(bundle.read(spec.codes), "codes", "labels")
            tensors |= {key: shared[key] for key in ("codes", "labels")}
        contents[folder / SAMPLERS_FOLDER / sampler_file(name)] = bytes(save(tensors))
    for path, content in contents.items():
        if not path.exists():
            replace_bytes(path, content)


def _list_outdated(bundle: Bundle, recipe: Recipe) -> set[str]:
    """Return the kinds of sources that the bundle has with other settings."""
    published = parse_recipe({**bundle.manifest.provenance.recipe, "name": bundle.name})
    outdated: set[str] = set()
    for section, kinds in _KINDS.items():
        first, second = (
            getattr(each, section).model_dump(exclude={"sources"}) for each in (published, recipe)
        )
        outdated |= set(kinds) if first != second else set()
    return outdated


def load_networks(bundle: Bundle) -> NetworkSet:
    """Return the networks of a bundle, run from their ONNX graphs.

    Raises:
        ArtifactError: a network has no ONNX graph.
    """
    manifest = bundle.manifest
    modules: dict[NetworkName, OnnxNetwork] = {}
    for name, spec in manifest.networks.items():
        if "onnx" not in spec.formats:
            raise ArtifactError(f"{bundle.name}@{bundle.version}: {name} has no onnx graph")
        model = onnx.load_from_string(bundle.read(spec.formats["onnx"].file))
        modules[name] = OnnxNetwork(model, spec.max_batch or DEFAULT)
    vae = gan = None
    if "vae" in manifest.spaces:
        encoder, decoder = (modules[name] for name in SPACE_NETWORKS["vae"])
        error = manifest.metrics["vae_mse"].value
        vae = ImportedVae(encoder, decoder, manifest.spaces["vae"].latent_size, error)
    if "generator" in modules:
        gan = ImportedGenerator(modules["generator"], manifest.latent_size("gan"))
    denoiser, classifier = modules.get("denoiser"), modules.get("classifier")
    return NetworkSet(
        autoencoder=ImportedAutoencoder(modules["encoder"], modules["decoder"]).eval(),
        denoiser=None if denoiser is None else ImportedDenoiser(denoiser).eval(),
        vae=vae,
        classifier=None if classifier is None else ImportedClassifier(classifier).eval(),
        epochs=manifest.provenance.epochs,
        gan=gan,
    )


def _read_evaluation(bundle: Bundle) -> Evaluation:
    """Return the bundle's measurements of its networks."""
    manifest = bundle.manifest
    errors = {
        name: read_reference_errors(bundle.read(space.reference))
        for name, space in manifest.spaces.items()
    }
    return Evaluation(manifest.metrics, errors["autoencoder"], errors.get("vae"))


def _list_published(bundle: Bundle) -> dict[NetworkName, PublishedNetwork]:
    """Return the bundle's networks, without those of flows and detectors, which the run exports."""
    manifest = bundle.manifest
    encoders = {pair[0]: space for space, pair in SPACE_NETWORKS.items()}
    published = {}
    for name, spec in manifest.networks.items():
        if name not in FLOWS.values() and name not in ANOMALY_MAPS:
            files = {graph.file: bundle.read(graph.file) for graph in spec.formats.values()}
            shape = manifest.spaces[encoders[name]].shape if name in encoders else None
            published[name] = PublishedNetwork(spec, files, shape)
    return published
