"""`latentd tune`: results, resuming, sharing, pruning and errors."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from training.commands.train import make_train_parser, resolve_recipe
from training.commands.tune import tune as command
from training.data.datasets import read_data
from training.errors import TrainingError
from training.fitting import network_set
from training.fitting.examples import Examples
from training.fitting.loop import FitJob
from training.fitting.runs.checkpoints import is_finished
from training.recipe.schema import Recipe
from training.search import folds, tune

SEARCH = """
base = "digits"
trials = {trials}
pruner = "{pruner}"
network = "{network}"

[recipe.autoencoder]
epochs = {epochs}
batch_size = 256

[recipe.classifier]
epochs = {epochs}

[space]
{space}
"""
SPACE = """
"autoencoder.learning_rate" = { low = 1e-3, high = 0.1, log = true }
"autoencoder.channels" = { choices = [[4, 8], [8, 16]] }
"""


def write_search(home: Path, **changes: object) -> list[str]:
    """Write a small search into a folder; return the arguments of its command."""
    members = {"trials": 4, "pruner": "none", "network": "autoencoder", "epochs": 1, "space": SPACE}
    path = home / "small.toml"
    path.write_text(SEARCH.format(**{**members, **changes}))
    return [str(path), "--runs", str(home / "runs"), "--device", "cpu"]


def read_trials(home: Path, study: str = "small") -> list[dict[str, object]]:
    """Return the content of trials.json."""
    trials: list[dict[str, object]] = json.loads(
        (home / "runs" / "tune" / study / "trials.json").read_text()
    )
    return trials


def strip_times(trials: list[dict[str, object]]) -> list[dict[str, object]]:
    """Return trials without their durations."""
    return [{**trial, "seconds": None} for trial in trials]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished small search."""
    home = tmp_path_factory.mktemp("searched")
    assert command(write_search(home)) == 0
    return home


def test_train_accepts_the_best_recipe(searched: Path) -> None:
    """It has the values of the trial with the lowest loss, and the base's other values."""
    best = min(read_trials(searched), key=lambda trial: trial["loss"])
    path = searched / "runs" / "tune" / "small" / "best.toml"

    recipe = resolve_recipe(make_train_parser().parse_args([str(path)]))

    assert best["values"] == {
        "autoencoder.learning_rate": recipe.autoencoder.learning_rate,
        "autoencoder.channels": list(recipe.autoencoder.channels or ()),
    }
    assert (recipe.name, recipe.autoencoder.batch_size) == ("digits", 256)
    assert recipe.vae is not None


def test_three_plots_are_drawn_and_checkpoints_are_removed(searched: Path) -> None:
    """A search with many trials does not fill the disk."""
    folder = searched / "runs" / "tune" / "small"

    for name in ("history", "importance", "parallel"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert list(folder.rglob("checkpoint.pt")) == []


def test_a_resumed_search_equals_an_uninterrupted_one(searched: Path, tmp_path: Path) -> None:
    """Two trials and then the rest give the same trials."""
    words = write_search(tmp_path)

    assert command([*words, "--trials", "2"]) == 0
    assert len(read_trials(tmp_path)) == 2
    assert command(words) == 0

    assert strip_times(read_trials(tmp_path)) == strip_times(read_trials(searched))


def test_a_finished_search_runs_no_more_trials(tmp_path: Path) -> None:
    """`--trials` is the total number."""
    words = write_search(tmp_path, trials=2)

    assert (command(words), command(words)) == (0, 0)

    assert len(read_trials(tmp_path)) == 2


def test_processes_share_a_study(tmp_path: Path) -> None:
    """Two processes that start at the same time run trials with different values."""
    words = write_search(tmp_path, trials=6)
    program = [sys.executable, "-m", "training", "tune", *words]

    processes = [
        subprocess.Popen(
            [*program, "--storage", f"sqlite:///{tmp_path / 'shared.db'}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    errors = [process.communicate()[1] for process in processes]

    assert [process.returncode for process in processes] == [0, 0], errors
    rates = [trial["values"]["autoencoder.learning_rate"] for trial in read_trials(tmp_path)]
    assert 6 <= len(rates) <= 7
    assert len(set(rates)) == len(rates)


class Untouchable:
    """Test images that fail on any access."""

    def __getattribute__(self, name: str) -> object:
        """Fail."""
        raise AssertionError(f"access to {name} of the test images")


@pytest.mark.parametrize("count", ["1", "2"])
def test_a_search_does_not_access_test_images(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, count: str
) -> None:
    """A search works with test images that fail on any access."""

    def read(recipe: Recipe, root: Path, scratch: Path) -> object:
        splits = read_data(recipe, root, scratch)
        members = (splits.dataset, splits.image, splits.classes, splits.train, splits.validation)
        return type(splits)(*members, Untouchable())

    monkeypatch.setattr(folds, "read_data", read)

    assert command([*write_search(tmp_path, trials=1), "--folds", count]) == 0


def test_the_loss_of_folds_is_their_mean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each fold contributes its lowest loss; only the first reports its epochs."""
    losses = iter([5.0, 3.0, 4.0, 2.0, 9.0, 1.5])

    def fit(_name: str, context: network_set.FitContext) -> None:
        assert context.on_epoch is not None
        for epoch in (1, 2):
            context.on_epoch(epoch, next(losses))

    monkeypatch.setattr(tune, "fit_network", fit)

    assert command([*write_search(tmp_path, trials=1), "--folds", "3"]) == 0

    (trial,) = read_trials(tmp_path)
    assert trial["loss"] == pytest.approx((3 + 2 + 1.5) / 3)
    assert trial["losses"] == [5.0, 3.0]


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_bad_trials_are_pruned_and_only_completed_ones_are_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pruner: str
) -> None:
    """Each trial is worse than its predecessor, and most run few epochs."""
    started = 0

    def fit(_name: str, context: network_set.FitContext) -> None:
        nonlocal started
        started += 1
        context.folder.mkdir(parents=True)
        for epoch in range(1, 10):
            assert context.on_epoch is not None
            context.on_epoch(epoch, float(started))

    monkeypatch.setattr(tune, "fit_network", fit)

    assert command([*write_search(tmp_path, trials=12, pruner=pruner, epochs=9), "--keep"]) == 0

    trials = read_trials(tmp_path)
    pruned = [trial for trial in trials if trial["state"] == "pruned"]
    kept = [int(path.name) for path in (tmp_path / "runs/tune/small/trials").iterdir()]
    assert pruned
    assert all(trial["loss"] is None and len(trial["losses"]) < 9 for trial in pruned)
    assert sorted(kept) == [trial["number"] for trial in trials if trial["state"] == "complete"]


def test_all_trials_of_a_classifier_share_one_encoder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The encoder is trained once if the search contains only classifier keys."""
    fitted = []

    def fit(network: torch.nn.Module, job: FitJob, *examples: Examples) -> object:
        if not is_finished(job.folder):
            fitted.append(job.name)
        return real(network, job, *examples)

    real = network_set.fit
    monkeypatch.setattr(network_set, "fit", fit)
    space = '"classifier.dropout" = { low = 0.1, high = 0.5 }'

    assert command(write_search(tmp_path, trials=2, network="classifier", space=space)) == 0

    assert fitted == ["autoencoder", "classifier", "classifier"]


def test_failed_trials_do_not_end_the_search(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their errors are stored; a search with only failed trials fails with one line."""
    error = "the loss is nan"

    def fit(*_: object) -> None:
        raise TrainingError(error)

    monkeypatch.setattr(tune, "fit_network", fit)

    status = command(write_search(tmp_path, trials=3))

    assert status == 1
    assert f"no trial completed; reason of the last: {error}" in capsys.readouterr().err
    assert [trial["error"] for trial in read_trials(tmp_path)] == ["the loss is nan"] * 3


def test_an_interrupt_keeps_the_results(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Completed trials, the best recipe and the plots are written, and the search can resume."""
    remaining = 3

    def fit(_name: str, context: network_set.FitContext) -> None:
        nonlocal remaining
        remaining -= 1
        if remaining < 0:
            raise KeyboardInterrupt
        assert context.on_epoch is not None
        context.on_epoch(1, float(remaining))

    monkeypatch.setattr(tune, "fit_network", fit)
    words, folder = write_search(tmp_path), tmp_path / "runs" / "tune" / "small"

    assert command(words) == 130
    assert "repeat the command to resume" in capsys.readouterr().err
    assert [trial["state"] for trial in read_trials(tmp_path)] == ["complete"] * 3 + ["fail"]
    assert (folder / "best.toml").read_text().startswith("# Trial 2 of small: validation loss 0\n")
    assert (folder / "parallel.png").exists()

    remaining = 1
    assert command(words) == 0
    assert len(read_trials(tmp_path)) == 5


def test_another_search_with_the_same_study_is_rejected(
    searched: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Losses of different searches are incomparable."""
    words = [*write_search(tmp_path), "--runs", str(searched / "runs")]

    assert command([*words, "--set", "autoencoder.batch_size=128"]) == 1
    assert command([*words, "--folds", "2"]) == 1

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all("another search; choose another name with --study" in line for line in lines)


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--storage", "nonsense"], 1, "Cannot use --storage"),
        (["--storage", "redis://localhost"], 1, "Cannot use --storage"),
        (["--storage", "sqlite:////no/such/folder/x.db"], 1, "Cannot use --storage"),
        (["--study", "../x"], 2, "Invalid --study '../x'"),
        (["--folds", "0"], 2, "folds: "),
        (["--trials", "0"], 2, "trials: "),
        (["--set", "autoencoder.epoch=1"], 2, "autoencoder.epoch: unknown key"),
    ],
)
def test_invalid_flags_give_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    status: int,
    message: str,
) -> None:
    """The line names the flag or key, and nothing is trained."""
    assert command([*write_search(tmp_path), *words]) == status

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]
