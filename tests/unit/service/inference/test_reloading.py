"""The registry while the store changes: the old serves until the new is good."""

import logging
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from service.artifact import NetworkSpec
from service.errors import ModelNotFoundError, NotReadyError, UnsupportedOperationError
from service.inference.registry import Registry
from service.observability.metrics import RELOADS
from service.runtimes import Network
from tests.support.fakes import FakeRuntime, write_bundle

ZEROS = np.zeros((1, 1, 8, 6), np.float32)


class CountingRuntime(FakeRuntime):
    """A fake backend that counts the graphs that it loads."""

    def __init__(self) -> None:
        """Start at none."""
        super().__init__()
        self.loaded = 0

    def load(self, graph: bytes, spec: NetworkSpec) -> Network:
        """See `service.runtimes.base.Runtime.load`."""
        self.loaded += 1
        return super().load(graph, spec)


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of one bundle; not to be changed."""
    folder = tmp_path_factory.mktemp("published")
    for _ in range(2):
        write_bundle(folder, "full")
    return folder


@pytest.fixture
def store(published: Path, tmp_path: Path) -> Path:
    """A copy of the published bundles."""
    return shutil.copytree(published, tmp_path / "store")


@pytest.fixture
def runtime() -> CountingRuntime:
    """The backend."""
    return CountingRuntime()


@pytest.fixture
def registry(store: Path, runtime: CountingRuntime) -> Registry:
    """A registry that has loaded both versions."""
    loaded = Registry(store, lambda _: runtime, 2)
    loaded.load()
    return loaded


def spoil(store: Path, version: int) -> None:
    """Publish a version that must not be served."""
    shutil.copytree(store / "full" / "1", store / "full" / str(version))
    (store / "full" / str(version) / "encoder.onnx").write_bytes(b"changed")


def count_reloads(outcome: str) -> float:
    """Return how many reloads ended so."""
    (metric,) = RELOADS.collect()
    return next(
        one.value
        for one in metric.samples
        if one.labels.get("outcome") == outcome and one.name.endswith("_total")
    )


def test_a_new_version_is_taken_up(store: Path, registry: Registry) -> None:
    """What is published is served, the oldest dropped, and a request keeps what it found."""
    held = registry.find("full@1")
    before = count_reloads("loaded")
    write_bundle(store, "full")
    write_bundle(store, "another")

    registry.refresh()

    assert {name: list(versions) for name, versions in registry.models.items()} == {
        "another": [1],
        "full": [3, 2],
    }
    assert registry.find("full").reference == "full@3"
    assert held.run("encoder", ZEROS)[0].shape == (1, 4)
    assert count_reloads("loaded") == before + 2


def test_nothing_is_loaded_where_nothing_changed(
    registry: Registry, runtime: CountingRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as the store is as it was no manifest is read, and models stay the very same."""
    before = registry.models
    loaded = runtime.loaded
    monkeypatch.setattr("service.inference.model_loading.open_bundle", None)

    registry.refresh()

    assert runtime.loaded == loaded
    assert all(
        registry.find(model.reference) is model
        for versions in before.values()
        for model in versions.values()
    )


def test_a_bad_version_is_refused_and_the_old_serves(
    store: Path, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged and counted once, stands in the index, and leaves the service ready."""
    before = count_reloads("refused")
    spoil(store, 3)

    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            registry.refresh()

    assert list(registry.models["full"]) == [2, 1]
    assert registry.missing == []
    assert len(caplog.records) == 1
    assert count_reloads("refused") == before + 1
    (refused,) = [one for one in registry.index() if not one.is_ready]
    assert (refused.name, refused.version) == ("full", 3)
    assert "encoder.onnx" in refused.reason
    assert "encoder" in refused.networks


def test_a_bundle_that_is_copied_file_by_file_is_served_in_the_end(
    store: Path, registry: Registry
) -> None:
    """A half-written version is refused as long as it is half-written."""
    source, target = store / "full" / "1", store / "full" / "3"
    target.mkdir()
    registry.refresh()
    for file in sorted(source.iterdir(), reverse=True):
        shutil.copy(file, target)
        registry.refresh()

    assert registry.find("full").reference == "full@3"
    assert [one for one in registry.index() if one.reason] == []


def test_a_version_that_is_gone_is_dropped(store: Path, registry: Registry) -> None:
    """A version that was taken back is served no more; the one before it is again."""
    write_bundle(store, "full")
    registry.refresh()
    shutil.rmtree(store / "full" / "3")

    registry.refresh()

    assert list(registry.models["full"]) == [2, 1]


def test_a_name_that_is_gone_is_dropped(store: Path, registry: Registry) -> None:
    """A bundle that was taken out of the store is not found."""
    write_bundle(store, "another")
    shutil.rmtree(store / "full")

    registry.refresh()

    assert list(registry.models) == ["another"]
    with pytest.raises(ModelNotFoundError):
        registry.find("full")


def _vanish(store: Path) -> None:
    store.rename(store.with_name("moved"))


def _empty(store: Path) -> None:
    shutil.rmtree(store)
    store.mkdir()


@pytest.mark.parametrize("lose", [_vanish, _empty])
def test_a_lost_store_changes_nothing(
    store: Path,
    registry: Registry,
    caplog: pytest.LogCaptureFixture,
    lose: Callable[[Path], None],
) -> None:
    """Where the store is gone or empty what is loaded serves on, and it is told once."""
    lose(store)

    with caplog.at_level(logging.ERROR):
        registry.refresh()
        registry.refresh()

    assert registry.is_degraded
    assert list(registry.models["full"]) == [2, 1]
    assert registry.missing == []
    assert len(caplog.records) == 1
    with pytest.raises(NotReadyError, match=r"^the models store cannot be read$"):
        registry.reload("full")


def test_a_store_comes_back(store: Path, registry: Registry) -> None:
    """A store that can be read again is taken up where it stands."""
    _vanish(store)
    registry.refresh()
    store.with_name("moved").rename(store)
    write_bundle(store, "full")

    registry.refresh()

    assert not registry.is_degraded
    assert registry.find("full").reference == "full@3"


def test_a_version_that_was_replaced_in_its_place(store: Path, registry: Registry) -> None:
    """Another bundle under the same number is loaded; a copy of the same one is not."""
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


def test_unloaded_until_loaded(store: Path, registry: Registry) -> None:
    """A bundle that was unloaded is not brought back by looking, only by loading it."""
    write_bundle(store, "another")
    registry.refresh()
    registry.unload("full")
    registry.unload("full")
    write_bundle(store, "full")

    registry.refresh()

    assert list(registry.models) == ["another"]
    assert registry.missing == []
    unloaded = [one for one in registry.index() if one.name == "full"]
    assert [(one.version, one.is_ready, one.reason) for one in unloaded] == [
        (1, False, "unloaded"),
        (2, False, "unloaded"),
    ]

    registry.reload("full")

    assert list(registry.models["full"]) == [3, 2]


def test_everything_can_be_unloaded(registry: Registry) -> None:
    """With nothing served nothing is found, and that is said."""
    registry.unload("full")

    assert registry.default == ""
    with pytest.raises(ModelNotFoundError, match="there are none"):
        registry.find(None)


def test_loading_what_must_not_be_served(store: Path, registry: Registry) -> None:
    """A load that is refused says why, and the old versions serve on."""
    spoil(store, 3)

    with pytest.raises(UnsupportedOperationError, match=r"full@3: encoder\.onnx"):
        registry.reload("full")

    assert list(registry.models["full"]) == [2, 1]


@pytest.mark.parametrize("name", ["other", "", "..", "../full", "full/1", "full@1", "/"])
def test_unknown_names_are_neither_loaded_nor_unloaded(registry: Registry, name: str) -> None:
    """A name is looked up among what there is, and never made a path."""
    with pytest.raises(ModelNotFoundError):
        registry.reload(name)
    with pytest.raises(ModelNotFoundError):
        registry.unload(name)


def test_very_many_reloads_at_a_time(store: Path, registry: Registry) -> None:
    """Requests never miss their model while 32 threads reload and versions are published."""
    threads, rounds = 32, 20
    ends = threading.Event()

    def reload(_: int) -> None:
        for _ in range(rounds):
            registry.reload("full")

    def ask() -> int:
        asked = 0
        while not ends.is_set():
            assert registry.find(None).run("encoder", ZEROS)[0].shape == (1, 4)
            asked += 1
        return asked

    with ThreadPoolExecutor(threads + 1) as pool:
        asking = pool.submit(ask)
        reloading = [pool.submit(reload, number) for number in range(threads)]
        last = [write_bundle(store, "full").version for _ in range(5)][-1]
        for one in reloading:
            one.result()
        ends.set()
        assert asking.result() > 0

    registry.refresh()
    assert registry.find(None).reference == f"full@{last}"
    assert list(registry.models["full"]) == [last, last - 1]
