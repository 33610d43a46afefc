"""The way from a run folder to a trained bundle."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from training import pipeline
from training.data.datasets import read_data
from training.data.splits import LabelledImages, Splits
from training.errors import RunError
from training.fitting.run_folders import Run, start_run
from training.pipeline import complete_run, fit_run, reopen_run
from training.publishing.bundle import publish_bundle
from training.recipe.schema import Recipe, override, parse_recipe, read_recipe
from training.sampling.judging import choose_source

CPU = torch.device("cpu")


def make_recipe() -> Recipe:
    """Return the digits recipe with the least of everything."""
    tiny = {"channels": [4], "hidden": 8, "latent_size": 2, "epochs": 1, "batch_size": 64}
    members = read_recipe("digits")
    changes = [
        (f"{name}.{key}", value)
        for name in ("autoencoder", "denoiser", "vae")
        for key, value in tiny.items()
    ]
    return parse_recipe(
        override(members, [*changes, ("classifier.epochs", 1), ("density.search_codes", 50)])
    )


def make_run(folder: Path) -> Run:
    """Return a run that is started."""
    return start_run(Run(folder, make_recipe(), "latentd train digits", "data"), fresh=False)


class Untouchable(LabelledImages):
    """Test images that may be counted and not looked at."""

    def __init__(self, count: int) -> None:
        """Keep the count only."""
        object.__setattr__(self, "count", count)

    def __len__(self) -> int:
        """Return the count."""
        return self.count

    def __getattribute__(self, name: str) -> object:
        """Fail on pixels and labels."""
        if name in {"pixels", "labels", "take"}:
            raise AssertionError(f"training looked at the test images' {name}")
        return object.__getattribute__(self, name)


def test_neither_fit_nor_samplers_look_at_test_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With test images that cannot be read, everything up to the measuring works."""
    digits = read_data(make_recipe(), tmp_path, tmp_path)
    splits = replace(digits, test=Untouchable(360))
    monkeypatch.setattr(pipeline, "read_data", lambda *_: splits)
    monkeypatch.setattr(Splits, "digest", lambda _: "0" * 64)

    prepared = fit_run(make_run(tmp_path / "run"), CPU, print)

    with pytest.raises(AssertionError, match="looked at the test images"):
        complete_run(prepared)  # the samplers are fitted first, and then the measuring looks
    assert (tmp_path / "run" / "samplers" / "kde.safetensors").exists()


def test_a_run_without_all_its_networks_is_not_reopened(tmp_path: Path) -> None:
    """The message names what is missing and the command that goes on."""
    run = make_run(tmp_path / "run")
    fit_run(run, CPU, print)
    (tmp_path / "run" / "vae" / "checkpoint.pt").unlink()

    with pytest.raises(RunError, match=r"missing: vae\): `latentd train digits` goes on"):
        reopen_run(run, CPU, print)


def test_the_samplers_are_fitted_once(tmp_path: Path) -> None:
    """A second completion reads what the first stored."""
    told: list[str] = []
    prepared = fit_run(make_run(tmp_path / "run"), CPU, told.append)

    first, again = complete_run(prepared).samplers, complete_run(prepared).samplers

    assert told.count("fitting the source kde") == 1
    assert again["kde"].content == first["kde"].content


def make_judged_run(folder: Path) -> Run:
    """Return a started run with a GAN and a judge, and little else."""
    changes = [
        ("gan", {"noise_size": 4, "hidden": [8], "epochs": 1}),
        ("judge", {"channels": [8], "hidden": 8, "epochs": 2}),
        ("samplers.sources", ["kde", "gan", "gan-filtered"]),
        ("map", {"points": 50, "perplexity": 5.0}),
    ]
    members = make_recipe().model_dump(mode="json", exclude={"denoiser", "vae"}, exclude_none=True)
    recipe = parse_recipe(override(members, changes))
    return start_run(Run(folder, recipe, "latentd train digits", "data"), fresh=False)


def test_every_source_is_judged_once_and_the_best_is_the_bundles_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second completion reads the judgement, and the manifest has its figures."""
    prepared = fit_run(make_judged_run(tmp_path / "runs" / "run"), CPU, print)
    first = complete_run(prepared)
    monkeypatch.setattr(pipeline, "judge_sources", None)

    trained = complete_run(prepared)
    manifest = publish_bundle(trained, tmp_path / "store").manifest

    assert trained.quality == first.quality
    assert {name: spec.quality for name, spec in manifest.samplers.items()} == trained.quality
    assert set(trained.quality) == {"kde", "gan", "gan-filtered"}
    assert manifest.default_source == (choose_source(trained.quality) or "kde")
    assert {"judge_accuracy", "floor_frechet", "floor_coverage"} <= manifest.metrics.keys()


def test_a_run_without_its_judge_is_not_reopened(tmp_path: Path) -> None:
    """The judge is no part of the run's folder and is looked for beside it."""
    run = make_judged_run(tmp_path / "runs" / "run")
    prepared = fit_run(run, CPU, print)

    with pytest.raises(RunError, match=r"missing: judge\)"):
        reopen_run(run, CPU, print)

    complete_run(prepared)
    assert reopen_run(run, CPU, print).networks.gan is not None


def test_a_damaged_judgement_is_told(tmp_path: Path) -> None:
    """The message names the file."""
    run = make_judged_run(tmp_path / "runs" / "run")
    prepared = fit_run(run, CPU, print)
    (run.folder / "quality.json").write_text("{}")

    with pytest.raises(RunError, match=r"quality\.json is damaged"):
        complete_run(prepared)
