"""The comparison of decoders: equal pixels, other pixels, other sizes and rejections."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.decoders import Finding, compare, explain
from tests.support.image_files import make_png, save

GREY = np.full((1, 8, 6, 3), 51.0)


@pytest.mark.parametrize(
    ("content", "other", "kind"),
    [
        (make_png(51), GREY, "equal"),
        (make_png(51), GREY + 1, "equal"),
        (make_png(51), GREY + 3, "other pixels"),
        (save(Image.new("L", (6, 8), 51), "JPEG"), GREY + 2, "equal"),
        (make_png(51), np.concatenate([GREY * 0, GREY]), "equal"),
        (make_png(51), GREY[:, :4], "other size"),
        (make_png(51), None, "only OpenCV rejects"),
        (make_png(51)[:40], GREY, "only the service rejects"),
        (make_png(51)[:40], None, "both reject"),
    ],
    ids=["same", "rounded", "other", "JPEG", "two pages", "size", "theirs", "ours", "both"],
)
def test_findings(tmp_path: Path, content: bytes, other: np.ndarray | None, kind: str) -> None:
    """Each kind of difference is found."""
    path = tmp_path / "image"
    path.write_bytes(content)

    assert compare(path, other).kind == kind


@pytest.mark.parametrize(
    ("name", "kind", "explained"),
    [
        ("l_trns.png", "other pixels", "explained"),
        ("l_trns.png", "equal", "equal"),
        ("other.png", "other pixels", "other pixels"),
    ],
)
def test_known_differences_are_explained(name: str, kind: str, explained: str) -> None:
    """Only a difference of a named file is explained."""
    assert explain(Path("folder") / name, Finding(kind)).kind == explained
