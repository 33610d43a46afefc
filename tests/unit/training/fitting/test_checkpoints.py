"""Checkpoints: whole or absent, and never code."""

import io
import json
from pathlib import Path

import pytest
import torch

from training.errors import RunError
from training.fitting.checkpoints import (
    Epoch,
    Progress,
    is_finished,
    read_checkpoint,
    replace_file,
    write_checkpoint,
)

CPU = torch.device("cpu")


def make_progress(finished: bool = False) -> Progress:
    """Return the progress after one epoch."""
    return Progress([Epoch(0.5, 0.25, 0.001, 1.5)], 1, {"weight": torch.ones(2)}, finished)


def test_a_checkpoint_is_read_as_it_was_written(tmp_path: Path) -> None:
    """History, best weights, current weights and optimiser state survive."""
    write_checkpoint(tmp_path, make_progress(), {"weight": torch.zeros(2)}, {"state": {0: 1.0}})

    found = read_checkpoint(tmp_path, CPU)

    assert found is not None
    progress, weights, optimizer = found
    assert progress.history == make_progress().history
    assert progress.best_loss == 0.25
    assert torch.equal(progress.best["weight"], torch.ones(2))
    assert torch.equal(weights["weight"], torch.zeros(2))
    assert optimizer == {"state": {0: 1.0}}


def test_the_history_is_json_for_people_and_plots(tmp_path: Path) -> None:
    """history.json holds each epoch's losses and the best epoch."""
    write_checkpoint(tmp_path, make_progress(), {}, {})

    history = json.loads((tmp_path / "history.json").read_text())

    assert history["best_epoch"] == 1
    assert history["epochs"][0]["validation_loss"] == 0.25


def test_a_folder_without_a_checkpoint_is_a_start(tmp_path: Path) -> None:
    """Nothing there is no error."""
    assert read_checkpoint(tmp_path, CPU) is None
    assert not is_finished(tmp_path)


@pytest.mark.parametrize("finished", [False, True])
def test_a_checkpoint_says_whether_it_was_the_last(tmp_path: Path, finished: bool) -> None:
    """Only a fit that came to its end is finished."""
    write_checkpoint(tmp_path, make_progress(finished), {}, {})

    assert is_finished(tmp_path) is finished


class Payload:
    """An object whose unpickling would call something."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        """Ask the reader to call print."""
        return print, ("this must not run",)


def make_payload() -> bytes:
    """Return a checkpoint that would run something if it were unpickled."""
    buffer = io.BytesIO()
    torch.save({"history": Payload()}, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content", [b"", b"not a checkpoint", make_payload()], ids=["empty", "text", "payload"]
)
def test_a_broken_checkpoint_is_refused_and_nothing_in_it_runs(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the file and the way out."""
    (tmp_path / "checkpoint.pt").write_bytes(content)

    with pytest.raises(RunError, match=r"^[^\n]*checkpoint\.pt is damaged[^\n]*--fresh[^\n]*$"):
        read_checkpoint(tmp_path, CPU)

    assert "must not run" not in capsys.readouterr().out


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """A checkpoint is replaced only by a whole one."""
    path = tmp_path / "file"
    path.write_text("old")

    def fail(beside: Path) -> None:
        beside.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_file(path, fail)

    assert path.read_text() == "old"
