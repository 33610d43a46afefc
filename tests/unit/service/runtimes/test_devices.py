"""Device selection, with a fake CUDA driver and fake providers of ONNX Runtime."""

import ctypes
import logging.config
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from service.__main__ import main
from service.app import build_registry
from service.errors import DeviceError
from service.inference.model import load_model
from service.runtimes import DeviceChoice, devices, open_runtime
from service.settings import Settings
from tests.support.fakes import FakeRuntime, write_bundle
from tests.unit.service.runtimes.test_runtimes import SPEC, make_graph

GIB = 1024**3


class FakeDriver:
    """The functions of libcuda that are used."""

    def __init__(self, count: int, memory: int = 16 * GIB) -> None:
        """Have a number of devices with this memory."""
        self.count, self.memory = count, memory

    def cuInit(self, _flags: int) -> int:  # noqa: N802 - the names of the library
        """Return 0, or the status for no device."""
        return 0 if self.count else 100

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802, ANN401
        """Store the number of devices."""
        count._obj.value = self.count
        return 0

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:  # noqa: N802, ANN401
        """Store the handle of a device."""
        device._obj.value = ordinal
        return 0

    def cuDeviceTotalMem_v2(self, size: Any, _device: ctypes.c_int) -> int:  # noqa: N802, ANN401
        """Store the memory of a device."""
        size._obj.value = self.memory
        return 0


class FakeSession:
    """A session of ONNX Runtime that has loaded these providers."""

    def __init__(self, providers: list[str]) -> None:
        """Keep the names of the providers."""
        self.providers = providers

    def get_providers(self) -> list[str]:
        """Return the providers."""
        return self.providers


def fake_driver(monkeypatch: pytest.MonkeyPatch, count: int, memory: int = 16 * GIB) -> None:
    """Replace the CUDA driver."""
    monkeypatch.setattr(devices, "open_driver", lambda: FakeDriver(count, memory))


def fake_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ONNX Runtime claim a CUDA provider, as onnxruntime-gpu does on every machine."""
    names = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)


@pytest.mark.parametrize(
    ("choice", "problem", "count", "device"),
    [
        ("cpu", "", 1, "cpu"),
        ("auto", "", 1, "cuda"),
        ("auto", "", 0, "cpu"),
        ("auto", "no provider", 1, "cpu"),
        ("cuda", "", 2, "cuda"),
    ],
)
def test_the_device_follows_the_choice(
    monkeypatch: pytest.MonkeyPatch,
    choice: DeviceChoice,
    problem: str,
    count: int,
    device: str,
) -> None:
    """`auto` is CUDA only if the backend supports it and a device is visible."""
    fake_driver(monkeypatch, count)
    assert devices.choose_device(choice, lambda: problem) == device


def test_an_invisible_device_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """`cuda` without a visible device fails with the variable that may hide it."""
    fake_driver(monkeypatch, 0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    with pytest.raises(DeviceError, match=r"no CUDA device is visible \(CUDA_VISIBLE_DEVICES is"):
        devices.choose_device("cuda", str)


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """`cuda` on a machine without a driver fails with the other choices."""
    monkeypatch.setattr(devices, "open_driver", lambda: None)
    with pytest.raises(DeviceError, match="no NVIDIA driver"):
        devices.choose_device("cuda", str)
    assert devices.read_device_memory() == 0


@pytest.mark.parametrize("backend", ["onnx", "torchscript"])
def test_cuda_stops_the_start_with_one_line(
    backend: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without CUDA the choice `cuda` exits with 3 and one line, whatever the store contains."""
    for name in ("one", "two"):
        write_bundle(tmp_path, name)
    monkeypatch.setattr(logging.config, "dictConfig", lambda _: None)  # of the whole test run
    flags = [f"--models-store={tmp_path}", f"--backend={backend}"]
    assert main(["serve", "--device=cuda", *flags]) == 3
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("latentd serve: device 'cuda' (LATENTD_DEVICE")


def test_a_model_can_have_its_own_device(tmp_path: Path) -> None:
    """`model_devices` overrides `device` for its model."""
    for name in ("one", "two"):
        write_bundle(tmp_path, name)
    settings = Settings(models_store=tmp_path, device="cpu", model_devices={"two": "auto"})
    opened: list[str] = []

    def open_backend(_backend: str, _threads: int, device: DeviceChoice) -> FakeRuntime:
        opened.append(device)
        return FakeRuntime()

    build_registry(settings, open_backend).load()
    assert opened == ["cpu", "auto"]


def test_the_cuda_provider_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """On CUDA a session prefers the CUDA provider, in full float32 precision."""
    fake_provider(monkeypatch)
    fake_driver(monkeypatch, 1)
    used: list[Any] = []
    make_session = onnxruntime.InferenceSession

    def make(graph: bytes, options: object, providers: list[Any]) -> object:
        used.extend(providers)
        session = make_session(graph, options, providers=["CPUExecutionProvider"])
        monkeypatch.setattr(
            session, "get_providers", FakeSession(["CUDAExecutionProvider"]).get_providers
        )
        return session

    monkeypatch.setattr(onnxruntime, "InferenceSession", make)
    runtime = open_runtime("onnx", 1, "auto")
    network = runtime.load(make_graph(), SPEC)
    assert runtime.device == "cuda"
    assert used[0][0] == "CUDAExecutionProvider"
    assert used[0][1]["use_tf32"] == "0"
    assert network.run(np.ones((1, 1, 2, 2), np.float32))[0].sum() == 4


def test_a_silent_fallback_to_the_cpu_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session without the CUDA provider, for want of its libraries, is rejected."""
    fake_provider(monkeypatch)
    fake_driver(monkeypatch, 1)
    session = FakeSession(["CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: session)
    with pytest.raises(DeviceError, match=r"pip install 'latentd\[gpu\]'"):
        open_runtime("onnx", 1, "cuda").load(make_graph(), SPEC)


@pytest.mark.parametrize(
    ("device", "memory", "values", "images"),
    [
        ("cpu", 16 * GIB, 10**9, 256),
        ("cuda", 80 * GIB, 800, 4096),
        ("cuda", 4 * GIB, 300_000, 13),
        ("cuda", GIB, 10**9, 1),
    ],
)
def test_the_memory_of_the_device_bounds_a_run(
    monkeypatch: pytest.MonkeyPatch, device: devices.Device, memory: int, values: int, images: int
) -> None:
    """A run takes at most an eighth of the memory, and at least one image."""
    fake_driver(monkeypatch, 1, memory)
    assert devices.limit_images(device, values) == images


def test_a_model_on_cuda_splits_batches_by_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Batches are split by the memory, and the time per image is measured in a batch."""
    fake_driver(monkeypatch, 1, 8 * 4 * 32 * 60 * 5)
    runtime = FakeRuntime()
    runtime.device = "cuda"
    model = load_model(write_bundle(tmp_path, "full"), runtime)
    sizes: list[int] = []
    network = model.networks["encoder"]
    run = network.run
    monkeypatch.setattr(network, "run", lambda batch: (sizes.append(len(batch)), run(batch))[1])
    model.run("encoder", np.zeros((12, 1, 8, 6), np.float32))
    assert (model.device, sizes) == ("cuda", [5, 5, 2])
