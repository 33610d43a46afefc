"""`latentd train FOLDER`: the dry run, a repeated command and a full disk."""

import errno
import os
from pathlib import Path

import pytest

from service.artifact import list_bundles
from tests.support.written_images import write_images
from training.commands.train import train

FEW = ["--set", "density.search_codes=50", "--set", "detection.steps=20"]
QUICK = ["--device", "cpu", "--epochs", "1", *FEW]


@pytest.fixture
def recipe(tmp_path: Path) -> list[str]:
    """Return the arguments of a quick training of 40 images in two classes."""
    for name in ("a", "b"):
        write_images(tmp_path / "pets" / name, 20, size=(16, 16))
    path = tmp_path / "small.toml"
    path.write_text(
        "[data]\n[autoencoder]\nchannels = [4]\nlatent_size = 4\n[classifier]\nhidden = [8]\n"
    )
    places = ["--runs", str(tmp_path / "runs"), "--store", str(tmp_path / "store")]
    return [str(path), "--dataset", str(tmp_path / "pets"), *places, *QUICK]


def test_a_dry_run_prints_the_summary_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder is the only argument."""
    write_images(tmp_path / "pets" / "cat", 20)
    write_images(tmp_path / "pets" / "dog", 20)
    runs = tmp_path / "runs"

    status = train([str(tmp_path / "pets"), "--dry-run", "--runs", str(runs)])

    printed = capsys.readouterr().out
    assert status == 0
    assert "used: 40 of 40 images" in printed
    assert "classes: 2 (cat 20, dog 20)" in printed
    assert not runs.exists()


def test_a_repeated_finished_command_publishes_nothing(
    tmp_path: Path, recipe: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the version; `--fresh` trains and publishes again."""
    assert train(recipe) == 0
    capsys.readouterr()

    assert train(recipe) == 0

    assert "already published as pets, version 1" in capsys.readouterr().out
    assert list_bundles(tmp_path / "store") == {"pets": [1]}
    assert train([*recipe, "--fresh"]) == 0
    assert list_bundles(tmp_path / "store") == {"pets": [2, 1]}


def test_a_full_disk_is_one_line_and_loses_nothing(
    tmp_path: Path,
    recipe: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The repeated command resumes and publishes."""
    calls = []

    def fail(_: int) -> None:
        calls.append(1)
        if len(calls) > 4:  # after run.json and the first checkpoint
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    status = train(recipe)
    message = capsys.readouterr().err.strip().splitlines()[-1]
    monkeypatch.undo()

    assert status == 1
    assert message.startswith(f"latentd: no space left in {tmp_path / 'runs'}")
    assert not list((tmp_path / "runs").rglob(".*"))
    assert train(recipe) == 0
    assert list_bundles(tmp_path / "store") == {"pets": [1]}
