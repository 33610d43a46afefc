"""TorchScript: the second backend, and the only place in the service that imports torch.

A TorchScript file is a program: it is loaded only from a store that the operator trusts, and
only when this backend was chosen. PyTorch deprecated the format in 2.11 in favour of
`torch.export`; a `.pt2` backend would be one more file like this one.
"""

import io
import os
import warnings
from collections.abc import Callable
from typing import cast

# Idle threads that spin would take the CPU from the event loop and the other workers.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from service.artifact import NetworkSpec
from service.artifact.manifest import GraphFormat
from service.errors import ArtifactError, InferenceError
from service.runtimes.base import Floats


class TorchScriptNetwork:
    """A frozen TorchScript module; `run` is safe from several threads."""

    def __init__(self, module: torch.jit.ScriptModule) -> None:
        """Keep the module."""
        self._module = module

    def run(self, batch: Floats) -> list[Floats]:
        """See `service.runtimes.base.Network.run`."""
        try:
            with torch.inference_mode():
                outputs = self._module(torch.from_numpy(batch))
        except RuntimeError as error:
            raise InferenceError("the network could not be run") from error
        tensors = outputs if isinstance(outputs, tuple) else (outputs,)
        return [tensor.numpy() for tensor in tensors]


class TorchScriptRuntime:
    """Loads TorchScript graphs; torch's thread count is one for the whole process."""

    format: GraphFormat = "torchscript"

    def __init__(self, threads: int) -> None:
        """Set torch's threads."""
        torch.set_num_threads(threads)

    def load(self, graph: bytes, spec: NetworkSpec) -> TorchScriptNetwork:
        """See `service.runtimes.base.Runtime.load`."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                load = cast("Callable[..., torch.jit.ScriptModule]", torch.jit.load)
                module = load(io.BytesIO(graph), map_location="cpu")
        except RuntimeError as error:
            raise ArtifactError("torch refuses the graph") from error
        network = TorchScriptNetwork(module.eval())
        _check_shapes(network, spec)
        return network


def _check_shapes(network: TorchScriptNetwork, spec: NetworkSpec) -> None:
    """Run a batch of two zeros: TorchScript keeps no shapes to compare with the manifest's."""
    try:
        outputs = network.run(torch.zeros(2, *spec.input.shape).numpy())
    except InferenceError as error:
        raise ArtifactError("the graph does not take the manifest's input") from error
    found = [output.shape[1:] for output in outputs]
    wanted = [output.shape for output in spec.outputs]
    if found != wanted:
        raise ArtifactError(f"the graph gives shapes {found}, the manifest says {wanted}")
