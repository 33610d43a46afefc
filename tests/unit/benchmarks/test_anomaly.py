"""The benchmark of detectors: its drawn textures, and its page."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.anomaly import run
from benchmarks.anomaly.textures import DEFECTS, SIDE, TEXTURES, draw
from benchmarks.harness.records import read_record


@pytest.mark.parametrize("texture", TEXTURES)
@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_changes_the_masked_places(texture: str, defect: str) -> None:
    """The same seed draws the same textures; the mask is the place where they differ most."""
    spoiled, masks = draw(texture, 2, 5, defect)

    assert spoiled.shape == (2, 3, SIDE, SIDE)
    assert masks.shape == (2, SIDE, SIDE)
    assert masks.any(axis=(1, 2)).all()
    assert not draw(texture, 2, 5)[1].any()
    plain = draw(texture, 1, 5)[0][0].astype(int)
    difference = np.abs(plain - spoiled[0]).max(axis=0)
    assert difference[masks[0]].mean() > 5 * difference[~masks[0]].mean() + 1


def test_a_record_has_the_mean_and_its_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last row is the mean over the runs, and the default method has the goal as its bound."""
    monkeypatch.setattr(run, "ANOMALY", tmp_path)
    monkeypatch.setattr(run, "find_page", lambda _: tmp_path / "anomaly.md")
    scores = dict.fromkeys(run.METHODS, 0.9)

    status = run.write("mnist", [("0", scores), ("1", scores | {"default": 1.0})], 0.96, 0)

    record = read_record(tmp_path / "mnist.json")
    assert record.rows[-1][:2] == ["mean", 0.95]
    assert status == 1
    assert record.list_violations(2) == ["default is 0.95, not >= 0.96"]
