"""Conversion of PyTorch's formats into ONNX, and TorchScript modules that follow the contract."""

import io
import warnings
from collections.abc import Callable
from typing import Any

import onnx
import torch
from torch import Tensor

from training.errors import ModelImportError
from training.importing.graphs.onnx_graph import Graph, make_graph
from training.publishing.export import quiet_exporter

_OPSET = 17
_BATCH = "batch"


def export_torchscript(name: str, module: Any, example: Tensor) -> Graph:  # noqa: ANN401 - untyped
    """Convert a TorchScript module with the tracing exporter, which inlines its code.

    Raises:
        ModelImportError: it cannot be converted.
    """
    file = io.BytesIO()
    destination: Any = file  # accepted by the tracing exporter, but not in torch's annotation

    def export() -> None:
        torch.onnx.export(
            module,
            (example,),
            destination,
            input_names=["input"],
            dynamic_axes={"input": {0: _BATCH}},
            opset_version=_OPSET,
            dynamo=False,
        )

    _convert(name, export)
    return make_graph(name, onnx.load_from_string(file.getvalue()))


def export_program(name: str, program: Any) -> Graph:  # noqa: ANN401 - see files._Program
    """Convert a torch.export program; its own dimensions are kept.

    Raises:
        ModelImportError: it cannot be converted.
    """
    converted: list[Any] = []

    def export() -> None:
        converted.append(
            torch.onnx.export(program.program, dynamo=True, external_data=False, verbose=False)
        )

    _convert(name, export)
    return make_graph(name, converted[0].model_proto)


def _convert(name: str, export: Callable[[], None]) -> None:
    try:
        with quiet_exporter(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracing warns about every constant of the network
            export()
    except Exception as error:  # the exporters raise any type
        reason = (str(error).strip().splitlines() or [""])[0][:300]
        raise ModelImportError(f"{name}: the conversion into ONNX fails: {reason}") from error
