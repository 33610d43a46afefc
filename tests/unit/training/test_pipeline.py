"""The pipeline from a run folder to a bundle."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from training import pipeline
from training.data.datasets import read_data
from training.data.splits import LabelledImages, Splits
from training.errors import RunError
from training.fitting.runs.run_folders import Run, start_run
from training.pipeline import complete_run, fit_run, load_run
from training.publishing.bundle import publish_bundle
from training.recipe.parsing import override, parse_recipe, read_recipe
from training.recipe.schema import Recipe
from training.sampling.source_quality import choose_source

CPU = torch.device("cpu")


FEW = [("density.search_codes", 50), ("detection.steps", 5)]
TINY_FLOW = [("flow.epochs", 1), ("flow.pairs", 64), ("flow.distillation_epochs", 1)]


def make_recipe() -> Recipe:
    """Return the digits recipe with tiny networks and one epoch each."""
    tiny = {"channels": [4], "hidden": 8, "latent_size": 2, "epochs": 1, "batch_size": 64}
    members = read_recipe("digits")
    changes = [
        (f"{name}.{key}", value)
        for name in ("autoencoder", "denoiser", "vae")
        for key, value in tiny.items()
    ]
    return parse_recipe(override(members, [*changes, *TINY_FLOW, ("classifier.epochs", 1), *FEW]))


def make_run(folder: Path) -> Run:
    """Return a started run."""
    return start_run(Run(folder, make_recipe(), "latentd train digits", "data"), fresh=False)


class Untouchable(LabelledImages):
    """Test images that can be counted, but not read."""

    def __init__(self, count: int) -> None:
        """Store the count."""
        object.__setattr__(self, "count", count)

    def __len__(self) -> int:
        """Return the count."""
        return self.count

    def __getattribute__(self, name: str) -> object:
        """Fail on pixels and labels."""
        if name in {"pixels", "labels", "take"}:
            raise AssertionError(f"access to {name} of the test images")
        return object.__getattribute__(self, name)


def test_training_and_samplers_do_not_read_test_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the evaluation fails with unreadable test images."""
    digits = read_data(make_recipe(), tmp_path, tmp_path)
    splits = replace(digits, test=Untouchable(360))
    monkeypatch.setattr(pipeline, "read_data", lambda *_: splits)
    monkeypatch.setattr(Splits, "digest", lambda _: "0" * 64)

    fitted = fit_run(make_run(tmp_path / "run"), CPU, print)

    with pytest.raises(AssertionError, match="of the test images"):
        complete_run(fitted)  # the samplers are fitted first, then the evaluation fails
    assert (tmp_path / "run" / "samplers" / "kde.safetensors").exists()


def test_an_unfinished_run_cannot_be_loaded(tmp_path: Path) -> None:
    """The error names the missing network and the command that resumes the run."""
    run = make_run(tmp_path / "run")
    fit_run(run, CPU, print)
    (tmp_path / "run" / "vae" / "checkpoint.pt").unlink()

    with pytest.raises(RunError, match=r"missing: vae\); resume it with `latentd train digits`"):
        load_run(run, CPU, print)


def test_the_samplers_are_fitted_once(tmp_path: Path) -> None:
    """A second completion loads the files of the first."""
    lines: list[str] = []
    fitted = fit_run(make_run(tmp_path / "run"), CPU, lines.append)

    first, again = complete_run(fitted).samplers, complete_run(fitted).samplers

    assert lines.count("fitting source kde") == 1
    assert again["kde"].content == first["kde"].content


def make_judged_run(folder: Path) -> Run:
    """Return a started run with a GAN and a judge."""
    changes = [
        ("gan", {"noise_size": 4, "hidden": [8], "epochs": 1}),
        ("judge", {"channels": [8], "hidden": 8, "epochs": 2}),
        ("samplers.sources", ["kde", "flow", "gan", "gan-filtered"]),
        ("map", {"points": 50, "perplexity": 5.0}),
    ]
    members = make_recipe().model_dump(mode="json", exclude={"denoiser", "vae"}, exclude_none=True)
    recipe = parse_recipe(override(members, changes))
    return start_run(Run(folder, recipe, "latentd train digits", "data"), fresh=False)


def test_sources_are_measured_once_and_the_best_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second completion loads the measurements, and the manifest contains them."""
    fitted = fit_run(make_judged_run(tmp_path / "runs" / "run"), CPU, print)
    first = complete_run(fitted)
    monkeypatch.setattr(pipeline, "measure_sources", None)

    trained = complete_run(fitted)
    manifest = publish_bundle(trained, tmp_path / "store").manifest

    assert trained.quality == first.quality
    assert {name: spec.quality for name, spec in manifest.samplers.items()} == trained.quality
    assert set(trained.quality) == {"kde", "flow", "gan", "gan-filtered"}
    assert manifest.networks["flow"].input.shape == (2 + 10,)
    assert manifest.samplers["flow"].class_conditional
    assert manifest.default_source == choose_source(trained.quality)
    assert {"judge_accuracy", "floor_frechet", "floor_coverage"} <= manifest.metrics.keys()


def test_a_run_without_its_judge_cannot_be_loaded(tmp_path: Path) -> None:
    """The judge has its own folder next to the run folder."""
    run = make_judged_run(tmp_path / "runs" / "run")
    fitted = fit_run(run, CPU, print)

    with pytest.raises(RunError, match=r"missing: judge\)"):
        load_run(run, CPU, print)

    complete_run(fitted)
    assert load_run(run, CPU, print).networks.gan is not None


def test_damaged_measurements_are_rejected(tmp_path: Path) -> None:
    """The error names the file."""
    run = make_judged_run(tmp_path / "runs" / "run")
    fitted = fit_run(run, CPU, print)
    (run.folder / "quality.json").write_text("{}")

    with pytest.raises(RunError, match=r"quality\.json is damaged"):
        complete_run(fitted)
