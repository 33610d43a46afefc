"""From a run folder to a trained bundle: read, fit, fit the samplers, measure."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from service.artifact.manifest import SpaceName
from service.artifact.maps import LatentMap
from training.data.datasets import read_data
from training.data.splits import Splits
from training.errors import RunError
from training.evaluation.latent_maps import fit_map
from training.evaluation.metrics import Measures, evaluate_networks
from training.evaluation.robustness import Robustness, measure_robustness
from training.evaluation.trained_run import Trained
from training.fitting.checkpoints import is_finished, replace_file
from training.fitting.loop import Examples
from training.fitting.network_set import Networks, encode, fit_networks
from training.fitting.run_folders import (
    MAP_FILE,
    QUALITY_FILE,
    ROBUSTNESS_FILE,
    SAMPLERS_FOLDER,
    Run,
    pin_images,
)
from training.networks.autoencoders import Encoder, VariationalEncoder
from training.recipe.schema import FITTED, Recipe
from training.sampling.bandwidth import choose_bandwidths, set_bandwidths
from training.sampling.judge import fit_judge, locate_judge
from training.sampling.judging import Judgement, Yardstick, judge_sources, read_judgement
from training.sampling.samplers import FittedSampler, fit_samplers, give_runner


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run with its images and its fitted networks."""

    run: Run
    recipe: Recipe
    """The run's, without networks that its images do not allow."""
    splits: Splits
    networks: Networks
    device: torch.device
    tell: Callable[[str], None]
    """Takes a line for the person who waits."""


def fit_run(run: Run, device: torch.device, tell: Callable[[str], None]) -> Prepared:
    """Read a run's images and fit what is not yet fitted.

    Raises:
        DataError: the images cannot be used.
        RunError: they are others than the run was started with.
        TrainingError: a network cannot be fitted.
    """
    run, recipe, splits = _read(run, tell)
    networks = fit_networks(recipe, splits.train, splits.validation, run.folder, device)
    return Prepared(run, recipe, splits, networks, device, tell)


def reopen_run(run: Run, device: torch.device, tell: Callable[[str], None]) -> Prepared:
    """Read a finished run back; nothing is fitted.

    Raises:
        RunError: a network was not fitted to the end, or the images have changed.
    """
    run, recipe, splits = _read(run, tell)
    wanted = [name for name in FITTED if getattr(recipe, name) is not None]
    missing = [name for name in wanted if not is_finished(_locate(name, run, recipe, splits))]
    if missing:
        raise RunError(
            f"{run.folder} is not finished (missing: {', '.join(missing)}): "
            f"`{run.command}` goes on with it"
        )
    networks = fit_networks(recipe, splits.train, splits.validation, run.folder, device)
    return Prepared(run, recipe, splits, networks, device, tell)


def complete_run(prepared: Prepared) -> Trained:
    """Find the samplers and the maps that the run has not yet, and measure on the test images."""
    fitted, measures = _find_samplers(prepared), measure_run(prepared)
    judgement = _judge_samplers(prepared, fitted)
    samplers = set_bandwidths(fitted, judgement.bandwidths)
    return Trained(
        prepared.run,
        prepared.recipe,
        prepared.splits,
        prepared.networks,
        samplers,
        replace(measures, metrics={**measures.metrics, **judgement.floor}),
        _find_maps(prepared),
        _find_robustness(prepared),
        judgement.sources,
    )


def measure_run(prepared: Prepared) -> Measures:
    """Measure a run's networks on the test images."""
    return evaluate_networks(
        prepared.networks, prepared.splits.test, prepared.recipe, prepared.device
    )


def _read(run: Run, tell: Callable[[str], None]) -> tuple[Run, Recipe, Splits]:
    splits = read_data(run.recipe, Path(run.data_root), run.folder)
    for note in splits.notes:
        tell(note)
    counts = ", ".join(f"{count} {name}" for name, count in splits.count().items())
    shape = "x".join(str(size) for size in splits.image.shape)
    tell(f"{splits.dataset}: {counts} images of {shape} (channels x height x width)")
    recipe = run.recipe
    for name in ("classifier", "judge"):
        if splits.classes is None and getattr(recipe, name) is not None:
            tell(f"the images have no classes: no {name} is made")
            recipe = recipe.model_copy(update={name: None})
    return pin_images(run, splits.digest()), recipe, splits


def _locate(name: str, run: Run, recipe: Recipe, splits: Splits) -> Path:
    """Return where a network's checkpoint lies; runs with the same images share a judge."""
    if name == "judge" and recipe.judge is not None:
        return locate_judge(recipe.judge, splits, recipe.seed, run.folder.parent)
    return run.folder / name


def _find_samplers(prepared: Prepared) -> dict[str, FittedSampler]:
    return fit_samplers(
        prepared.recipe,
        prepared.splits,
        prepared.networks,
        prepared.run.folder / SAMPLERS_FOLDER,
        prepared.tell,
    )


def _find_maps(prepared: Prepared) -> dict[SpaceName, LatentMap]:
    networks = prepared.networks
    encoders: dict[SpaceName, Encoder | VariationalEncoder] = {
        "autoencoder": networks.autoencoder.encoder
    }
    if networks.vae is not None:
        encoders["vae"] = networks.vae.encoder
    return {space: _find_map(prepared, space, encoder) for space, encoder in encoders.items()}


def _find_map(
    prepared: Prepared, space: SpaceName, encoder: Encoder | VariationalEncoder
) -> LatentMap:
    path = prepared.run.folder / MAP_FILE.format(space=space)
    if path.exists():
        return LatentMap.from_bytes(path.read_bytes())
    prepared.tell(f"mapping the latent space of the {space}")
    training = prepared.splits.train
    images = Examples.from_images(training, prepared.device).inputs
    codes = encode(encoder, images).cpu().numpy()
    recipe = prepared.recipe
    found = fit_map(codes, training.labels, recipe.map, recipe.seed)
    replace_file(path, lambda beside: beside.write_bytes(found.to_bytes()))
    return found


def _find_robustness(prepared: Prepared) -> Robustness:
    path = prepared.run.folder / ROBUSTNESS_FILE
    if path.exists():
        return Robustness.read(path)
    prepared.tell("measuring robustness to noise and occlusion")
    test, seed = prepared.splits.test, prepared.recipe.seed
    found = measure_robustness(prepared.networks, test, seed, prepared.device)
    found.write(path)
    return found


def _judge_samplers(prepared: Prepared, samplers: dict[str, FittedSampler]) -> Judgement:
    """Judge every source, unless the run has that of the same ones; nothing without a judge."""
    recipe, splits, run = prepared.recipe, prepared.splits, prepared.run
    if recipe.judge is None:
        return Judgement(sources={}, floor={})
    path = run.folder / QUALITY_FILE
    earlier = read_judgement(path)
    if earlier is not None and earlier.sources.keys() == samplers.keys():
        return earlier
    judge = fit_judge(recipe.judge, splits, recipe.seed, run.folder.parent, prepared.device)
    yardstick, give = Yardstick.make(judge, splits, recipe.seed), give_runner(prepared.networks)
    prepared.tell("choosing bandwidths by their samples")
    bandwidths = choose_bandwidths(samplers, yardstick, give, recipe.seed)
    settled = set_bandwidths(samplers, bandwidths)
    found = judge_sources(yardstick, splits, settled, give, recipe.seed)
    found = found.model_copy(update={"bandwidths": bandwidths})
    replace_file(path, lambda beside: beside.write_text(found.model_dump_json(indent=1)))
    return found
