"""`make test-fast` and the excluded markers together select every test."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import FIXTURE_MARKERS, FOLDER_MARKERS, choose_markers

ROOT = Path(__file__).parents[2]
FAST = re.findall(r'pytest -m "(.*)"', (ROOT / "Makefile").read_text())[0]


def count_tests(expression: str) -> tuple[int, int]:
    """Return how many tests `-m` selects, and how many pytest collects before the selection."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    completed = subprocess.run(
        [*command, "-m", expression], cwd=ROOT, capture_output=True, text=True, check=True
    )
    selected, collected = re.findall(r"(\d+)/(\d+) tests collected", completed.stdout)[-1]
    return int(selected), int(collected)


def test_fast_selection_excludes_every_marker() -> None:
    """`make test-fast` excludes exactly the markers that pyproject.toml registers."""
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    registered = {line.partition(":")[0] for line in options["markers"]}

    assert {term.removeprefix("not ") for term in FAST.split(" and ")} == registered
    assert {*FOLDER_MARKERS.values(), *FIXTURE_MARKERS.values()} <= registered


@pytest.mark.parametrize("folder", FOLDER_MARKERS)
def test_marked_folder_exists(folder: str) -> None:
    """Every folder with a marker exists."""
    assert (ROOT / folder).is_dir()


@pytest.mark.parametrize(
    ("path", "fixtures", "markers"),
    [
        ("tests/browser/test_docs.py", ["visit", "browser"], {"browser"}),
        ("tests/integration/test_training.py", ["digits_run"], {"slow", "training"}),
        ("tests/unit/training/test_new.py", [], {"training"}),
        ("tests/unit/service/test_app.py", ["tmp_path"], set()),
        ("tests/unit/service/test_app.py", ["digits_store", "digits_run"], {"training"}),
    ],
)
def test_markers_follow_folder_and_fixtures(
    path: str, fixtures: list[str], markers: set[str]
) -> None:
    """A test gets the marker of its folder and the markers of its fixtures."""
    assert choose_markers(ROOT / path, fixtures) == markers


@pytest.mark.slow
def test_fast_and_marked_tests_add_up() -> None:
    """`make test-fast` selects each test that has none of the markers, and no other test."""
    fast, _ = count_tests(FAST)
    marked, total = count_tests(f"not ({FAST})")

    assert fast > 0
    assert marked > 0
    assert fast + marked == total
