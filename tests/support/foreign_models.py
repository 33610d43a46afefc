"""Networks as other frameworks write them: linear autoencoders of scikit-learn's 8 x 8 digits.

PCA gives the weights, so the networks reconstruct the digits without any training.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from torch import Tensor, nn

SIZE = 6
PIXELS = 64
FLOAT = TensorProto.FLOAT


@cache
def load_pixels() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the digits (N, 1, 8, 8) and their labels."""
    bunch = load_digits()
    return np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None], bunch.target.astype(int)


@cache
def fit_weights() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean (64,) and the components (6, 64) of the digits in [0, 1]."""
    pca = PCA(SIZE, random_state=0).fit(load_pixels()[0].reshape(-1, PIXELS) / 255)
    return pca.mean_.astype(np.float32), pca.components_.astype(np.float32)


def save_images(path: Path, count: int = 300) -> Path:
    """Write digits with their labels as .npz, and return the path."""
    pixels, labels = load_pixels()
    np.savez(path, images=pixels[:count], labels=labels[:count])
    return path


def save_graph(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    source: Sequence[int | str],
    outputs: dict[str, Sequence[int | str]],
    weights: dict[str, NDArray[Any]] | None = None,
) -> Path:
    """Write a graph with the input `x`, and return the path."""
    graph = helper.make_graph(
        list(nodes),
        "foreign",
        [helper.make_tensor_value_info("x", FLOAT, source)],
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
    return path


def save_encoder(
    path: Path,
    *,
    shape: Sequence[int | str] = ("n", 1, 8, 8),
    low: float = 0,
    high: float = 1,
    code: Sequence[int] = (SIZE,),
    extra: Sequence[onnx.NodeProto] = (),
    outputs: dict[str, Sequence[int | str]] | None = None,
    weights: dict[str, NDArray[Any]] | None = None,
) -> Path:
    """Write an encoder: pixels from `low` to `high` to the PCA's coordinates, called `code`.

    Args:
        path: The file.
        shape: The input's shape; a fixed batch is also written into its Reshape.
        low: Value of black.
        high: Value of white.
        code: The code's shape, without the batch.
        extra: Nodes after those of the code.
        outputs: The outputs and their shapes; the code by default.
        weights: Weights of `extra`.
    """
    mean, components = fit_weights()
    batch = shape[0] if isinstance(shape[0], int) else -1
    nodes = [
        helper.make_node("Reshape", ["x", "flat"], ["rows"]),
        helper.make_node("Sub", ["rows", "mean"], ["centred"]),
        helper.make_node("MatMul", ["centred", "components"], ["product"]),
        helper.make_node("Reshape", ["product", "shape"], ["code"]),
        *extra,
    ]
    constants = {
        "flat": np.array([batch, PIXELS], np.int64),
        "mean": mean * np.float32(high - low) + np.float32(low),
        "components": (components.T / np.float32(high - low)).astype(np.float32),
        "shape": np.array([batch, *code], np.int64),
        **(weights or {}),
    }
    return save_graph(path, nodes, shape, outputs or {"code": [shape[0], *code]}, constants)


def save_decoder(
    path: Path,
    *,
    shape: Sequence[int | str] = ("n", 1, 8, 8),
    low: float = 0,
    high: float = 1,
    code: Sequence[int] = (SIZE,),
) -> Path:
    """Write the decoder of `save_encoder`, with its arguments; `shape` is its output's."""
    mean, components = fit_weights()
    batch = shape[0] if isinstance(shape[0], int) else -1
    nodes = [
        helper.make_node("Reshape", ["x", "flat"], ["rows"]),
        helper.make_node("MatMul", ["rows", "components"], ["product"]),
        helper.make_node("Add", ["product", "mean"], ["sum"]),
        helper.make_node("Reshape", ["sum", "shape"], ["images"]),
    ]
    weights = {
        "flat": np.array([batch, SIZE], np.int64),
        "components": components * np.float32(high - low),
        "mean": mean * np.float32(high - low) + np.float32(low),
        "shape": np.array([batch, *shape[1:]], np.int64),
    }
    return save_graph(path, nodes, [shape[0], *code], {"images": shape}, weights)


class TorchEncoder(nn.Module):
    """The encoder as a PyTorch module."""

    def __init__(self) -> None:
        """Copy the PCA's weights."""
        super().__init__()
        mean, components = fit_weights()
        self.linear = nn.Linear(PIXELS, SIZE)
        self.linear.weight.data = torch.from_numpy(components)
        self.linear.bias.data = torch.from_numpy(-components @ mean)

    def forward(self, images: Tensor) -> Tensor:
        """Return the code."""
        code: Tensor = self.linear(images.flatten(1))
        return code


class TorchDecoder(nn.Module):
    """The decoder as a PyTorch module."""

    def __init__(self) -> None:
        """Copy the PCA's weights."""
        super().__init__()
        mean, components = fit_weights()
        self.linear = nn.Linear(SIZE, PIXELS)
        self.linear.weight.data = torch.from_numpy(components.T.copy())
        self.linear.bias.data = torch.from_numpy(mean)

    def forward(self, codes: Tensor) -> Tensor:
        """Return the images."""
        return self.linear(codes).unflatten(1, (1, 8, 8))
