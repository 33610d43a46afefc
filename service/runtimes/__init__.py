"""The backends, each in a file of its own behind `Runtime`; add one as a file and a line here."""

from collections.abc import Callable

from service.artifact.manifest import GraphFormat
from service.errors import MissingExtraError
from service.runtimes.base import Floats, Network, Runtime

__all__ = ["Floats", "Network", "Runtime", "open_runtime"]


def _open_onnx(threads: int) -> Runtime:
    from service.runtimes.onnx import OnnxRuntime  # noqa: PLC0415 - loads onnxruntime

    return OnnxRuntime(threads)


def _open_torchscript(threads: int) -> Runtime:
    try:
        from service.runtimes.torchscript import (  # noqa: PLC0415 - torch is an extra
            TorchScriptRuntime,
        )
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "the torchscript backend needs torch: pip install 'latentd[torchscript]'"
        ) from error
    return TorchScriptRuntime(threads)


_RUNTIMES: dict[GraphFormat, Callable[[int], Runtime]] = {
    "onnx": _open_onnx,
    "torchscript": _open_torchscript,
}


def open_runtime(backend: GraphFormat, threads: int) -> Runtime:
    """Return a backend that uses `threads` threads within one run.

    Raises:
        MissingExtraError: its library is not installed; the text names the extra.
    """
    return _RUNTIMES[backend](threads)
