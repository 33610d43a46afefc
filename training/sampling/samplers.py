"""The sources of a bundle's samples: which are made, and what each is fitted to.

Only training and validation images come in here. To add a source: its name in
`sections.SourceName`, its fit, and a line in `_PLANS`.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import torch
from torch import nn

from service.artifact.manifest import NetworkName, SourceSpace, SpaceName
from service.artifact.sources import (
    STORED_SOURCES,
    Centroids,
    FilteredGan,
    RunNetwork,
    Source,
    StandardNormal,
    StoredSource,
    Uniform,
)
from training.data.splits import LabelledImages, Splits
from training.errors import TrainingError
from training.fitting.checkpoints import replace_file
from training.fitting.loop import Examples, divide
from training.fitting.network_set import Networks, encode
from training.recipe.schema import Recipe
from training.recipe.sections import SourceName
from training.sampling.density import (
    Codes,
    Floats,
    Tell,
    fit_class_density,
    fit_density,
    fit_projected_density,
)
from training.sampling.mixture import fit_mixture

_BATCH = 1024


@dataclass(frozen=True, slots=True)
class FittedSampler:
    """A source of latents, and what the manifest says of it."""

    kind: str
    space: SourceSpace
    """Where its latents lie; `manifest.DECODERS` says what makes images of them."""
    source: Source
    content: bytes | None = None
    """Its file, where its kind has one."""
    class_conditional: bool = False
    """Whether every class can be drawn from."""


def fit_samplers(
    recipe: Recipe, splits: Splits, networks: Networks, folder: Path, tell: Tell
) -> dict[str, FittedSampler]:
    """Fit, or read back, every source that the recipe wants and the networks and images allow.

    Args:
        recipe: What to fit.
        splits: The images; the test images are not looked at.
        networks: The trained networks.
        folder: Where fitted sources are kept, a file each.
        tell: Takes a note on each source that is fitted, left out or doubtful.
    """

    @functools.cache
    def give_codes(space: SpaceName) -> Codes:
        return encode_splits(splits, networks, space)

    folder.mkdir(exist_ok=True)
    samplers = _make_unfitted(networks)
    for name in _list_fitted(splits, networks):
        path = folder / name_file(name)
        if not _is_wanted(name, recipe):
            continue
        if path.exists() or _fit(name, recipe, give_codes, path, tell):
            samplers[name] = _read(_PLANS[name], path.read_bytes(), len(splits.classes or ()))
    names = [name for name in get_args(SourceName) if name in samplers and _is_wanted(name, recipe)]
    for name in sorted(set(recipe.samplers.sources or ()) - set(names)):
        tell(f"there is no source {name}: what it needs was not trained, or could not be fitted")
    return {name: samplers[name] for name in names}


def name_file(source: str) -> str:
    """Return the name of a source's file, in a run's folder and in a bundle."""
    return f"{source.replace('-', '_')}.safetensors"


def encode_splits(splits: Splits, networks: Networks, space: SpaceName) -> Codes:
    """Return the codes of the training and of the validation images."""
    vae = networks.vae
    encoder = vae.encoder if space == "vae" and vae is not None else networks.autoencoder.encoder
    device = next(encoder.parameters()).device

    def encode_images(images: LabelledImages) -> Floats:
        codes: Floats = encode(encoder, Examples.from_images(images, device).inputs).cpu().numpy()
        return codes

    return Codes(
        encode_images(splits.train),
        encode_images(splits.validation),
        splits.train.labels,
        splits.validation.labels,
        len(splits.classes or ()),
    )


def give_runner(networks: Networks) -> RunNetwork:
    """Return what runs a network by its manifest's name, a batch at a time, where it lies.

    It knows `encoder`, `decoder`, `vae_decoder` and `generator`, each with one output.
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
            raise TrainingError(f"there is no {name}")
        device = next(module.parameters()).device
        batches = divide(torch.arange(len(inputs)), _BATCH)
        whole = torch.from_numpy(inputs)
        return [torch.cat([module(whole[batch].to(device)).cpu() for batch in batches]).numpy()]

    return run


def fit_global_box(codes: Codes, _: Recipe, __: Tell) -> Uniform:
    """Return the box from the least to the largest number of any code (report 000)."""
    size = codes.training.shape[1]
    low, high = codes.training.min(), codes.training.max()
    return Uniform(np.full(size, low, np.float32), np.full(size, high, np.float32))


def fit_box(codes: Codes, _: Recipe, __: Tell) -> Uniform:
    """Return the box from each dimension's least number to its largest (report 000)."""
    return Uniform(codes.training.min(axis=0), codes.training.max(axis=0))


def fit_centroids(codes: Codes, _: Recipe, __: Tell) -> Centroids:
    """Return each class's mean code, and the deviation about them in each dimension (report 002).

    Raises:
        TrainingError: a class has no training images.
    """
    members = [codes.of_class(label).training for label in range(codes.classes)]
    empty = [str(label) for label, rows in enumerate(members) if not len(rows)]
    if empty:
        raise TrainingError(f"class {', '.join(empty)} has no training images")
    centroids = np.stack([rows.mean(axis=0, dtype=np.float64) for rows in members])
    offsets = codes.training - centroids[codes.training_labels]
    sigma = np.sqrt(np.square(offsets).mean(axis=0))
    return Centroids(centroids.astype(np.float32), sigma.astype(np.float32))


class _Plan(NamedTuple):
    kind: str
    space: SpaceName
    fit: Callable[[Codes, Recipe, Tell], StoredSource]
    needs_classes: bool = False


_PLANS: dict[str, _Plan] = {
    "uniform-global": _Plan("uniform", "autoencoder", fit_global_box),
    "uniform-per-dimension": _Plan("uniform", "autoencoder", fit_box),
    "centroid": _Plan("centroid", "autoencoder", fit_centroids, needs_classes=True),
    "kde": _Plan("kde", "autoencoder", fit_density),
    "class-kde": _Plan("class-kde", "autoencoder", fit_class_density, needs_classes=True),
    "pca-kde": _Plan("pca-kde", "autoencoder", fit_projected_density),
    "gmm": _Plan("gmm", "autoencoder", fit_mixture),
    "vae-uniform-global": _Plan("uniform", "vae", fit_global_box),
    "vae-uniform-per-dimension": _Plan("uniform", "vae", fit_box),
    "vae-kde": _Plan("kde", "vae", fit_density),
    "vae-gmm": _Plan("gmm", "vae", fit_mixture),
}


def _list_fitted(splits: Splits, networks: Networks) -> list[str]:
    return [
        name
        for name, plan in _PLANS.items()
        if (plan.space == "autoencoder" or networks.vae is not None)
        and (splits.classes is not None or not plan.needs_classes)
    ]


def _is_wanted(name: str, recipe: Recipe) -> bool:
    return recipe.samplers.sources is None or name in recipe.samplers.sources


def _fit(
    name: str, recipe: Recipe, give_codes: Callable[[SpaceName], Codes], path: Path, tell: Tell
) -> bool:
    """Fit a source and keep its file; tell why where it cannot be."""

    def warn(note: str) -> None:
        tell(f"warning: {name}: {note}")

    plan = _PLANS[name]
    tell(f"fitting the source {name}")
    try:
        source = plan.fit(give_codes(plan.space), recipe, warn)
    except TrainingError as error:
        warn(f"left out, as {error}")
        return False
    replace_file(path, lambda beside: beside.write_bytes(source.to_bytes()))
    return True


def _read(plan: _Plan, content: bytes, classes: int) -> FittedSampler:
    source = STORED_SOURCES[plan.kind].from_bytes(content)
    conditional = classes > 0 and source.classes.issuperset(range(classes))
    return FittedSampler(plan.kind, plan.space, source, content, conditional)


def _make_unfitted(networks: Networks) -> dict[str, FittedSampler]:
    """Return the sources that draw from N(0, I)."""
    samplers = {}
    if networks.vae is not None:
        prior = StandardNormal(networks.vae.encoder.means.out_features)
        samplers["prior"] = FittedSampler("prior", "vae", prior)
    if networks.gan is not None:
        noise = StandardNormal(networks.gan.noise_size)
        filtered = FilteredGan(noise, give_runner(networks))
        samplers["gan"] = FittedSampler("prior", "gan", noise)
        samplers["gan-filtered"] = FittedSampler("gan-filtered", "autoencoder", filtered)
    return samplers
