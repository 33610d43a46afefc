"""Trials of bundles in other processes, with the shipped bundle and hostile runtimes."""

import shutil
from pathlib import Path

import pytest

from service.app import build_registry
from service.artifact import open_bundle
from service.errors import ArtifactError
from service.inference.registry import Registry
from service.inference.trial import Trial
from service.observability.metrics import FOLDER_VARIABLE
from service.settings import MIB, Settings
from tests.support.fakes import FakeRuntime, write_bundle

STORE = Path(__file__).parents[4] / "models_store"


def test_shipped_bundle_passes_once() -> None:
    """A bundle is loaded within 200 MiB; the same bundle is not tried again."""
    trial = Trial(STORE, 60, 200 * MIB)
    bundle = open_bundle(STORE, "mnist", 2)

    trial.check(bundle, "onnx")

    assert trial._passed == {bundle.digest}
    Trial(STORE, 1e-3, MIB, trial._passed).check(bundle, "onnx")


@pytest.mark.parametrize(
    ("seconds", "memory", "reason"),
    [(0.05, 200 * MIB, "LATENTD_LOAD_SECONDS"), (5, MIB, "memory|LATENTD_LOAD_SECONDS|rejects")],
)
def test_limits_apply(seconds: float, memory: int, reason: str) -> None:
    """A bundle that takes too long or too much memory is rejected with the limit."""
    with pytest.raises(ArtifactError, match=reason):
        Trial(STORE, seconds, memory).check(open_bundle(STORE, "mnist", 2), "onnx")


def test_reason_comes_from_the_process(tmp_path: Path) -> None:
    """A bundle whose graph is not ONNX is rejected with the reason of the process."""
    write_bundle(tmp_path, "fake")

    with pytest.raises(ArtifactError, match=r"fake@1: .*graph"):
        Trial(tmp_path, 60, 200 * MIB).check(open_bundle(tmp_path, "fake", 1), "onnx")


class RejectingTrial(Trial):
    """A trial that fails."""

    def check(self, *_: object) -> None:
        """Reject any bundle."""
        raise ArtifactError("rejected by the trial")


def test_only_bundles_that_change_while_serving_are_tried(tmp_path: Path) -> None:
    """The start loads bundles at once; a failed trial rejects the new version only."""
    write_bundle(tmp_path, "full")
    trial = RejectingTrial(tmp_path, 1, 1)
    registry = Registry(tmp_path, lambda _: FakeRuntime(), 2, trial=trial)
    registry.load()
    write_bundle(tmp_path, "full")

    registry.refresh()

    assert [*registry.models["full"]] == [1]
    assert [state.reason for state in registry.index()] == ["", "full@2: rejected by the trial"]


@pytest.mark.parametrize(("seconds", "is_tried"), [(60, True), (0, False)])
def test_setting_disables_trials(tmp_path: Path, seconds: float, *, is_tried: bool) -> None:
    """With `load_seconds` 0 new bundles are loaded at once."""
    shutil.copytree(STORE / "mnist", tmp_path / "mnist")

    registry = build_registry(Settings(models_store=tmp_path, load_seconds=seconds))

    assert (registry._trial is not None) == is_tried


def test_workers_share_one_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle that passed in one worker is not tried in another one."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    bundle = open_bundle(STORE, "mnist", 2)

    Trial(STORE, 60, 200 * MIB).check(bundle, "onnx")
    Trial(STORE, 1e-3, MIB).check(bundle, "onnx")

    with pytest.raises(ArtifactError):
        Trial(STORE, 1e-3, MIB).check(bundle, "torchscript")
