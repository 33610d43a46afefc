"""A time limit for runs of networks: a run that exceeds it is interrupted."""

import numpy as np
import pytest

from service.errors import DeadlineExceededError
from service.runtimes import open_runtime
from service.runtimes.run_limit import RunLimit
from tests.support.servers import wait_until
from tests.support.slow_graphs import SPEC, make_slow_graph

ZEROS = np.zeros((1, 1), np.float32)


class FakeRun:
    """Stands for `onnxruntime.RunOptions`."""

    terminate = False


@pytest.mark.slow
def test_long_run_is_interrupted() -> None:
    """A run of a minute ends at the limit; the error names the setting."""
    network = open_runtime("onnx", 1, run_seconds=0.2).load(make_slow_graph(), SPEC)

    for _ in range(2):
        with pytest.raises(DeadlineExceededError, match=r"0\.2 seconds .*LATENTD_RUN_SECONDS"):
            network.run(ZEROS)


def test_each_run_has_its_own_limit() -> None:
    """Only a run that lasts too long is terminated; one that has ended is forgotten."""
    limit = RunLimit(0.02)
    short, long = FakeRun(), FakeRun()

    with limit.watching(short):
        pass
    with limit.watching(long):
        wait_until(lambda: long.terminate)

    assert not short.terminate


def test_no_limit_starts_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a limit runs are not checked."""
    monkeypatch.setattr("service.runtimes.run_limit.threading", None)

    with RunLimit(0).watching(run := FakeRun()):
        assert not run.terminate
