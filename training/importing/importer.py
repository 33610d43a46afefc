"""The import of a model: read, find out, wrap, compare, fit the sample sources, publish.

Nothing is published before every step has passed.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from service.artifact import Bundle, Store
from service.artifact.store import check_name
from training.data.splits import LabelledImages, Splits
from training.evaluation.robustness import measure_robustness
from training.evaluation.trained_run import TrainedRun
from training.fitting.network_set import NetworkSet
from training.fitting.runs.run_folders import ROBUSTNESS_FILE, Run
from training.importing.images import limit_images
from training.importing.networks import (
    ImportedAutoencoder,
    ImportedClassifier,
    ImportedDenoiser,
    ImportedVae,
)
from training.importing.options import ImportOptions
from training.importing.reading import Imported, read_networks, to_floats
from training.pipeline import FittedRun, complete_run
from training.publishing.bundle import publish_networks
from training.recipe.parsing import parse_recipe
from training.recipe.schema import Recipe

_CPU = torch.device("cpu")
_MIN_PROBES, _PROBES = 8, 64
_PROBE_BYTES = 16 * 1024 * 1024
_CODE_BYTES = 256 * 1024 * 1024
_STAGE_SECONDS = 60.0
_MAX_IMAGES = 10_000
_MIN_TRAIN, _MIN_TEST, _MIN_SWEPT = 200, 50, 8
ROLES = (
    "encoder",
    "decoder",
    "autoencoder",
    "vae_encoder",
    "vae_decoder",
    "classifier",
    "denoiser",
)


def import_networks(
    options: ImportOptions,
    store: Store,
    scratch: Path,
    report_progress: Callable[[str], None],
    *,
    dry_run: bool = False,
) -> tuple[TrainedRun, Bundle] | None:
    """Import networks and publish them as the next version of a bundle.

    Args:
        options: What to import.
        store: The models store.
        scratch: An empty folder for temporary files.
        report_progress: Receives a line for each decision and stage.
        dry_run: Stop before the sample sources are fitted; None is returned.

    Raises:
        ModelImportError: a network cannot be imported.
        DataError: the images cannot be used.
        RecipeError: the name is invalid.
        ArtifactError: the bundle would be invalid.
    """
    check_name(options.name)
    recipe = make_recipe(options)
    imported = read_networks(options, recipe, scratch, report_progress)
    for name, network in imported.networks.items():
        batch = {None: "", 1: "; one image per run"}.get(
            network.max_batch, f"; at most {network.max_batch} images per run"
        )
        report_progress(f"{name}: largest difference from the original {network.parity:.2g}{batch}")
    if dry_run:
        return None
    trained = _complete(imported, recipe, scratch, report_progress)
    exported = {name: network.publish() for name, network in imported.networks.items()}
    return trained, publish_networks(trained, exported, store)


def _complete(
    imported: Imported, recipe: Recipe, scratch: Path, report_progress: Callable[[str], None]
) -> TrainedRun:
    """Fit the sample sources and maps, and measure on held-out images."""
    networks = _make_network_set(imported)
    splits, tested = _limit_splits(imported, networks, report_progress)
    folder = scratch / "run"
    folder.mkdir(parents=True)
    run = Run(folder, recipe, imported.options.command, str(imported.options.data_root))
    report_progress("measuring robustness to noise and occlusion")
    robustness = measure_robustness(networks, tested, recipe.seed, _CPU)
    robustness.write(folder / ROBUSTNESS_FILE)
    fitted = FittedRun(run, recipe, splits, networks, _CPU, report_progress)
    return replace(complete_run(fitted), imported=imported.describe(recipe))


def _make_network_set(imported: Imported) -> NetworkSet:
    modules = {name: network.to_module() for name, network in imported.networks.items()}
    vae = None
    if "vae_encoder" in modules:
        pair = imported.pairs["vae"]
        size = int(np.prod(pair.choice.code.shape))
        shared = modules["vae_decoder" if len(imported.pairs) > 1 else "decoder"]
        vae = ImportedVae(modules["vae_encoder"], shared, size, pair.choice.error)
    return NetworkSet(
        autoencoder=ImportedAutoencoder(modules["encoder"], modules["decoder"]).eval(),
        denoiser=ImportedDenoiser(modules["denoiser"]).eval() if "denoiser" in modules else None,
        vae=vae,
        classifier=(
            ImportedClassifier(modules["classifier"]).eval() if "classifier" in modules else None
        ),
        epochs={},
    )


def _limit_splits(
    imported: Imported, networks: NetworkSet, report_progress: Callable[[str], None]
) -> tuple[Splits, LabelledImages]:
    """Return the images to fit and to measure with, and those for the robustness measurement.

    Nothing is trained, so a sample is enough: as many images as take about a minute for each of the
    three, and whose codes fit into memory.
    """
    splits, seed = imported.splits, imported.options.seed
    probes = torch.from_numpy(to_floats(splits.test.take(np.arange(min(4, len(splits.test))))))
    start = time.perf_counter()
    with torch.no_grad():
        codes = networks.autoencoder.encoder(probes)
        middle = time.perf_counter()
        networks.autoencoder.decoder(codes)
    encode, decode = (
        (b - a) / len(probes) for a, b in ((start, middle), (middle, time.perf_counter()))
    )
    spaces = len(networks.spaces)
    allowed = imported.options.max_images or _MAX_IMAGES
    by_memory = _CODE_BYTES // (4 * codes[0].numel())
    train = max(_MIN_TRAIN, min(allowed, by_memory, int(_STAGE_SECONDS / (encode * spaces))))
    test = max(_MIN_TEST, min(allowed, int(_STAGE_SECONDS / (4 * spaces * (encode + decode)))))
    swept = max(_MIN_SWEPT, int(_STAGE_SECONDS / (19 * spaces * (encode + decode))))
    limited = replace(
        splits,
        train=limit_images(splits.train, train, seed, "train"),
        validation=limit_images(splits.validation, max(train // 5, _MIN_TEST), seed, "validation"),
        test=limit_images(splits.test, test, seed, "test"),
    )
    if limited.count() != splits.count():
        counts = ", ".join(f"{count} {name}" for name, count in limited.count().items())
        report_progress(f"fitting and measuring with a sample: {counts} images")
    return limited, limit_images(limited.test, swept, seed, "robustness")


def make_recipe(options: ImportOptions) -> Recipe:
    """Return the settings of the sample sources and maps; its networks are not used."""
    has_vae = options.vae_encoder is not None
    members = {"name": options.name, "seed": options.seed, "data": {"dataset": options.data}}
    return parse_recipe({**members, "autoencoder": {}, **({"vae": {}} if has_vae else {})})
