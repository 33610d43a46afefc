"""The training pipeline: from a run folder to a trained run and its bundle."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from service.artifact import Bundle, Metric, Store
from service.artifact.maps import LatentMap
from service.artifact.specs import SpaceName
from training.anomaly.detectors import fit_detectors
from training.baseline.measure import Baseline, fit_baseline
from training.data.datasets import read_data
from training.data.splits import LabelledImages, Splits
from training.errors import RunError
from training.evaluation.detectors import measure_detectors
from training.evaluation.latent_maps import fit_latent_map
from training.evaluation.metrics import Evaluation, evaluate_networks
from training.evaluation.robustness import Robustness, measure_robustness
from training.evaluation.trained_run import TrainedRun
from training.files import replace_bytes
from training.fitting.budget import describe_plan, open_time_bar, plan_time
from training.fitting.examples import Examples
from training.fitting.network_set import NetworkSet, encode_images, fit_networks
from training.fitting.runs.checkpoints import is_finished
from training.fitting.runs.continuation import continue_run
from training.fitting.runs.run_folders import (
    DETECTORS_FOLDER,
    MAP_FILE,
    QUALITY_FILE,
    ROBUSTNESS_FILE,
    SAMPLERS_FOLDER,
    Run,
    pin_digest,
    pin_plan,
    start_run,
)
from training.fitting.tasks import FitContext
from training.publishing.bundle import publish_bundle
from training.recipe.schema import NETWORKS, Recipe
from training.report.page import write_report
from training.sampling.bandwidth import choose_bandwidths, set_bandwidths
from training.sampling.judge import fit_judge, locate_judge
from training.sampling.reference_images import ReferenceImages
from training.sampling.samplers import FittedSampler, fit_samplers, make_network_runner
from training.sampling.source_quality import (
    SampleQuality,
    measure_sources,
    read_quality,
)

_ROBUSTNESS_IMAGES = 500
_HELD_IMAGES = 2000  # validation images after each epoch of a timed training


@dataclass(frozen=True, slots=True)
class FittedRun:
    """A run with its images and trained networks, before samplers and measurements."""

    run: Run
    recipe: Recipe
    """The run's recipe, without the networks that its images do not allow."""
    splits: Splits
    networks: NetworkSet
    device: torch.device
    report_progress: Callable[[str], None]
    """Receives one line per stage."""
    baseline: Baseline | None = None
    """None for imported networks."""
    evaluation: Evaluation | None = None
    """Measurements of the networks that exist already; None: they are measured."""

    def evaluate(self) -> Evaluation:
        """Measure the networks and the baseline on the test images."""
        if self.evaluation is not None:
            return self.evaluation
        test = self.splits.test
        evaluation = evaluate_networks(self.networks, test, self.recipe, self.device)
        if self.baseline is None:
            return evaluation
        metrics = {**evaluation.metrics, **self.baseline.measure(test, "test")}
        return replace(evaluation, metrics=metrics)


def train_run(
    run: Run,
    device: torch.device,
    report_progress: Callable[[str], None],
    *,
    fresh: bool,
    origin: Path | None = None,
) -> TrainedRun:
    """Start or resume a run, and complete it.

    Args:
        run: The requested run.
        device: Device of the networks.
        report_progress: Receives one line per stage.
        fresh: Delete an earlier run in the same folder.
        origin: Folder of a finished run whose networks this one continues.

    Raises:
        DataError: the images cannot be used.
        RunError: the run folder belongs to another recipe or data set.
        TrainingError: a network cannot be trained.
    """
    started = start_run(run, fresh=fresh) if origin is None else continue_run(run, origin)
    return complete_run(fit_run(started, device, report_progress))


def preview_run(
    recipe: Recipe,
    data_root: Path,
    device: torch.device,
    report_progress: Callable[[str], None],
) -> None:
    """Read the images of a recipe, and report the summary and the time; nothing is kept.

    Raises:
        DataError: the images cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="latentd-") as scratch:
        splits = read_data(recipe, data_root, Path(scratch))
        report_summary(splits, report_progress)
        context = _settle(
            _drop_networks(recipe, splits, report_progress), splits, Path(scratch), device
        )
        planned = context.recipe if recipe.minutes is None else plan_time(context)
        for line in describe_plan(planned):
            report_progress(line)


def export_run(
    run: Run, store: Store, device: torch.device, report_progress: Callable[[str], None]
) -> tuple[TrainedRun, Bundle]:
    """Publish a finished run as the next version of its bundle.

    Raises:
        RunError: the run is unfinished, or its images have changed.
        ExportError: a graph differs from eager PyTorch.
        ArtifactError: the bundle would be invalid.
    """
    trained = complete_run(load_run(run, device, report_progress))
    return trained, publish_bundle(trained, store)


def evaluate_run(
    run: Run, device: torch.device, report_progress: Callable[[str], None]
) -> dict[str, Metric]:
    """Measure a finished run's networks on its test images again.

    Raises:
        RunError: the run is unfinished, or its images have changed.
    """
    return load_run(run, device, report_progress).evaluate().metrics


def report_run(
    run: Run, folder: Path, device: torch.device, report_progress: Callable[[str], None]
) -> Path:
    """Write the report of a finished run into a folder, and return the page.

    Raises:
        RunError: the run is unfinished, or its images have changed.
    """
    return write_report(complete_run(load_run(run, device, report_progress)), folder)


def fit_run(run: Run, device: torch.device, report_progress: Callable[[str], None]) -> FittedRun:
    """Read a run's images and train its unfinished networks.

    Raises:
        DataError: the images cannot be used.
        RunError: the images have changed since the start of the run.
        TrainingError: a network cannot be trained.
    """
    run, recipe, splits = _read(run, report_progress)
    return _fit(run, recipe, splits, device, report_progress)


def load_run(run: Run, device: torch.device, report_progress: Callable[[str], None]) -> FittedRun:
    """Load a finished run without training.

    Raises:
        RunError: a network is unfinished, or the images have changed.
    """
    run, recipe, splits = _read(run, report_progress)
    recipe = recipe if run.planned is None else run.planned
    required = [n for n in NETWORKS if n != "flow" and getattr(recipe, n) is not None]
    missing = [name for name in required if not is_finished(_locate(name, run, recipe, splits))]
    if missing:
        raise RunError(
            f"{run.folder} is unfinished (missing: {', '.join(missing)}); "
            f"resume it with `{run.command}`"
        )
    return _fit(run, recipe, splits, device, report_progress)


def complete_run(fitted: FittedRun) -> TrainedRun:
    """Fit the missing samplers, detectors and maps, and measure on the test images."""
    recipe, folder, splits = fitted.recipe, fitted.run.folder, fitted.splits
    networks, report_progress = fitted.networks, fitted.report_progress
    likeliest = fit_samplers(recipe, splits, networks, folder / SAMPLERS_FOLDER, report_progress)
    detectors = fit_detectors(recipe, splits, networks, folder / DETECTORS_FOLDER, report_progress)
    evaluation = fitted.evaluate()
    quality = _measure_samplers(fitted, likeliest)
    return TrainedRun(
        fitted.run,
        recipe,
        splits,
        networks,
        set_bandwidths(likeliest, quality.bandwidths),
        measure_detectors(detectors, splits),
        replace(evaluation, metrics={**evaluation.metrics, **quality.floor}),
        {space: _fit_map(fitted, space) for space in networks.spaces},
        _measure_robustness(fitted),
        quality.sources,
    )


def report_summary(splits: Splits, report_progress: Callable[[str], None]) -> None:
    """Report what was read and what was chosen."""
    for note in splits.notes:
        report_progress(note)
    if splits.notes:
        return
    counts = ", ".join(f"{count:,} {name}" for name, count in splits.count().items())
    shape = " x ".join(str(size) for size in splits.image.shape)
    report_progress(f"{splits.dataset}: {counts} images of {shape} (channels x height x width)")


def _read(run: Run, report_progress: Callable[[str], None]) -> tuple[Run, Recipe, Splits]:
    splits = read_data(run.recipe, Path(run.data_root), run.folder)
    report_summary(splits, report_progress)
    recipe = _drop_networks(run.recipe, splits, report_progress)
    return pin_digest(run, splits.digest()), recipe, splits


def _drop_networks(
    recipe: Recipe, splits: Splits, report_progress: Callable[[str], None]
) -> Recipe:
    """Return the recipe without the networks that its images do not allow."""
    for name in ("classifier", "judge"):
        if splits.classes is None and getattr(recipe, name) is not None:
            report_progress(f"skipped {name}: the images have no classes")
            recipe = recipe.model_copy(update={name: None})
    return recipe


def _fit(
    run: Run,
    recipe: Recipe,
    splits: Splits,
    device: torch.device,
    report_progress: Callable[[str], None],
) -> FittedRun:
    """Fit the baseline, settle the recipe at the start of the run, and train what is unfinished."""
    context = _settle(recipe if run.planned is None else run.planned, splits, run.folder, device)
    if run.planned is None and context.recipe.minutes is not None:
        context = replace(context, recipe=plan_time(context))
        run = pin_plan(run, context.recipe)
    for line in describe_plan(context.recipe):
        report_progress(line)
    baseline, bar = context.baseline, open_time_bar(context.recipe)
    networks = fit_networks(replace(context, bar=bar))
    if bar is not None:
        bar.close()
    return FittedRun(run, context.recipe, splits, networks, device, report_progress, baseline)


def _settle(recipe: Recipe, splits: Splits, folder: Path, device: torch.device) -> FitContext:
    """Fit the baseline, and return the trainings with what the data settle."""
    settled, baseline = fit_baseline(recipe, splits)
    image = splits.image
    sizes = {"channels": image.channels, "height": image.height, "width": image.width}
    if settled.minutes is not None:
        settled = settled.model_copy(update={"data": settled.data.model_copy(update=sizes)})
    held = splits.validation if settled.minutes is None else _thin(splits.validation, _HELD_IMAGES)
    training, validation = (Examples.from_images(part, device) for part in (splits.train, held))
    return FitContext(settled, folder, device, training, validation, baseline=baseline)


def _thin(images: LabelledImages, count: int) -> LabelledImages:
    """Return at most `count` images, evenly spaced."""
    chosen = np.linspace(0, len(images) - 1, min(len(images), count))
    return images.take(chosen.astype(np.int64))


def _locate(name: str, run: Run, recipe: Recipe, splits: Splits) -> Path:
    """Return the folder of a network's checkpoint. Runs with the same images share a judge."""
    if name == "judge" and recipe.judge is not None:
        return locate_judge(recipe.judge, splits, recipe.seed, run.folder.parent)
    return run.folder / name


def _fit_map(fitted: FittedRun, space: SpaceName) -> LatentMap:
    path = fitted.run.folder / MAP_FILE.format(space=space)
    if path.exists():
        return LatentMap.from_bytes(path.read_bytes())
    fitted.report_progress(f"mapping the latent space of the {space}")
    training, recipe = fitted.splits.train, fitted.recipe
    images = Examples.from_images(training, fitted.device).inputs
    latents = encode_images(fitted.networks.spaces[space].encoder, images).cpu().numpy()
    latent_map = fit_latent_map(latents, training.labels, recipe.map, recipe.seed)
    replace_bytes(path, latent_map.to_bytes())
    return latent_map


def _measure_robustness(fitted: FittedRun) -> Robustness:
    path = fitted.run.folder / ROBUSTNESS_FILE
    if path.exists():
        return Robustness.read(path)
    fitted.report_progress("measuring robustness to noise and occlusion")
    test, seed = fitted.splits.test, fitted.recipe.seed
    if fitted.recipe.minutes is not None:  # 38 passes over 2,000 images would take a minute
        test = _thin(test, _ROBUSTNESS_IMAGES)
    robustness = measure_robustness(fitted.networks, test, seed, fitted.device)
    robustness.write(path)
    return robustness


def _measure_samplers(fitted: FittedRun, samplers: dict[str, FittedSampler]) -> SampleQuality:
    """Measure every source, unless the stored measurements have the same sources."""
    recipe, splits, run = fitted.recipe, fitted.splits, fitted.run
    if recipe.judge is None:
        return SampleQuality(sources={}, floor={})
    path = run.folder / QUALITY_FILE
    stored = read_quality(path)
    if stored is not None and stored.covers(samplers):
        return stored
    judge = fit_judge(recipe.judge, splits, recipe.seed, run.folder.parent, fitted.device)
    spaces = fitted.networks.spaces
    reference = ReferenceImages.compute(judge, splits, recipe.seed, spaces)
    run_network = make_network_runner(fitted.networks)
    fitted.report_progress("choosing bandwidths by sample quality")
    bandwidths = choose_bandwidths(samplers, reference, run_network, recipe.seed)
    final = set_bandwidths(samplers, bandwidths)
    quality = measure_sources(reference, splits, final, run_network, recipe.seed)
    quality = quality.model_copy(update={"bandwidths": bandwidths})
    replace_bytes(path, quality.model_dump_json(indent=1).encode())
    return quality
