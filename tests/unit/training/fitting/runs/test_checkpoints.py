"""Checkpoints: round trip, damage, and no code execution."""

import io
import json
from pathlib import Path

import pytest
import torch

from training.errors import RunError
from training.fitting.runs.checkpoints import (
    Epoch,
    Progress,
    is_finished,
    read_checkpoint,
    write_checkpoint,
)

CPU = torch.device("cpu")


def make_progress(finished: bool = False) -> Progress:
    """Return the progress after one epoch."""
    return Progress([Epoch(0.5, 0.25, 0.001, 1.5)], 1, {"weight": torch.ones(2)}, finished)


def test_a_checkpoint_is_read_as_it_was_written(tmp_path: Path) -> None:
    """History, best weights, current weights and optimiser state are preserved."""
    write_checkpoint(tmp_path, make_progress(), {"weight": torch.zeros(2)}, {"state": {0: 1.0}})

    checkpoint = read_checkpoint(tmp_path, CPU)

    assert checkpoint is not None
    progress, weights, optimizer = checkpoint
    assert progress.history == make_progress().history
    assert progress.best_loss == 0.25
    assert torch.equal(progress.best["weight"], torch.ones(2))
    assert torch.equal(weights["weight"], torch.zeros(2))
    assert optimizer == {"state": {0: 1.0}}


def test_the_history_is_json(tmp_path: Path) -> None:
    """history.json contains each epoch's losses and the best epoch."""
    write_checkpoint(tmp_path, make_progress(), {}, {})

    history = json.loads((tmp_path / "history.json").read_text())

    assert history["best_epoch"] == 1
    assert history["epochs"][0]["validation_loss"] == 0.25


def test_a_folder_without_a_checkpoint_gives_none(tmp_path: Path) -> None:
    """A missing checkpoint is not an error."""
    assert read_checkpoint(tmp_path, CPU) is None
    assert not is_finished(tmp_path)


@pytest.mark.parametrize("finished", [False, True])
def test_a_checkpoint_records_whether_training_finished(tmp_path: Path, finished: bool) -> None:
    """`is_finished` returns the recorded value."""
    write_checkpoint(tmp_path, make_progress(finished), {}, {})

    assert is_finished(tmp_path) is finished


class Payload:
    """An object that calls a function when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        """Return a call of print, which pickle would execute."""
        return print, ("this must not run",)


def make_payload() -> bytes:
    """Return a checkpoint with a pickled function call."""
    buffer = io.BytesIO()
    torch.save({"history": Payload()}, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content", [b"", b"not a checkpoint", make_payload()], ids=["empty", "text", "payload"]
)
def test_a_damaged_checkpoint_is_rejected_without_executing_code(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the file and --fresh."""
    (tmp_path / "checkpoint.pt").write_bytes(content)

    with pytest.raises(RunError, match=r"^[^\n]*checkpoint\.pt is damaged[^\n]*--fresh[^\n]*$"):
        read_checkpoint(tmp_path, CPU)

    assert "must not run" not in capsys.readouterr().out
