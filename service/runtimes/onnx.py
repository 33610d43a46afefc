"""ONNX Runtime: the default backend."""

import os
from typing import Any

# Since 1.29 the Linux builds send usage data unless this is set before the library is loaded.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

from service.artifact import NetworkSpec
from service.artifact.onnx_validation import validate_graph
from service.artifact.specs import GraphFormat
from service.artifact.tensor_files import Floats
from service.errors import ArtifactError, DeadlineExceededError, DeviceError, InferenceError
from service.runtimes.base import Runtime
from service.runtimes.devices import Device, DeviceChoice, choose_device
from service.runtimes.run_limit import RunLimit

_LOG_FATAL = 4
"""ONNX Runtime writes to standard error itself, where a full pipe would block the thread. The same
errors are raised."""


_CUDA = "CUDAExecutionProvider"
_PROVIDERS: dict[Device, list[Any]] = {
    "cpu": ["CPUExecutionProvider"],
    # TF32 rounds to 10 bits; the default search times all algorithms for each batch size.
    "cuda": [
        (_CUDA, {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}),
        "CPUExecutionProvider",
    ],
}
_INSTALL = "pip install 'latentd[gpu]' && pip install --force-reinstall --no-deps onnxruntime-gpu"


class OnnxNetwork:
    """An ONNX Runtime session; `run` is thread-safe."""

    def __init__(self, session: Any, limit: RunLimit) -> None:  # noqa: ANN401 - onnxruntime has no types
        self._session = session
        self._limit = limit
        self._input = session.get_inputs()[0].name
        self._outputs = [output.name for output in session.get_outputs()]

    def run(self, batch: Floats) -> list[Floats]:
        """See `service.runtimes.base.Network.run`."""
        options = onnxruntime.RunOptions()
        try:
            with self._limit.watching(options):
                outputs: list[Floats] = self._session.run(
                    self._outputs, {self._input: batch}, options
                )
        except Exception as error:  # exceptions of onnxruntime share no base class
            if options.terminate:
                raise DeadlineExceededError(
                    f"The run of a network takes more than {self._limit.seconds:g} seconds "
                    "(setting LATENTD_RUN_SECONDS)."
                ) from error
            raise InferenceError("ONNX Runtime failed to run the network") from error
        return outputs


class OnnxRuntime:
    """Loads ONNX graphs into sessions of `threads` threads each."""

    format: GraphFormat = "onnx"
    platform: str = "onnxruntime_onnx"

    def __init__(
        self, threads: int, device: DeviceChoice = "cpu", run_seconds: float = 0.0
    ) -> None:
        self._limit = RunLimit(run_seconds)
        self.device: Device = choose_device(device, _find_problem)
        if self.device == "cuda":
            onnxruntime.preload_dlls()  # the CUDA libraries that the extra installs
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
                graph, self._options, providers=_PROVIDERS[self.device]
            )
        except Exception as error:
            raise ArtifactError("ONNX Runtime rejects the graph") from error
        if self.device == "cuda" and _CUDA not in session.get_providers():
            # ONNX Runtime falls back to the CPU without an error.
            raise DeviceError(f"ONNX Runtime cannot load its CUDA libraries: {_INSTALL}")
        _check_tensors(session, spec)
        return OnnxNetwork(session, self._limit)


def _find_problem() -> str:
    """Return why this build of ONNX Runtime cannot use CUDA, or an empty text."""
    if _CUDA in onnxruntime.get_available_providers():
        return ""
    return f"this onnxruntime has no CUDA provider: {_INSTALL}"


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
