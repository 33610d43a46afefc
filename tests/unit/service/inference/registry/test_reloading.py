"""The registry while the store changes: a model is replaced only by a valid one."""

import logging
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from service.artifact import NetworkSpec
from service.errors import (
    ArtifactError,
    ModelNotFoundError,
    NotReadyError,
    UnsupportedOperationError,
)
from service.inference.registry.registry import Registry
from service.observability.metrics import RELOADS
from service.runtimes import Network
from tests.support.fakes import FakeRuntime, write_bundle

ZEROS = np.zeros((1, 1, 8, 6), np.float32)


class CountingRuntime(FakeRuntime):
    """A fake backend that counts the graphs it loads, and can run out of memory."""

    def __init__(self) -> None:
        """Start at zero."""
        super().__init__()
        self.loaded = 0
        self.is_out_of_memory = False

    def load(self, graph: bytes, spec: NetworkSpec) -> Network:
        """See `service.runtimes.base.Runtime.load`."""
        if self.is_out_of_memory:
            raise MemoryError
        self.loaded += 1
        return super().load(graph, spec)


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A read-only store with two versions of one bundle."""
    folder = tmp_path_factory.mktemp("published")
    for _ in range(2):
        write_bundle(folder, "full")
    return folder


@pytest.fixture
def store(published: Path, tmp_path: Path) -> Path:
    """A copy of the published store."""
    return shutil.copytree(published, tmp_path / "store")


@pytest.fixture
def runtime() -> CountingRuntime:
    """The backend of `registry`."""
    return CountingRuntime()


@pytest.fixture
def registry(store: Path, runtime: CountingRuntime) -> Registry:
    """A registry that has loaded both versions."""
    registry = Registry(store, lambda _: runtime, 2)
    registry.load()
    return registry


def publish_broken(store: Path, version: int) -> None:
    """Publish a version with a damaged file."""
    shutil.copytree(store / "full" / "1", store / "full" / str(version))
    (store / "full" / str(version) / "encoder.onnx").write_bytes(b"changed")


def count_reloads(outcome: str) -> float:
    """Return the number of reloads with an outcome."""
    (metric,) = RELOADS.collect()
    return next(
        sample.value
        for sample in metric.samples
        if sample.labels.get("outcome") == outcome and sample.name.endswith("_total")
    )


def test_refresh_loads_new_versions(store: Path, registry: Registry) -> None:
    """New versions replace the lowest ones; a request can still use the model that it found."""
    oldest = registry.find("full@1")
    before = count_reloads("loaded")
    write_bundle(store, "full")
    write_bundle(store, "another")

    registry.refresh()

    assert {name: list(versions) for name, versions in registry.models.items()} == {
        "another": [1],
        "full": [3, 2],
    }
    assert registry.find("full").reference == "full@3"
    assert oldest.run("encoder", ZEROS)[0].shape == (1, 4)
    assert count_reloads("loaded") == before + 2


def test_refresh_of_an_unchanged_store_reads_nothing(
    registry: Registry, runtime: CountingRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If no file has changed, no manifest is read and the registry keeps the same models."""
    before = registry.models
    loaded = runtime.loaded
    monkeypatch.setattr("service.inference.registry.reconcile.open_bundle", None)

    registry.refresh()

    assert runtime.loaded == loaded
    assert all(
        registry.find(model.reference) is model
        for versions in before.values()
        for model in versions.values()
    )


def test_broken_version_is_rejected_once(
    store: Path, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged and counted once and is in the index; the old versions stay loaded."""
    before = count_reloads("refused")
    publish_broken(store, 3)

    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            registry.refresh()

    assert list(registry.models["full"]) == [2, 1]
    assert registry.missing == []
    assert len(caplog.records) == 1
    assert count_reloads("refused") == before + 1
    (rejected,) = [state for state in registry.index() if not state.is_ready]
    assert (rejected.name, rejected.version) == ("full", 3)
    assert "encoder.onnx" in rejected.reason
    assert "encoder" in rejected.networks


def test_version_copied_file_by_file_is_loaded_when_complete(
    store: Path, registry: Registry
) -> None:
    """A version is rejected while files are missing, and loaded when the last one arrives."""
    source, target = store / "full" / "1", store / "full" / "3"
    target.mkdir()
    registry.refresh()
    for file in sorted(source.iterdir(), reverse=True):
        shutil.copy(file, target)
        registry.refresh()

    assert registry.find("full").reference == "full@3"
    assert [state for state in registry.index() if state.reason] == []


def test_removed_version_is_dropped(store: Path, registry: Registry) -> None:
    """After a version is removed from the store, the version below it is loaded again."""
    write_bundle(store, "full")
    registry.refresh()
    shutil.rmtree(store / "full" / "3")

    registry.refresh()

    assert list(registry.models["full"]) == [2, 1]


def test_removed_name_is_dropped(store: Path, registry: Registry) -> None:
    """A bundle that was removed from the store is not found."""
    write_bundle(store, "another")
    shutil.rmtree(store / "full")

    registry.refresh()

    assert list(registry.models) == ["another"]
    with pytest.raises(ModelNotFoundError):
        registry.find("full")


def _move(store: Path) -> None:
    store.rename(store.with_name("moved"))


def _empty(store: Path) -> None:
    shutil.rmtree(store)
    store.mkdir()


@pytest.mark.parametrize("break_store", [_move, _empty])
def test_unusable_store_changes_no_model(
    store: Path,
    registry: Registry,
    caplog: pytest.LogCaptureFixture,
    break_store: Callable[[Path], None],
) -> None:
    """If the store is missing or empty, all models stay loaded; one line is logged."""
    break_store(store)

    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            registry.refresh()

    assert registry.is_degraded
    assert list(registry.models["full"]) == [2, 1]
    assert registry.missing == []
    with pytest.raises(NotReadyError, match=r"^The models store cannot be read or is empty\.$"):
        registry.reload("full")
    assert len(caplog.records) == 1
    assert "\n" not in caplog.text.strip()


def test_recovered_store_is_loaded(store: Path, registry: Registry) -> None:
    """When the store can be read again, its current versions are loaded."""
    _move(store)
    registry.refresh()
    store.with_name("moved").rename(store)
    write_bundle(store, "full")

    registry.refresh()

    assert not registry.is_degraded
    assert registry.find("full").reference == "full@3"


def test_version_replaced_in_place(store: Path, registry: Registry) -> None:
    """A different bundle under the same version is loaded; a copy of the same bundle is not."""
    old = registry.find("full@2")
    shutil.copytree(store / "full" / "2", store / "copy")
    shutil.rmtree(store / "full" / "2")
    (store / "copy").rename(store / "full" / "2")
    registry.refresh()
    assert registry.find("full@2") is old

    write_bundle(store, "bare", without=frozenset({"vae"}))
    shutil.rmtree(store / "full" / "2")
    (store / "bare" / "1").rename(store / "full" / "2")
    registry.refresh()

    assert "vae_encoder" not in registry.find("full@2").networks


def test_unloaded_bundle_returns_only_by_reload(store: Path, registry: Registry) -> None:
    """A refresh skips an unloaded bundle, which the index lists as unloaded."""
    write_bundle(store, "another")
    registry.refresh()
    registry.unload("full")
    registry.unload("full")
    write_bundle(store, "full")

    registry.refresh()

    assert list(registry.models) == ["another"]
    assert registry.missing == []
    unloaded = [state for state in registry.index() if state.name == "full"]
    assert [(state.version, state.is_ready, state.reason) for state in unloaded] == [
        (1, False, "unloaded"),
        (2, False, "unloaded"),
    ]

    registry.reload("full")

    assert list(registry.models["full"]) == [3, 2]


def test_all_bundles_can_be_unloaded(registry: Registry) -> None:
    """Without loaded models the default is empty, and a lookup is an error."""
    registry.unload("full")

    assert registry.default == ""
    with pytest.raises(ModelNotFoundError, match="Loaded models: none"):
        registry.find(None)


def test_reload_of_a_broken_version(store: Path, registry: Registry) -> None:
    """The error gives the reason; the loaded versions stay."""
    publish_broken(store, 3)

    with pytest.raises(UnsupportedOperationError, match=r"full@3: encoder\.onnx"):
        registry.reload("full")

    assert list(registry.models["full"]) == [2, 1]


@pytest.mark.parametrize("name", ["other", "", "..", "../full", "full/1", "full@1", "/"])
def test_unknown_names_are_rejected(registry: Registry, name: str) -> None:
    """A name is compared with the names in the store and never used as a path."""
    with pytest.raises(ModelNotFoundError):
        registry.reload(name)
    with pytest.raises(ModelNotFoundError):
        registry.unload(name)


@pytest.mark.slow
def test_concurrent_reloads(store: Path, registry: Registry) -> None:
    """A lookup always finds a model while 32 threads reload and new versions are published."""
    threads, rounds = 32, 20
    is_done = threading.Event()

    def reload(_: int) -> None:
        for _ in range(rounds):
            registry.reload("full")

    def run() -> int:
        runs = 0
        while not is_done.is_set():
            assert registry.find(None).run("encoder", ZEROS)[0].shape == (1, 4)
            runs += 1
        return runs

    with ThreadPoolExecutor(threads + 1) as pool:
        running = pool.submit(run)
        reloading = [pool.submit(reload, number) for number in range(threads)]
        last = [write_bundle(store, "full").version for _ in range(5)][-1]
        for future in reloading:
            future.result()
        is_done.set()
        assert running.result() > 0

    registry.refresh()
    assert registry.find(None).reference == f"full@{last}"
    assert list(registry.models["full"]) == [last, last - 1]


def test_reload_leaves_other_bundles_alone(store: Path, registry: Registry) -> None:
    """A reload loads the new versions of one name, and none of another."""
    write_bundle(store, "another")
    for name in ("full", "another"):
        write_bundle(store, name)

    registry.reload("full")

    assert {name: list(versions) for name, versions in registry.models.items()} == {"full": [3, 2]}


def test_lost_file_is_reported_for_a_loaded_version(
    store: Path, runtime: CountingRuntime, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    """The index shows the reason, one line is logged, and the next start can skip the version."""
    (store / "full" / "2" / "encoder.onnx").unlink()
    loaded = runtime.loaded
    before = count_reloads("refused")

    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            registry.refresh()

    assert runtime.loaded == loaded
    states = {state.version: state for state in registry.index()}
    assert states[2].is_ready
    assert states[2].reason.startswith("full@2: encoder.onnx cannot be read")
    assert states[1].reason == ""
    (line,) = caplog.messages
    assert line.startswith(f"rejected {states[2].reason} (FileNotFoundError: ")
    assert count_reloads("refused") == before + 1

    with pytest.raises(ArtifactError, match="full@2"):
        Registry(store, lambda _: runtime, 2).load()
    restarted = Registry(store, lambda _: runtime, 2, skip_broken_models=True)
    restarted.load()
    assert list(restarted.models["full"]) == [1]

    registry.unload("full")
    assert registry.models == {}


def test_memory_error_does_not_stop_a_refresh(
    store: Path, runtime: CountingRuntime, registry: Registry
) -> None:
    """A bundle that runs out of memory is rejected; a refresh still drops removed versions."""
    write_bundle(store, "another")
    shutil.rmtree(store / "full" / "1")
    runtime.is_out_of_memory = True

    registry.refresh()

    assert {name: list(versions) for name, versions in registry.models.items()} == {"full": [2]}
    (rejected,) = [state for state in registry.index() if state.reason]
    assert rejected.reason == "another@1: it failed to load (MemoryError)"

    runtime.is_out_of_memory = False
    registry.reload("another")
    assert registry.find("another").reference == "another@1"
