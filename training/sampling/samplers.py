"""The sample sources of a bundle, fitted to training and validation images.

To add a source: its name in `schema.SourceName`, a fit function, and an entry in `_SPECS`.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import torch
from torch import nn

from service.artifact.samplers import (
    STORED_SAMPLERS,
    Centroids,
    Sampler,
    StandardNormal,
    StoredSampler,
    Uniform,
)
from service.artifact.specs import FLOWS, NetworkName, SamplerSpace, SpaceName
from training.data.splits import Splits
from training.errors import TrainingError
from training.files import replace_bytes
from training.fitting.examples import Examples
from training.fitting.network_set import NetworkSet
from training.networks.layers import find_device
from training.randomness import derive_seed
from training.recipe.schema import Recipe, SourceName
from training.sampling.density import fit_class_density, fit_density, fit_projected_density
from training.sampling.filtered_gan import FilteredGan, RunNetwork
from training.sampling.flows import fit_flow
from training.sampling.latents import Floats, SplitLatents, encode_splits
from training.sampling.mixture import fit_mixture


@dataclass(frozen=True, slots=True)
class FittedSampler:
    """A source of latents and its entry in the manifest."""

    kind: str
    space: SamplerSpace
    """The space of its latents; `specs.DECODERS` names the network that decodes them."""
    source: Sampler
    content: bytes | None = None
    """Its file; None for kinds without parameters."""
    class_conditional: bool = False
    """Whether it can sample every class separately."""


def fit_samplers(
    recipe: Recipe,
    splits: Splits,
    networks: NetworkSet,
    folder: Path,
    report_progress: Callable[[str], None],
) -> dict[str, FittedSampler]:
    """Fit or load every requested source that the networks and the images allow.

    Args:
        recipe: The requested sources and their settings.
        splits: The images; the test images are not read.
        networks: The trained networks.
        folder: Folder of the fitted sources: one file each, and one folder for each flow.
        report_progress: Receives one line for each source that is fitted, skipped or doubtful.
    """

    @functools.cache
    def get_latents(space: SpaceName) -> SplitLatents:
        return encode_splits(splits, networks, space)

    folder.mkdir(exist_ok=True)
    samplers = _make_parameterless(networks)
    for name, spec in _SPECS.items():
        if not spec.is_possible(splits, networks) or not _is_requested(name, recipe):
            continue
        path = folder / sampler_file(name)
        if path.exists() or _fit(name, recipe, get_latents, path, report_progress):
            samplers[name] = _load(spec, path.read_bytes(), len(splits.classes or ()))
    for name, space in _FLOWS.items():
        if recipe.flow is None or space not in networks.spaces or not _is_requested(name, recipe):
            continue
        report_progress(f"fitting source {name}")
        device, seed = find_device(networks.autoencoder), derive_seed(recipe.seed, name)
        try:
            source = fit_flow(get_latents(space), recipe.flow, seed, folder / FLOWS[space], device)
        except TrainingError as error:
            report_progress(f"warning: {name}: skipped: {error}")
            continue
        classes = len(splits.classes or ())
        samplers[name] = _describe("flow", space, source, source.noise, classes)
    names = [n for n in get_args(SourceName) if n in samplers and _is_requested(n, recipe)]
    for name in sorted(set(recipe.samplers.sources or ()) - set(names)):
        report_progress(
            f"skipped source {name}: its network was not trained, or it could not be fitted"
        )
    return {name: samplers[name] for name in names}


def sampler_file(source: str) -> str:
    """Return the file name of a source, in a run folder and in a bundle."""
    return f"{source.replace('-', '_')}.safetensors"


def make_network_runner(networks: NetworkSet) -> RunNetwork:
    """Return a function that runs a network, by its manifest name, on numpy arrays in batches.

    It supports `encoder`, `decoder`, `vae_decoder` and `generator`, each with one output.
    """
    vae = networks.vae
    modules: dict[NetworkName, nn.Module | None] = {
        "encoder": networks.autoencoder.encoder,
        "decoder": networks.autoencoder.decoder,
        "vae_decoder": None if vae is None else vae.decoder,
        "generator": networks.gan,
    }

    @torch.no_grad()
    def run(name: NetworkName, inputs: Floats) -> list[Floats]:
        module = modules[name]
        if module is None:
            raise TrainingError(f"the run has no {name}")
        device = find_device(module)
        batches = Examples(torch.from_numpy(inputs)).batches()
        return [torch.cat([module(batch.to(device)).cpu() for batch, _ in batches]).numpy()]

    return run


def fit_global_box(latents: SplitLatents, _: Recipe, __: Callable[[str], None]) -> Uniform:
    """Return a box with the smallest and largest latent value in every dimension (report 000)."""
    size = latents.training.shape[1]
    low, high = latents.training.min(), latents.training.max()
    return Uniform(np.full(size, low, np.float32), np.full(size, high, np.float32))


def fit_box(latents: SplitLatents, _: Recipe, __: Callable[[str], None]) -> Uniform:
    """Return a box with the smallest and largest value of each dimension (report 000)."""
    return Uniform(latents.training.min(axis=0), latents.training.max(axis=0))


def fit_centroids(latents: SplitLatents, _: Recipe, __: Callable[[str], None]) -> Centroids:
    """Return the mean of each class, and the pooled standard deviation per dimension (report 002).

    Raises:
        TrainingError: a class is missing from the training images.
    """
    members = [latents.of_class(label).training for label in range(latents.classes)]
    empty = [str(label) for label, rows in enumerate(members) if not len(rows)]
    if empty:
        raise TrainingError(f"class {', '.join(empty)} has 0 training images")
    centroids = np.stack([rows.mean(axis=0, dtype=np.float64) for rows in members])
    offsets = latents.training - centroids[latents.training_labels]
    sigma = np.sqrt(np.square(offsets).mean(axis=0))
    return Centroids(centroids.astype(np.float32), sigma.astype(np.float32))


class _Spec(NamedTuple):
    """The kind of a source, the space of its latents, and its fit function."""

    kind: str
    space: SpaceName
    fit: Callable[[SplitLatents, Recipe, Callable[[str], None]], StoredSampler]
    needs_classes: bool = False

    def is_possible(self, splits: Splits, networks: NetworkSet) -> bool:
        """Return whether the networks and the images allow the source."""
        has_space = self.space == "autoencoder" or networks.vae is not None
        return has_space and (splits.classes is not None or not self.needs_classes)


_SPECS: dict[str, _Spec] = {
    "uniform-global": _Spec("uniform", "autoencoder", fit_global_box),
    "uniform-per-dimension": _Spec("uniform", "autoencoder", fit_box),
    "centroid": _Spec("centroid", "autoencoder", fit_centroids, needs_classes=True),
    "kde": _Spec("kde", "autoencoder", fit_density),
    "class-kde": _Spec("class-kde", "autoencoder", fit_class_density, needs_classes=True),
    "pca-kde": _Spec("pca-kde", "autoencoder", fit_projected_density),
    "gmm": _Spec("gmm", "autoencoder", fit_mixture),
    "vae-uniform-global": _Spec("uniform", "vae", fit_global_box),
    "vae-uniform-per-dimension": _Spec("uniform", "vae", fit_box),
    "vae-kde": _Spec("kde", "vae", fit_density),
    "vae-gmm": _Spec("gmm", "vae", fit_mixture),
}


_FLOWS: dict[str, SpaceName] = {"flow": "autoencoder", "vae-flow": "vae"}
"""The space of each source that is a flow."""


def _is_requested(name: str, recipe: Recipe) -> bool:
    return recipe.samplers.sources is None or name in recipe.samplers.sources


def _fit(
    name: str,
    recipe: Recipe,
    get_latents: Callable[[SpaceName], SplitLatents],
    path: Path,
    report_progress: Callable[[str], None],
) -> bool:
    """Fit a source and write its file; return False and warn if it cannot be fitted."""

    def warn(message: str) -> None:
        report_progress(f"warning: {name}: {message}")

    spec = _SPECS[name]
    report_progress(f"fitting source {name}")
    try:
        source = spec.fit(get_latents(spec.space), recipe, warn)
    except TrainingError as error:
        warn(f"skipped: {error}")
        return False
    replace_bytes(path, source.to_bytes())
    return True


def _load(spec: _Spec, content: bytes, classes: int) -> FittedSampler:
    source = STORED_SAMPLERS[spec.kind].from_bytes(content)
    return _describe(spec.kind, spec.space, source, source, classes)


def _describe(
    kind: str, space: SpaceName, source: Sampler, stored: StoredSampler, classes: int
) -> FittedSampler:
    conditional = classes > 0 and stored.classes.issuperset(range(classes))
    return FittedSampler(kind, space, source, stored.to_bytes(), conditional)


def _make_parameterless(networks: NetworkSet) -> dict[str, FittedSampler]:
    """Return the sources that draw from N(0, I)."""
    samplers = {}
    if networks.vae is not None:
        prior = StandardNormal(networks.vae.latent_size)
        samplers["prior"] = FittedSampler("prior", "vae", prior)
    if networks.gan is not None:
        noise = StandardNormal(networks.gan.noise_size)
        filtered = FilteredGan(noise, make_network_runner(networks))
        samplers["gan"] = FittedSampler("prior", "gan", noise)
        samplers["gan-filtered"] = FittedSampler("gan-filtered", "autoencoder", filtered)
    return samplers
