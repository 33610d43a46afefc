"""The rows of the reports, their targets, and the table of results."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from training.errors import RecipeError
from training.recipe.parsing import list_recipes
from training.reproduction import rows
from training.reproduction.page import describe_rows, write_page
from training.reproduction.plots import collect_plots
from training.reproduction.results import (
    RESULT_FILE,
    Folders,
    Result,
    find_result,
    list_targets,
    reproduce_target,
)
from training.reproduction.rows import Part, Row, Target, choose_rows, read_rows

IDS = [
    *("A1", "A2a", "A2b", "A3", "A4", "A5", "A6"),
    *("B1", "B2", "B3", "B4", "B5", "B6"),
    *("C1", "C2", "C3", "C4"),
    *("D1", "D2", "D3", "D4", "D5", "D6"),
    *("E1", "E2", "E3", "E4"),
]


def make_result(**metrics: float) -> Result:
    """Return a result with these metrics."""
    return Result(
        metrics=metrics,
        epochs={"autoencoder": 3},
        minutes={"autoencoder": 0.5},
        seed=20,
        command="latentd train small",
        images=360,
        measured="2026-01-02",
    )


def make_row(**members: object) -> Row:
    """Return a row with a goal on one side."""
    defaults = {
        "id": "B2",
        "source": "001",
        "dataset": "digits",
        "system": "autoencoder",
        "metric": "reconstruction_mse",
        "report": 0.02,
        "same_net": Target(recipe="digits", goal=0.0125),
    }
    return Row.model_validate(defaults | members)


def test_all_rows_of_the_reports_exist() -> None:
    """The ids equal the list of source systems, in its order."""
    assert [row.id for row in read_rows()] == IDS


def test_every_target_and_study_is_valid() -> None:
    """Each recipe exists, and each run name belongs to one recipe."""
    seen: dict[str, Target] = {}
    for row in read_rows():
        for target in [t for part in row.parts() for t in part.targets().values()]:
            assert target.recipe in list_recipes()
            assert target.resolve().name == target.run_name
            first = seen.setdefault(target.run_name, target)
            assert first.resolve() == target.resolve()
        if row.study is not None:
            assert row.study.resolve().trials == row.study.trials


def test_every_row_has_a_metric_or_a_plot() -> None:
    """Each row also has a target with the report's network."""
    for row in read_rows():
        assert row.metric is not None or row.plots, row.id
        assert row.same_net is not None, row.id


def test_an_id_without_its_letter_selects_both_rows() -> None:
    """`A2` selects `A2a` and `A2b`; case is ignored."""
    assert [row.id for row in choose_rows(read_rows(), ["a2", "D1"])] == ["A2a", "A2b", "D1"]
    assert len(choose_rows(read_rows(), [])) == len(IDS)


def test_an_unknown_row_is_rejected() -> None:
    """The error lists all rows."""
    with pytest.raises(RecipeError, match=r"Unknown row 'z9'.*A1, A2a"):
        choose_rows(read_rows(), ["Z9"])


def test_a_target_can_drop_networks_and_change_the_latent_size() -> None:
    """A sweep trains only the networks that it measures."""
    recipe = Target(
        recipe="best-fashion-8", name="two", latent_size=2, networks=("autoencoder",)
    ).resolve()
    assert (recipe.name, recipe.autoencoder.latent_size, recipe.classifier) == ("two", 2, None)


@pytest.mark.parametrize(
    ("metric", "value", "goal", "met"),
    [
        ("reconstruction_mse", 0.012, 0.0125, True),
        ("reconstruction_mse", 0.013, 0.0125, False),
        ("noisy_mse_1.0", 0.03, 0.02, False),
        ("classifier_accuracy", 86.6, 86.5, True),
        ("source.kde.recognisable", 91.0, 92.0, False),
    ],
)
def test_goals_limit_errors_from_above_and_shares_from_below(
    metric: str, value: float, goal: float, met: bool
) -> None:
    """A goal is an upper limit of an error and a lower limit of other metrics."""
    row = make_row(metric=metric, same_net=Target(recipe="digits", goal=goal))
    (entry,) = describe_rows([row], lambda _: make_result(**{metric: value}))
    assert entry["same_net"] == value
    assert entry["met"] == {"same_net": met, "best": None}


def test_missing_results_are_null() -> None:
    """A row without a run has the reported value only."""
    (entry,) = describe_rows([make_row()], lambda _: None)
    assert (entry["report"], entry["same_net"], entry["best"]) == (0.02, None, None)
    assert entry["met"] == {"same_net": None, "best": None}
    assert entry["runs"] == {}


def test_both_files_contain_the_results(tmp_path: Path) -> None:
    """A value that meets its goal is bold on the page."""
    part = Part(system="a part", metric="vae_kl", same_net=Target(recipe="digits"))
    row = make_row(part=(part,))
    result = make_result(reconstruction_mse=0.01234, vae_kl=7.5)
    write_page(describe_rows([row], lambda _: result), tmp_path)
    (entry,) = json.loads((tmp_path / "reproduction.json").read_text())
    assert (entry["id"], entry["same_net"], entry["parts"][0]["same_net"]) == ("B2", 0.01234, 7.5)
    page = (tmp_path / "reproduction.md").read_text()
    assert "| B2 | 001 | autoencoder | `reconstruction_mse` | 0.02 | **0.01234** | 0.0125 |" in page
    assert "| `latentd train small` | 20 | 3 | 0.5 | 360 | 2026-01-02 |" in page


def test_plots_are_copied_and_missing_ones_are_listed(tmp_path: Path) -> None:
    """Plots are copied from the reports of runs."""
    plot = tmp_path / "runs" / "digits" / "report" / "confusion.png"
    plot.parent.mkdir(parents=True)
    plot.write_bytes(b"plot")
    row = make_row(plots=("confusion", "gan"))
    missing = collect_plots([row], tmp_path / "runs", tmp_path / "docs", lambda _: None)
    assert missing == ["reproduction/B2-gan.png"]
    assert (tmp_path / "docs" / "reproduction" / "B2-confusion.png").read_bytes() == b"plot"


def test_a_sweep_is_drawn_from_the_metrics_of_its_row(tmp_path: Path) -> None:
    """Two latent sizes give a line."""
    part = Part(
        system="L = 2",
        metric="reconstruction_mse",
        same_net=Target(recipe="digits", name="two", latent_size=2),
    )
    row = make_row(plots=("sweep",), part=(part,))
    errors = {"digits": 0.01, "two": 0.03}
    missing = collect_plots(
        [row],
        tmp_path,
        tmp_path,
        lambda target: make_result(reconstruction_mse=errors[target.run_name]),
    )
    assert missing == []
    assert (tmp_path / "reproduction" / "B2-sweep.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_is_measured_once_and_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second call reads the stored result."""
    members = {"data": {"dataset": "digits"}, "autoencoder": {"channels": [4], "epochs": 2}}
    monkeypatch.setattr(rows, "read_recipe", lambda _: members)
    target = Target(recipe="small", latent_size=2)
    folders = Folders(tmp_path, tmp_path / "runs", torch.device("cpu"))
    assert find_result(target, folders) is None

    first = reproduce_target(target, folders, with_report=False)

    assert (first.seed, first.images, first.epochs) == (0, 360, {"autoencoder": 2})
    assert 0 < first.metrics["reconstruction_mse"] < 0.3
    edited = asdict(first) | {"measured": "2000-01-01"}
    (folders.runs / "small" / RESULT_FILE).write_text(json.dumps(edited))
    assert reproduce_target(target, folders, with_report=False).measured == "2000-01-01"


def test_a_run_of_several_rows_is_trained_once() -> None:
    """Rows C1 and C2 share a network."""
    names = [target.run_name for target in list_targets(read_rows())]
    assert len(names) == len(set(names))


def test_only_runs_with_plots_or_samples_get_a_report() -> None:
    """A point of a sweep needs one metric and no report."""
    reports = {target.run_name: value for target, value in list_targets(read_rows()).items()}
    assert not reports["seed-mnist-3"]
    assert not reports["best-fashion-2"]
    assert reports["seed-mnist-2"]
    assert reports["mnist"]
