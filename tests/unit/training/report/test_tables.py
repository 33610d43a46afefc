"""The Markdown tables of metrics and sample quality."""

from pathlib import Path

import pytest

from service.artifact import Manifest, Metric, publish, stage, write_manifest
from training.commands.tables import tables
from training.report.tables import make_samplers_page


def make_quality(**values: float) -> dict[str, Metric]:
    """Return metrics with these values."""
    return {
        name: Metric(value=value, unit="", split="test", count=1) for name, value in values.items()
    }


@pytest.fixture
def store(digits_store: Path, tmp_path: Path) -> Path:
    """Return a store with the digits bundle and artificial sample quality."""
    folder = digits_store / "digits" / "1"
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    kde = make_quality(frechet=30.0, recognisable=91.26, memorisation=0.81)
    prior = make_quality(frechet=20.0, recognisable=80.0, memorisation=0.9)
    samplers = {
        "kde": manifest.samplers["kde"].model_copy(update={"quality": kde}),
        "prior": manifest.samplers["prior"].model_copy(update={"quality": prior}),
    }
    changes = {
        "samplers": samplers,
        "default_source": "kde",
        "metrics": manifest.metrics | make_quality(floor_frechet=5.0),
    }
    with stage(tmp_path, "digits") as copy:
        for file in manifest.files:
            (copy / file).write_bytes((folder / file).read_bytes())
        write_manifest(copy, manifest.model_copy(update=changes))
        publish(copy, tmp_path, "digits")
    return tmp_path


def test_sources_are_sorted_with_training_images_last(store: Path) -> None:
    """The default source is bold, and missing metrics are empty."""
    page = make_samplers_page(store)

    rows = [line for line in page.splitlines() if line.startswith("| digits")]
    assert [row.split(" | ")[1] for row in rows] == ["prior", "**kde**", "*training images*"]
    assert rows[1] == "| digits | **kde** | 91.3 % |  | 30 |  |  |  |  | 0.81 |  |"
    assert rows[2].split(" | ")[4] == "5"


def test_the_command_writes_both_pages(store: Path, tmp_path: Path) -> None:
    """`latentd tables` writes each page to the path of its flag."""
    bundles, samplers = tmp_path / "b.md", tmp_path / "s.md"

    status = tables(["--store", str(store), "--out", str(bundles), "--samplers", str(samplers)])

    assert status == 0
    assert "## digits, version 1" in bundles.read_text()
    assert samplers.read_text() == make_samplers_page(store)
