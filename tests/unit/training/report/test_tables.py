"""The pages of figures: what stands in the table of sources."""

from pathlib import Path

import pytest

from service.artifact import Manifest, Metric, publish, stage, write_manifest
from training.report.tables import figures, write_samplers_table


def state(value: float) -> Metric:
    """Return a figure."""
    return Metric(value=value, unit="", split="test", count=1)


@pytest.fixture
def store(digits_store: Path, tmp_path: Path) -> Path:
    """Return a store with digits whose sources are judged as the test says."""
    folder = digits_store / "digits" / "1"
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    kde = {"frechet": state(30.0), "recognisable": state(91.26), "memorisation": state(0.81)}
    prior = {"frechet": state(20.0), "recognisable": state(80), "memorisation": state(0.9)}
    samplers = {
        "kde": manifest.samplers["kde"].model_copy(update={"quality": kde}),
        "prior": manifest.samplers["prior"].model_copy(update={"quality": prior}),
    }
    changes = {
        "samplers": samplers,
        "default_source": "kde",
        "metrics": {**manifest.metrics, "floor_frechet": state(5.0)},
    }
    with stage(tmp_path, "digits") as copy:
        for file in manifest.files:
            (copy / file).write_bytes((folder / file).read_bytes())
        write_manifest(copy, manifest.model_copy(update=changes))
        publish(copy, tmp_path, "digits")
    return tmp_path


def test_each_source_has_a_row_the_best_first_and_the_floor_last(store: Path) -> None:
    """The default source is bold, and what was not measured is left empty."""
    page = write_samplers_table(store)

    rows = [line for line in page.splitlines() if line.startswith("| digits")]
    assert [row.split(" | ")[1] for row in rows] == ["prior", "**kde**", "*training images*"]
    assert rows[1] == "| digits | **kde** | 91.3 % |  | 30 |  |  |  |  | 0.81 |  |"
    assert rows[2].split(" | ")[4] == "5"


def test_the_command_writes_both_pages(store: Path, tmp_path: Path) -> None:
    """Each is written where its flag says."""
    bundles, samplers = tmp_path / "b.md", tmp_path / "s.md"

    status = figures(["--store", str(store), "--out", str(bundles), "--samplers", str(samplers)])

    assert status == 0
    assert "## digits, version 1" in bundles.read_text()
    assert samplers.read_text() == write_samplers_table(store)
