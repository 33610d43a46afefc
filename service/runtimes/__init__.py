"""Backends that run networks, one module per stored form behind the `Runtime` protocol.

To add a backend: write `service/runtimes/<form>.py` with a `RUNTIME` class, and add `<form>` to
`GraphFormat` in `service/artifact/manifest.py`.
"""

import importlib

from service.artifact.specs import GraphFormat
from service.artifact.tensor_files import Floats
from service.errors import MissingExtraError
from service.runtimes.base import Network, Runtime
from service.runtimes.devices import Device, DeviceChoice

__all__ = ["Device", "DeviceChoice", "Floats", "Network", "Runtime", "open_runtime"]


def open_runtime(
    backend: GraphFormat, threads: int, device: DeviceChoice = "cpu", run_seconds: float = 0.0
) -> Runtime:
    """Import a backend and return it with `threads` threads per run.

    Args:
        backend: The backend.
        threads: Threads of one run.
        device: The device.
        run_seconds: Longest duration of a run, where the backend can interrupt it; 0 for no limit.

    Raises:
        DeviceError: the device is not available.
        MissingExtraError: its library is not installed; the text names the extra to install.
    """
    try:
        module = importlib.import_module(f"service.runtimes.{backend}")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"the {backend} backend needs {error.name}: pip install 'latentd[{backend}]'"
        ) from error
    runtime: Runtime = module.RUNTIME(threads, device, run_seconds)
    return runtime
