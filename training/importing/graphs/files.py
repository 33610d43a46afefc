"""Files of networks: ONNX, TorchScript and torch.export programs, told apart by their content.

Other files of PyTorch are pickles, which run code when they are loaded; they are rejected by name.
"""

import hashlib
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from training.errors import ModelImportError
from training.importing.forms.formats import Array, Layout, Order, Shape
from training.importing.graphs.onnx_graph import Graph, read_graph
from training.importing.graphs.torch_export import export_program, export_torchscript

FileFormat: TypeAlias = Literal["onnx", "torchscript", "torch.export"]

_EXPORTS = {
    ".keras": "model.export('encoder.onnx', format='onnx')",
    ".h5": "model.export('encoder.onnx', format='onnx')",
    ".pb": "python -m tf2onnx.convert --saved-model FOLDER --output encoder.onnx",
    ".tflite": "python -m tf2onnx.convert --tflite FILE --output encoder.onnx",
    ".joblib": "skl2onnx.to_onnx(model, example)",
    ".pkl": "skl2onnx.to_onnx(model, example), or torch.onnx.export(model, ...)",
    ".safetensors": "torch.onnx.export(model, ...), which writes the network and its weights",
}
_HELP = "latentd_client.export_torch(encoder, decoder, example, folder) writes both networks"
_TRIAL = 2


@dataclass(frozen=True, slots=True)
class NetworkFile:
    """A network as the user has it."""

    role: str
    """What it becomes in the bundle."""
    path: Path
    format: FileFormat
    sha256: str
    module: Any = None
    """The loaded module, for PyTorch's formats."""

    @property
    def name(self) -> str:
        """The file's name, for messages."""
        return self.path.name

    def find_order(self, image: Shape, requested: str | None, images: Array) -> Order:
        """Return the order of dimensions with which a TorchScript module runs.

        Raises:
            ModelImportError: it runs with none.
        """
        orders: tuple[Order, ...] = ("nchw", "nhwc", "flat-nchw", "nhw")
        if requested == "nhwc":
            orders = ("nhwc", "flat-nhwc")
        message = ""
        for order in orders:
            try:
                self.run(Layout(order, image).to_network(images[:_TRIAL]))
            except ModelImportError as error:
                message = message or str(error)
            else:
                return order
        raise ModelImportError(message)

    def run(self, batch: Array) -> list[Array]:
        """Run a PyTorch module on a batch.

        Raises:
            ModelImportError: it fails.
        """
        try:
            with torch.no_grad():
                return [
                    output.numpy()
                    for output in flatten_outputs(self.module(torch.from_numpy(batch)))
                ]
        except Exception as error:  # modules raise any type
            reason = (str(error).strip().splitlines() or [""])[-1][:300]
            raise ModelImportError(
                f"{self.name}: it fails on an input of shape {batch.shape}: {reason}"
            ) from error

    def to_graph(self, example: Array | None) -> Graph:
        """Return the network as an ONNX graph.

        Args:
            example: (2, ...) an input in the network's own form; TorchScript files need one,
                because they do not declare shapes.

        Raises:
            ModelImportError: the file cannot be read or converted.
        """
        if self.format == "onnx":
            return read_graph(self.path)
        if self.format == "torch.export":
            return export_program(self.name, self.module)
        if example is None:
            raise TypeError("TorchScript needs an example")
        return export_torchscript(self.name, self.module, torch.from_numpy(np.array(example)))

    def original(self, graph: Graph) -> Callable[[Array], list[Array]]:
        """Return the function that runs the network in its own framework."""
        return graph.run if self.format == "onnx" else self.run


def open_file(role: str, path: Path) -> NetworkFile:
    """Open a network's file.

    Raises:
        ModelImportError: it is missing, or of a format that cannot be imported.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelImportError(f"{path}: cannot be read: {error.strerror}") from error
    form = _detect(path)
    module = None
    if form == "torchscript":
        load: Callable[..., Any] = torch.jit.load
        module = _load(path, lambda: load(str(path), map_location="cpu").eval())
    elif form == "torch.export":
        module = _load(path, lambda: torch.export.load(str(path)))
        module = _Program(module)
    return NetworkFile(role, path, form, hashlib.sha256(content).hexdigest(), module)


class _Program:
    """A torch.export program that is called like a module."""

    def __init__(self, program: Any) -> None:  # noqa: ANN401 - exported programs vary
        self.program = program
        self._module = program.module()

    def __call__(self, inputs: Tensor) -> Any:  # noqa: ANN401 - as the program returns it
        """Run the program, in runs of its own batch size if that is fixed."""
        example = self.program.example_inputs[0][0] if self.program.example_inputs else None
        try:
            return self._module(inputs)
        except (RuntimeError, AssertionError):
            size = len(example) if example is not None else 1
            parts = [flatten_outputs(self._module(part)) for part in torch.split(inputs, size)]
            return [torch.cat(outputs) for outputs in zip(*parts, strict=True)]


def _detect(path: Path) -> FileFormat:
    suffix = path.suffix.lower()
    if zipfile.is_zipfile(path) and suffix not in _EXPORTS:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if any(name.endswith("/constants.pkl") for name in names) and any(
            "/code/" in name for name in names
        ):
            return "torchscript"
        if any(
            name.endswith(("archive_format", "serialized_exported_program.json")) for name in names
        ):
            return "torch.export"
        if any(name.endswith("data.pkl") for name in names):
            raise ModelImportError(
                f"{path}: a pickle of PyTorch, which runs code when it is loaded: save the network "
                f"with torch.onnx.export, torch.jit.save or torch.export.save; {_HELP}"
            )
    if suffix == ".onnx":
        return "onnx"
    advice = _EXPORTS.get(suffix, _HELP)
    raise ModelImportError(
        f"{path}: expected ONNX (.onnx), TorchScript (.pt) or torch.export (.pt2); export it: "
        f"{advice}"
    )


def _load(path: Path, load: Callable[[], Any]) -> Any:  # noqa: ANN401 - torch's classes vary
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return load()
    except Exception as error:  # torch raises any type for a damaged archive
        reason = (str(error).strip().splitlines() or [""])[0][:200]
        raise ModelImportError(f"{path}: PyTorch cannot load it: {reason}") from error


def flatten_outputs(outputs: Any) -> list[Tensor]:  # noqa: ANN401 - modules return any structure
    """Return the tensors in a module's output, as the exporters order them."""
    if isinstance(outputs, Tensor):
        return [outputs]
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    return [
        tensor for output in outputs if output is not None for tensor in flatten_outputs(output)
    ]
