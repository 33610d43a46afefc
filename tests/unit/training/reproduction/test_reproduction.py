"""Tests of the rows of the reports, and of the table that is made of what was measured."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from training.errors import RecipeError
from training.recipe.schema import list_recipes
from training.reproduction import rows
from training.reproduction.page import describe_rows, write_page
from training.reproduction.plots import collect_pictures
from training.reproduction.results import (
    OUTCOME_FILE,
    Outcome,
    Places,
    find_outcome,
    list_trials,
    reproduce_trial,
)
from training.reproduction.rows import Part, Row, Trial, choose_rows, read_rows

IDS = [
    *("A1", "A2a", "A2b", "A3", "A4", "A5", "A6"),
    *("B1", "B2", "B3", "B4", "B5", "B6"),
    *("C1", "C2", "C3", "C4"),
    *("D1", "D2", "D3", "D4", "D5", "D6"),
    *("E1", "E2", "E3", "E4"),
]


def make_outcome(**figures: float) -> Outcome:
    """Return an outcome with some figures."""
    return Outcome(
        figures=figures,
        epochs={"autoencoder": 3},
        minutes={"autoencoder": 0.5},
        seed=20,
        command="latentd train small",
        images=360,
        measured="2026-01-02",
    )


def make_row(**members: object) -> Row:
    """Return a row with a goal on one side."""
    given = {
        "id": "B2",
        "source": "001",
        "dataset": "digits",
        "system": "autoencoder",
        "metric": "reconstruction_mse",
        "report": 0.02,
        "same_net": Trial(recipe="digits", goal=0.0125),
    }
    return Row.model_validate(given | members)


def test_every_row_of_the_reports_is_there() -> None:
    """The ids are those of the list of source systems, in its order, each once."""
    assert [row.id for row in read_rows()] == IDS


def test_every_trial_and_study_is_a_valid_recipe() -> None:
    """Whatever a row names can be trained, under a name that only one recipe has."""
    seen: dict[str, Trial] = {}
    for row in read_rows():
        for trial in row.all_trials():
            assert trial.recipe in list_recipes()
            assert trial.settle().name == trial.run_name
            known = seen.setdefault(trial.run_name, trial)
            assert known.settle() == trial.settle()
        if row.study is not None:
            assert row.study.settle().trials == row.study.trials


def test_every_row_has_a_figure_or_a_picture() -> None:
    """No row is an empty promise."""
    for row in read_rows():
        assert row.metric is not None or row.pictures, row.id
        assert row.same_net is not None, row.id


def test_a_name_without_its_letter_means_both_rows() -> None:
    """`A2` is `A2a` and `A2b`; case does not matter."""
    assert [row.id for row in choose_rows(read_rows(), ["a2", "D1"])] == ["A2a", "A2b", "D1"]
    assert len(choose_rows(read_rows(), [])) == len(IDS)


def test_an_unknown_row_is_refused() -> None:
    """The message lists the rows that there are."""
    with pytest.raises(RecipeError, match=r"no row 'z9'.*A1, A2a"):
        choose_rows(read_rows(), ["Z9"])


def test_a_trial_can_leave_networks_out_and_change_the_latent_size() -> None:
    """A sweep trains what it measures, and nothing else."""
    recipe = Trial(
        recipe="best-fashion-8", name="two", latent_size=2, networks=("autoencoder",)
    ).settle()
    assert (recipe.name, recipe.autoencoder.latent_size, recipe.classifier) == ("two", 2, None)


@pytest.mark.parametrize(
    ("metric", "figure", "goal", "met"),
    [
        ("reconstruction_mse", 0.012, 0.0125, True),
        ("reconstruction_mse", 0.013, 0.0125, False),
        ("noisy_mse_1.0", 0.03, 0.02, False),
        ("classifier_accuracy", 86.6, 86.5, True),
        ("source.kde.recognisable", 91.0, 92.0, False),
    ],
)
def test_errors_are_to_be_low_and_shares_high(
    metric: str, figure: float, goal: float, met: bool
) -> None:
    """A goal is an upper bound of an error and a lower bound of everything else."""
    row = make_row(metric=metric, same_net=Trial(recipe="digits", goal=goal))
    (entry,) = describe_rows([row], lambda _: make_outcome(**{metric: figure}))
    assert entry["same_net"] == figure
    assert entry["met"] == {"same_net": met, "best": None}


def test_what_was_not_measured_is_null() -> None:
    """A row whose run is still to come has its report's figure and no other."""
    (entry,) = describe_rows([make_row()], lambda _: None)
    assert (entry["report"], entry["same_net"], entry["best"]) == (0.02, None, None)
    assert entry["met"] == {"same_net": None, "best": None}
    assert entry["runs"] == {}


def test_the_page_holds_what_was_measured(tmp_path: Path) -> None:
    """Both files have the figure; one that meets its goal is bold on the page."""
    part = Part(system="a part", metric="vae_kl", same_net=Trial(recipe="digits"))
    row = make_row(part=(part,))
    outcome = make_outcome(reconstruction_mse=0.01234, vae_kl=7.5)
    write_page(describe_rows([row], lambda _: outcome), tmp_path)
    (entry,) = json.loads((tmp_path / "reproduction.json").read_text())
    assert (entry["id"], entry["same_net"], entry["parts"][0]["same_net"]) == ("B2", 0.01234, 7.5)
    page = (tmp_path / "reproduction.md").read_text()
    assert "| B2 | 001 | autoencoder | `reconstruction_mse` | 0.02 | **0.01234** | 0.0125 |" in page
    assert "| `latentd train small` | 20 | 3 | 0.5 | 360 | 2026-01-02 |" in page


def test_pictures_come_from_the_runs_and_missing_ones_are_told(tmp_path: Path) -> None:
    """What a report drew is copied; what nobody drew is listed."""
    drawn = tmp_path / "runs" / "digits" / "report" / "confusion.png"
    drawn.parent.mkdir(parents=True)
    drawn.write_bytes(b"picture")
    row = make_row(pictures=("confusion", "gan"))
    missing = collect_pictures([row], tmp_path / "runs", tmp_path / "docs", lambda _: None)
    assert missing == ["reproduction/B2-gan.png"]
    assert (tmp_path / "docs" / "reproduction" / "B2-confusion.png").read_bytes() == b"picture"


def test_a_sweep_is_drawn_from_the_figures_of_its_row(tmp_path: Path) -> None:
    """Two latent sizes make a line."""
    part = Part(
        system="L = 2",
        metric="reconstruction_mse",
        same_net=Trial(recipe="digits", name="two", latent_size=2),
    )
    row = make_row(pictures=("sweep",), part=(part,))
    found = {"digits": 0.01, "two": 0.03}
    missing = collect_pictures(
        [row],
        tmp_path,
        tmp_path,
        lambda trial: make_outcome(reconstruction_mse=found[trial.run_name]),
    )
    assert missing == []
    assert (tmp_path / "reproduction" / "B2-sweep.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_is_measured_once_and_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second call reads the outcome, also where nothing can be trained any more."""
    members = {"data": {"dataset": "digits"}, "autoencoder": {"channels": [4], "epochs": 2}}
    monkeypatch.setattr(rows, "read_recipe", lambda _: members)
    trial = Trial(recipe="small", latent_size=2)
    places = Places(tmp_path, tmp_path / "runs", torch.device("cpu"), print)
    assert find_outcome(trial, places) is None

    first = reproduce_trial(trial, places, drawn=False)

    assert (first.seed, first.images, first.epochs) == (0, 360, {"autoencoder": 2})
    assert 0 < first.figures["reconstruction_mse"] < 0.3
    edited = asdict(first) | {"measured": "2000-01-01"}
    (places.runs / "small" / OUTCOME_FILE).write_text(json.dumps(edited))
    assert reproduce_trial(trial, places, drawn=False).measured == "2000-01-01"


def test_a_run_that_several_rows_share_is_trained_once() -> None:
    """Rows C1 and C2 stand on the same net."""
    names = [trial.run_name for trial in list_trials(read_rows())]
    assert len(names) == len(set(names))


def test_only_runs_with_pictures_or_samples_get_a_report() -> None:
    """A point of the sweep needs one figure; the net whose plane is shown needs its pictures."""
    drawn = {trial.run_name: drawn for trial, drawn in list_trials(read_rows()).items()}
    assert not drawn["seed-mnist-3"]
    assert not drawn["best-fashion-2"]
    assert drawn["seed-mnist-2"]
    assert drawn["mnist"]
