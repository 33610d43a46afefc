"""Choices made by running: pixel ranges, and the output of an encoder that is the code."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from training.errors import ModelImportError
from training.importing.forms.codes import CodeOutput
from training.importing.forms.formats import Array, Floats, Layout, PixelScale
from training.importing.graphs.onnx_graph import Graph

Encode: TypeAlias = Callable[[PixelScale], dict[str, Array]]

_CLEAR = 0.999
"""The best pair of ranges must have an error below this share of the next one's."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A reading of an autoencoder, and its error on real images."""

    code: CodeOutput
    source: PixelScale
    """The encoder's pixels."""
    target: PixelScale
    """The decoder's pixels."""
    error: float
    """Mean squared error per pixel in [0, 1]; infinite if an output is not finite."""

    def describe(self) -> str:
        """Return the pixel ranges for messages."""
        if self.source == self.target:
            return f"pixels {self.source.name}"
        return f"pixels {self.source.name} in, {self.target.name} out"


def rank_candidates(
    images: Floats,
    encode: Encode,
    decode: Callable[[Floats], Array],
    layout: Layout,
    *,
    codes: Sequence[CodeOutput],
    sources: Sequence[PixelScale],
    targets: Sequence[PixelScale],
) -> list[Candidate]:
    """Measure every reading, the best first.

    Args:
        images: (N, C, H, W) in [0, 1].
        encode: Returns an encoder's outputs for these images with its pixels in a range.
        decode: Returns a decoder's output for codes.
        layout: The layout of that output.
        codes: The outputs that may be the code.
        sources: The encoder's possible ranges.
        targets: The decoder's.
    """
    found = []
    for source in sources:
        outputs = encode(source)
        for code in codes:
            decoded = layout.from_network(decode(code.select(outputs)).astype(np.float32))
            for target in targets:
                error = measure_error(images, target.from_network(decoded))
                found.append(Candidate(code, source, target, error))
    return sorted(found, key=lambda candidate: candidate.error)


def choose_candidate(
    ranked: Sequence[Candidate], images: Floats, *, is_set: bool
) -> tuple[Candidate, str]:
    """Return the best reading, and the sentence that justifies it.

    Args:
        ranked: As `rank_candidates` returns them.
        images: The same images.
        is_set: Whether the user has set the encoder's range.

    Raises:
        ModelImportError: the data cannot decide, so a flag must.
    """
    best = ranked[0]
    baseline = float(images.var(axis=0, dtype=np.float64).mean())
    if not np.isfinite(best.error):
        raise ModelImportError("The network returns NaN or infinity for real images")
    text = (
        f"{best.describe()}: mean squared error {best.error:.4g}, {baseline:.4g} for the mean image"
    )
    if is_set:
        return best, text
    if best.error >= baseline:
        raise ModelImportError(
            f"No pixel range reconstructs the images: the best, {text}. Set --pixels to the range "
            "that the network was trained with"
        )
    others = [each for each in ranked if each.source != best.source]
    if others and best.error > _CLEAR * others[0].error:
        raise ModelImportError(
            f"{best.describe()} and {others[0].describe()} reconstruct equally well (mean squared "
            f"error {best.error:.4g} and {others[0].error:.4g}): set --pixels to one of them"
        )
    if others:
        text += f", {others[0].error:.4g} with {others[0].describe()}"
    return best, text


def measure_error(images: Floats, other: Floats) -> float:
    """Return the mean squared error per pixel; infinity if a value is not finite."""
    error = float(np.square(images - other).mean(dtype=np.float64))
    return error if np.isfinite(error) else float("inf")


def choose_probabilities(
    name: str, outputs: dict[str, Array], classes: int | None
) -> tuple[str, bool]:
    """Return the output of a classifier with a number per class, and whether it needs a softmax.

    Raises:
        ModelImportError: no output has a number per class, or the numbers are no distribution.
    """
    found = {
        key: tensor
        for key, tensor in outputs.items()
        if tensor.dtype.kind == "f"
        and tensor.ndim == 2  # noqa: PLR2004 - (N, K)
        and tensor.shape[1] == (classes or tensor.shape[1])
        and tensor.shape[1] > 1
    }
    if not found:
        shapes = ", ".join(f"{key} {tensor.shape[1:]}" for key, tensor in outputs.items())
        raise ModelImportError(
            f"{name}: expected an output of shape (N, {classes or 'classes'}), got {shapes}"
        )
    key, tensor = next(iter(found.items()))
    sums, inside = tensor.sum(axis=1), bool(((tensor >= 0) & (tensor <= 1)).all())
    if inside and np.abs(sums - 1).max() < 1e-3:  # noqa: PLR2004 - float32 sums of many classes
        return key, False
    if inside:
        raise ModelImportError(
            f"{name}: its outputs are in [0, 1], with sums from {sums.min():.3g} to "
            f"{sums.max():.3g}: expected the probabilities of exclusive classes, or logits"
        )
    return key, True


def measure_accuracy(scores: Array, labels: Array) -> float:
    """Return the share of images with the highest score at their label."""
    return float((scores.argmax(axis=1) == labels).mean())


def run_named(graph: Graph, batch: Array) -> dict[str, Array]:
    """Run a graph, and return its outputs by name.

    Raises:
        ModelImportError: an output is NaN or infinite.
    """
    return dict(zip(graph.outputs, graph.run(batch), strict=True))
