"""New sample sources for a published bundle: its networks stay, and are run from their graphs."""

from collections.abc import Callable
from pathlib import Path

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
from training.evaluation.metrics import Evaluation
from training.files import replace_bytes
from training.fitting.network_set import NetworkSet
from training.fitting.runs.run_folders import MAP_FILE, SAMPLERS_FOLDER, Run, pin_digest, start_run
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
from training.publishing.bundle import PublishedNetwork, publish_networks
from training.sampling.samplers import sampler_file

_CPU = torch.device("cpu")


def refit_bundle(
    bundle: Bundle, run: Run, store: Store, report_progress: Callable[[str], None]
) -> Bundle:
    """Fit the sources that a bundle lacks, measure all, and publish the next version.

    Args:
        bundle: A bundle that `latentd train` published.
        run: The run folder and the recipe: the bundle's, with further sources.
        store: The models store.
        report_progress: Receives one line per stage.

    Raises:
        RunError: the images are not those of the bundle, or the folder has another recipe.
        ArtifactError: a file of the bundle cannot be used.
    """
    run = start_run(run, fresh=False)
    splits = read_data(run.recipe, Path(run.data_root), run.folder)
    report_summary(splits, report_progress)
    check_images(bundle, splits)
    run = pin_digest(run, splits.digest())
    _copy_samplers(bundle, run.folder)
    networks, evaluation = load_networks(bundle), _read_evaluation(bundle)
    fitted = FittedRun(
        run, run.recipe, splits, networks, _CPU, report_progress, evaluation=evaluation
    )
    return publish_networks(complete_run(fitted), _list_published(bundle), store)


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


def _copy_samplers(bundle: Bundle, folder: Path) -> None:
    """Copy sources and maps to where a run has them, unless they are there."""
    (folder / SAMPLERS_FOLDER).mkdir(exist_ok=True)
    maps = bundle.manifest.maps
    contents = {folder / MAP_FILE.format(space=s): bundle.read(f) for s, f in maps.items()}
    for name, spec in bundle.manifest.samplers.items():
        if spec.file is None or spec.kind == "flow":
            continue
        tensors = read_tensors(bundle.read(spec.file))
        if spec.codes is not None:
            shared = read_tensors(bundle.read(spec.codes), "codes", "labels")
            tensors |= {key: shared[key] for key in ("codes", "labels")}
        contents[folder / SAMPLERS_FOLDER / sampler_file(name)] = bytes(save(tensors))
    for path, content in contents.items():
        if not path.exists():
            replace_bytes(path, content)


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
