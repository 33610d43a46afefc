"""ONNX Runtime on the CPU: the default backend."""

import os
from typing import Any

# Since 1.29 the Linux builds send usage data unless this is set before the library is loaded.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

from service.artifact import NetworkSpec
from service.artifact.manifest import GraphFormat
from service.artifact.onnx_validation import validate_graph
from service.artifact.tensor_files import Floats
from service.errors import ArtifactError, InferenceError
from service.runtimes.base import Runtime

_LOG_FATAL = 4
"""ONNX Runtime writes to standard error itself, where a full pipe would block the thread. The same
errors are raised."""


class OnnxNetwork:
    """An ONNX Runtime session; `run` is thread-safe."""

    def __init__(self, session: Any) -> None:  # noqa: ANN401 - onnxruntime has no types
        self._session = session
        self._input = session.get_inputs()[0].name
        self._outputs = [output.name for output in session.get_outputs()]

    def run(self, batch: Floats) -> list[Floats]:
        """See `service.runtimes.base.Network.run`."""
        try:
            outputs: list[Floats] = self._session.run(self._outputs, {self._input: batch})
        except Exception as error:  # exceptions of onnxruntime share no base class
            raise InferenceError("ONNX Runtime failed to run the network") from error
        return outputs


class OnnxRuntime:
    """Loads ONNX graphs into sessions of `threads` threads each."""

    format: GraphFormat = "onnx"
    platform: str = "onnxruntime_onnx"

    def __init__(self, threads: int) -> None:
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads = threads
        self._options.inter_op_num_threads = 1
        self._options.log_severity_level = _LOG_FATAL
        # Spinning idle threads would take CPU time from the event loop and other workers.
        self._options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # A few leading bytes would select the ORT format, which `validate_graph` does not check.
        self._options.add_session_config_entry("session.load_model_format", "ONNX")

    def load(self, graph: bytes, spec: NetworkSpec) -> OnnxNetwork:
        """See `service.runtimes.base.Runtime.load`."""
        validate_graph(graph)
        try:
            session = onnxruntime.InferenceSession(
                graph, self._options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ArtifactError("ONNX Runtime rejects the graph") from error
        _check_tensors(session, spec)
        return OnnxNetwork(session)


def _check_tensors(session: Any, spec: NetworkSpec) -> None:  # noqa: ANN401 - as above
    expected = [(tensor.name, tensor.shape) for tensor in (spec.input, *spec.outputs)]
    actual = [
        (tensor.name, tuple(tensor.shape[1:]))
        for tensor in (*session.get_inputs(), *session.get_outputs())
        if tensor.type == "tensor(float)"
    ]
    if actual != expected:
        raise ArtifactError(f"expected float tensors {expected}, the graph has {actual}")


RUNTIME: type[Runtime] = OnnxRuntime
