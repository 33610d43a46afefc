"""The search: what it tries, what it leaves, how it stops, goes on and is shared."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from training.__main__ import tune as command
from training.commands.flags import make_train_parser, settle_recipe
from training.data.datasets import read_data
from training.errors import TrainingError
from training.fitting import network_set as systems
from training.fitting.checkpoints import is_finished
from training.fitting.loop import Examples, Fit
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
    """Write a small search into a folder; return the words that run it there."""
    members = {"trials": 4, "pruner": "none", "network": "autoencoder", "epochs": 1, "space": SPACE}
    path = home / "small.toml"
    path.write_text(SEARCH.format(**{**members, **changes}))
    return [str(path), "--runs", str(home / "runs"), "--device", "cpu"]


def read_trials(home: Path, study: str = "small") -> list[dict[str, object]]:
    """Return what a search wrote about its trials."""
    trials: list[dict[str, object]] = json.loads(
        (home / "runs" / "tune" / study / "trials.json").read_text()
    )
    return trials


def strip_times(trials: list[dict[str, object]]) -> list[dict[str, object]]:
    """Return trials without what differs from run to run."""
    return [{**trial, "seconds": None} for trial in trials]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder where a small search has run."""
    home = tmp_path_factory.mktemp("searched")
    assert command(write_search(home)) == 0
    return home


def test_the_best_recipe_is_one_that_train_takes(searched: Path) -> None:
    """It has the values of the trial with the least loss, and the rest of the base."""
    best = min(read_trials(searched), key=lambda trial: trial["loss"])
    path = searched / "runs" / "tune" / "small" / "best.toml"

    recipe = settle_recipe(make_train_parser().parse_args([str(path)]))

    assert best["values"] == {
        "autoencoder.learning_rate": recipe.autoencoder.learning_rate,
        "autoencoder.channels": list(recipe.autoencoder.channels or ()),
    }
    assert (recipe.name, recipe.autoencoder.batch_size) == ("digits", 256)
    assert recipe.vae is not None


def test_three_plots_are_drawn_and_no_checkpoint_is_left(searched: Path) -> None:
    """A search of many trials does not fill the disk."""
    folder = searched / "runs" / "tune" / "small"

    for name in ("history", "importance", "parallel"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert list(folder.rglob("checkpoint.pt")) == []


def test_a_search_that_was_stopped_goes_on_as_it_would_have(searched: Path, tmp_path: Path) -> None:
    """Two trials and then the rest are the trials of one search."""
    words = write_search(tmp_path)

    assert command([*words, "--trials", "2"]) == 0
    assert len(read_trials(tmp_path)) == 2
    assert command(words) == 0

    assert strip_times(read_trials(tmp_path)) == strip_times(read_trials(searched))


def test_a_search_that_has_its_trials_makes_no_more(tmp_path: Path) -> None:
    """`--trials` is how many there shall be in the end."""
    words = write_search(tmp_path, trials=2)

    assert (command(words), command(words)) == (0, 0)

    assert len(read_trials(tmp_path)) == 2


def test_processes_share_a_study(tmp_path: Path) -> None:
    """Two that start at once make its tables once, and try other values each time."""
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
    """Test images that fail whoever looks at them."""

    def __getattribute__(self, name: str) -> object:
        """Refuse."""
        raise AssertionError(f"the test images were asked for {name}")


@pytest.mark.parametrize("count", ["1", "2"])
def test_a_search_never_looks_at_the_test_images(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, count: str
) -> None:
    """A whole search runs with test images that nothing can be read from."""

    def read(recipe: Recipe, root: Path, scratch: Path) -> object:
        splits = read_data(recipe, root, scratch)
        kept = (splits.dataset, splits.image, splits.classes, splits.train, splits.validation)
        return type(splits)(*kept, Untouchable())

    monkeypatch.setattr(folds, "read_data", read)

    assert command([*write_search(tmp_path, trials=1), "--folds", count]) == 0


def test_the_loss_of_folds_is_their_mean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each fold gives its least loss; only the first is reported epoch by epoch."""
    losses = iter([5.0, 3.0, 4.0, 2.0, 9.0, 1.5])

    def fit(_name: str, shop: systems.Workshop) -> None:
        assert shop.report is not None
        for epoch in (1, 2):
            shop.report(epoch, next(losses))

    monkeypatch.setattr(tune, "fit_network", fit)

    assert command([*write_search(tmp_path, trials=1), "--folds", "3"]) == 0

    (trial,) = read_trials(tmp_path)
    assert trial["loss"] == pytest.approx((3 + 2 + 1.5) / 3)
    assert trial["losses"] == [5.0, 3.0]


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_hopeless_trials_end_early_and_only_finished_ones_are_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pruner: str
) -> None:
    """Every trial is worse than the one before, and most see few of their epochs."""
    started = 0

    def fit(_name: str, shop: systems.Workshop) -> None:
        nonlocal started
        started += 1
        shop.folder.mkdir(parents=True)
        for epoch in range(1, 10):
            assert shop.report is not None
            shop.report(epoch, float(started))

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
    """The encoder is fitted once, when none of its keys is tried."""
    fitted = []

    def fit(network: torch.nn.Module, job: Fit, training: Examples, validation: Examples) -> object:
        if not is_finished(job.folder):
            fitted.append(job.name)
        return real(network, job, training, validation)

    real = systems.fit
    monkeypatch.setattr(systems, "fit", fit)
    space = '"classifier.dropout" = { low = 0.1, high = 0.5 }'

    assert command(write_search(tmp_path, trials=2, network="classifier", space=space)) == 0

    assert fitted == ["autoencoder", "classifier", "classifier"]


def test_trials_that_cannot_be_fitted_do_not_end_the_search(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are noted with their error; a search of nothing else fails with one line."""
    error = "the loss is no longer finite"

    def fit(*_: object) -> None:
        raise TrainingError(error)

    monkeypatch.setattr(tune, "fit_network", fit)

    status = command(write_search(tmp_path, trials=3))

    assert status == 1
    assert f"no trial came to its end; the last: {error}" in capsys.readouterr().err
    assert [trial["error"] for trial in read_trials(tmp_path)] == [
        "the loss is no longer finite"
    ] * 3


def test_an_interrupt_keeps_what_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The trials so far are written with the best recipe and plots, and the search goes on."""
    left = 3

    def fit(_name: str, shop: systems.Workshop) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        assert shop.report is not None
        shop.report(1, float(left))

    monkeypatch.setattr(tune, "fit_network", fit)
    words, folder = write_search(tmp_path), tmp_path / "runs" / "tune" / "small"

    assert command(words) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert [trial["state"] for trial in read_trials(tmp_path)] == ["complete"] * 3 + ["fail"]
    assert (folder / "best.toml").read_text().startswith("# Trial 2 of small: validation loss 0\n")
    assert (folder / "parallel.png").exists()

    left = 1
    assert command(words) == 0
    assert len(read_trials(tmp_path)) == 5


def test_another_search_under_the_same_name_is_refused(
    searched: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its losses could not be compared with those that are there."""
    words = [*write_search(tmp_path), "--runs", str(searched / "runs")]

    assert command([*words, "--set", "autoencoder.batch_size=128"]) == 1
    assert command([*words, "--folds", "2"]) == 1

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all("started with another search: --study gives" in line for line in lines)


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--storage", "nonsense"], 1, "--storage cannot be used"),
        (["--storage", "redis://localhost"], 1, "--storage cannot be used"),
        (["--storage", "sqlite:////no/such/folder/x.db"], 1, "--storage cannot be used"),
        (["--study", "../x"], 2, "--study '../x'"),
        (["--folds", "0"], 2, "folds: "),
        (["--trials", "0"], 2, "trials: "),
        (["--set", "autoencoder.epoch=1"], 2, "autoencoder.epoch: no such key"),
    ],
)
def test_wrong_flags_are_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    status: int,
    message: str,
) -> None:
    """Nothing is fitted, and the line names what is wrong."""
    assert command([*write_search(tmp_path), *words]) == status

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]
