"""TorchScript: the optional backend, and the only module of the service that imports torch.

A TorchScript file is a program. It is loaded only if this backend is selected; the models store
must be trusted. PyTorch deprecated the format in 2.11 in favour of `torch.export`.
"""

import io
import os
import warnings
from collections.abc import Callable
from typing import cast

# Spinning idle threads would take CPU time from the event loop and other workers.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from service.artifact import NetworkSpec
from service.artifact.specs import GraphFormat
from service.artifact.tensor_files import Floats
from service.errors import ArtifactError, InferenceError
from service.runtimes.base import Runtime
from service.runtimes.devices import Device, DeviceChoice, choose_device


class TorchScriptNetwork:
    """A frozen TorchScript module; `run` is thread-safe."""

    def __init__(self, module: torch.jit.ScriptModule, device: Device) -> None:
        self._module = module
        self._device = device

    def run(self, batch: Floats) -> list[Floats]:
        """See `service.runtimes.base.Network.run`."""
        try:
            with torch.inference_mode():
                outputs = self._module(torch.from_numpy(batch).to(self._device))
        except RuntimeError as error:
            raise InferenceError("TorchScript failed to run the network") from error
        tensors = outputs if isinstance(outputs, tuple) else (outputs,)
        return [tensor.cpu().numpy() for tensor in tensors]


class TorchScriptRuntime:
    """Loads TorchScript graphs; torch has one thread count per process."""

    format: GraphFormat = "torchscript"
    platform: str = "pytorch_libtorch"

    def __init__(
        self, threads: int, device: DeviceChoice = "cpu", _run_seconds: float = 0.0
    ) -> None:
        """Set the thread count of torch, and on CUDA full float32 precision.

        A run has no time limit: torch cannot interrupt it.
        """
        self.device: Device = choose_device(device, _find_problem)
        torch.set_num_threads(threads)
        torch.backends.cudnn.allow_tf32 = False

    def load(self, graph: bytes, spec: NetworkSpec) -> TorchScriptNetwork:
        """See `service.runtimes.base.Runtime.load`."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                load = cast("Callable[..., torch.jit.ScriptModule]", torch.jit.load)
                module = load(io.BytesIO(graph), map_location=self.device)
        except RuntimeError as error:
            raise ArtifactError("torch rejects the graph") from error
        network = TorchScriptNetwork(module.eval(), self.device)
        _check_shapes(network, spec)
        return network


def _find_problem() -> str:
    """Return why this build of torch cannot use CUDA, or an empty text."""
    return "" if torch.cuda.is_available() else "this torch has no usable CUDA support"


def _check_shapes(network: TorchScriptNetwork, spec: NetworkSpec) -> None:
    """Run a small batch of zeros, because TorchScript files do not declare shapes."""
    try:
        outputs = network.run(torch.zeros(min(2, spec.max_batch or 2), *spec.input.shape).numpy())
    except InferenceError as error:
        raise ArtifactError(f"the graph does not run on inputs of {spec.input.shape}") from error
    actual = [output.shape[1:] for output in outputs]
    expected = [output.shape for output in spec.outputs]
    if actual != expected:
        raise ArtifactError(f"expected outputs of shapes {expected}, the graph has {actual}")


RUNTIME: type[Runtime] = TorchScriptRuntime
