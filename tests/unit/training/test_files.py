"""Atomic file writes."""

import json
from pathlib import Path

import pytest

from training.files import replace_bytes, replace_file, replace_json


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    """Only a complete file replaces the old one."""
    path = tmp_path / "file"
    path.write_text("old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_file(path, fail)

    assert path.read_text() == "old"


def test_parent_folders_are_created_and_no_temporary_file_remains(tmp_path: Path) -> None:
    """The folder contains the new files only."""
    folder = tmp_path / "a" / "b"

    replace_bytes(folder / "bytes", b"1")
    replace_json(folder / "value.json", {"key": [1]})

    assert sorted(path.name for path in folder.iterdir()) == ["bytes", "value.json"]
    assert json.loads((folder / "value.json").read_text()) == {"key": [1]}
