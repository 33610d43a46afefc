"""Trials of bundles in other processes, with the shipped bundle and hostile runtimes."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest

from service.app import build_registry
from service.artifact import Bundle, list_bundles, open_bundle
from service.artifact.specs import GraphFormat
from service.errors import ArtifactError
from service.inference.registry.registry import Registry
from service.inference.registry.trial import Trial, UntriedError
from service.observability.metrics import FOLDER_VARIABLE
from service.settings import MIB, Settings
from tests.support.fakes import FakeRuntime, write_bundle
from tests.support.servers import wait_until

STORE = Path(__file__).parents[5] / "models_store"
VERSION = list_bundles(STORE)["mnist"][0]


def try_bundle(trial: Trial, bundle: Bundle, backend: GraphFormat = "onnx") -> None:
    """Run a trial; raise its error."""
    with pytest.raises(UntriedError):
        trial.check(bundle, backend)
    trial.run(bundle, backend)
    trial.check(bundle, backend)


class CountingTrial(Trial):
    """A trial that runs no process; it counts the trials, and may wait in them or reject."""

    def __init__(self, reason: str = "") -> None:
        """Start without trials.

        Args:
            reason: Why each bundle is rejected; empty if none is.
        """
        super().__init__(STORE, 60, MIB)
        self.tried: list[str] = []
        self.reason = reason
        self.may_end = threading.Event()
        self.may_end.set()

    def _run(self, bundle: Bundle, _backend: GraphFormat) -> None:
        self.tried.append(f"{bundle.name}@{bundle.version}")
        assert self.may_end.wait(20)
        if self.reason:
            raise ArtifactError(self.reason)


def test_shipped_bundle_passes_once() -> None:
    """A bundle is loaded within 200 MiB; the same bundle is not tried again."""
    trial = Trial(STORE, 60, 200 * MIB)
    bundle = open_bundle(STORE, "mnist", VERSION)

    try_bundle(trial, bundle)
    trial.seconds = 1e-3
    trial.run(bundle, "onnx")

    trial.check(bundle, "onnx")


@pytest.mark.parametrize(
    ("seconds", "memory", "reason"),
    [(0.05, 200 * MIB, "LATENTD_LOAD_SECONDS"), (5, MIB, "memory|LATENTD_LOAD_SECONDS|rejects")],
)
def test_limits_apply(seconds: float, memory: int, reason: str) -> None:
    """A bundle that takes too long or too much memory is rejected with the limit."""
    with pytest.raises(ArtifactError, match=reason):
        try_bundle(Trial(STORE, seconds, memory), open_bundle(STORE, "mnist", VERSION))


def test_reason_comes_from_the_process(tmp_path: Path) -> None:
    """A bundle whose graph is not ONNX is rejected with the reason of the process."""
    write_bundle(tmp_path, "fake")

    with pytest.raises(ArtifactError, match=r"fake@1: .*graph"):
        try_bundle(Trial(tmp_path, 60, 200 * MIB), open_bundle(tmp_path, "fake", 1))


def load_registry(store: Path, trial: Trial) -> Registry:
    """Return a registry that has loaded a fake bundle, and has a new version to try."""
    write_bundle(store, "full")
    registry = Registry(store, lambda _: FakeRuntime(), 2, trial=trial)
    registry.load()
    write_bundle(store, "full")
    return registry


def test_only_bundles_that_change_while_serving_are_tried(tmp_path: Path) -> None:
    """The start loads bundles at once; a failed trial rejects the new version only."""
    trial = CountingTrial("rejected by the trial")
    registry = load_registry(tmp_path, trial)

    registry.refresh()

    assert [*registry.models["full"]] == [1]
    assert [state.reason for state in registry.index()] == ["", "full@2: rejected by the trial"]
    assert trial.tried == ["full@2"]


def test_registry_can_be_used_during_a_trial(tmp_path: Path) -> None:
    """While a trial hangs, other bundles are loaded and unloaded; the result comes later."""
    trial = CountingTrial()
    registry = load_registry(tmp_path, trial)
    write_bundle(tmp_path, "another")
    registry.refresh()
    write_bundle(tmp_path, "full", without=frozenset({"extras"}))  # not the bundle that passed
    trial.may_end.clear()
    with ThreadPoolExecutor(1) as pool:
        refreshing = pool.submit(registry.refresh)
        wait_until(lambda: trial.tried[-1] == "full@3")

        registry.unload("another")
        registry.reload("another")
        during = {name: [*versions] for name, versions in registry.models.items()}
        trial.may_end.set()
        refreshing.result()

    assert during == {"another": [1], "full": [2, 1]}
    assert [*registry.models["full"]] == [3, 2]


def test_failure_is_remembered_until_a_reload(tmp_path: Path) -> None:
    """A version that failed is not tried again by a refresh; a reload by request tries it."""
    trial = CountingTrial("rejected by the trial")
    registry = load_registry(tmp_path, trial)
    for _ in range(2):
        registry.refresh()
        (tmp_path / "full" / "2" / "manifest.json").touch()
    assert trial.tried == ["full@2"]
    trial.reason = ""

    registry.reload("full")

    assert [*registry.models["full"]] == [2, 1]


def test_old_failure_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure may have been caused by other work: later the bundle is tried again."""
    monkeypatch.setattr("service.inference.registry.trial._FAILURE_SECONDS", -1.0)
    trial = CountingTrial("rejected by the trial")
    bundle = open_bundle(STORE, "mnist", VERSION)

    trial.run(bundle, "onnx")

    with pytest.raises(UntriedError):
        trial.check(bundle, "onnx")


@pytest.mark.parametrize(("seconds", "is_tried"), [(60, True), (0, False)])
def test_setting_disables_trials(tmp_path: Path, seconds: float, *, is_tried: bool) -> None:
    """With `load_seconds` 0 new bundles are loaded at once."""
    shutil.copytree(STORE / "mnist", tmp_path / "mnist")

    registry = build_registry(Settings(models_store=tmp_path, load_seconds=seconds))

    assert (registry._trial is not None) == is_tried


@pytest.mark.parametrize("reason", ["", "it takes too long"])
def test_workers_share_one_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    """A bundle that passed or failed in one worker is not tried in another one."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    bundle = open_bundle(STORE, "mnist", VERSION)
    workers = [CountingTrial(reason) for _ in range(3)]

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda worker: worker.run(bundle, "onnx"), workers))

    assert sum(len(worker.tried) for worker in workers) == 1
    for worker in workers:
        with pytest.raises(ArtifactError, match=reason) if reason else nullcontext():
            worker.check(bundle, "onnx")


@pytest.mark.parametrize("start", ["", "x", "xx"])  # one of them is cut within a character
def test_workers_share_a_long_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    """A reason that exceeds the file's limit is cut, also within a character."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    bundle = open_bundle(STORE, "mnist", VERSION)
    first, second = CountingTrial(start + "€" * 2000), CountingTrial("")

    first.run(bundle, "onnx")
    second.run(bundle, "onnx")

    assert second.tried == []
    with pytest.raises(ArtifactError, match=f"{start}€€€"):
        second.check(bundle, "onnx")


def test_backends_have_separate_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle that passed with one backend is tried with another one."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    bundle = open_bundle(STORE, "mnist", VERSION)
    trial = CountingTrial()

    trial.run(bundle, "onnx")
    trial.run(bundle, "torchscript")

    assert len(trial.tried) == 2
