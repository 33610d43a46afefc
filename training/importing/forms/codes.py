"""Which outputs of an encoder are the code, the mean and the variance.

Names differ between frameworks, so the choice is made by running: the mean is the output whose
decoded image is nearest to the original.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from training.errors import ModelImportError
from training.importing.forms.formats import Array, Floats
from training.importing.forms.layouts import describe_dimensions
from training.importing.graphs.batches import TOLERANCE, max_difference
from training.importing.graphs.onnx_graph import Dimensions, Graph

Variance: TypeAlias = Literal["logvar", "logstd", "std", "variance"]
"""What a second output of a VAE's encoder measures."""

VARIANCES: tuple[Variance, ...] = get_args(Variance)
_NAMES: tuple[tuple[str, Variance], ...] = (
    (r"log_?(var|sigma_?(2|sq))", "logvar"),
    (r"log_?(std|sigma|scale|dev)", "logstd"),
    (r"std|stddev|sigma|scale|dev", "std"),
    (r"var", "variance"),
)
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class CodeOutput:
    """An output of an encoder, or half of one that holds mean and variance."""

    name: str
    shape: tuple[int, ...]
    """The code's shape, without the batch dimension."""
    half: int | None = None
    """0 or 1: the first or second half along `axis`."""
    axis: int = 1

    def select(self, outputs: dict[str, Array]) -> Floats:
        """Return the code (N, *shape) from an encoder's outputs."""
        tensor = outputs[self.name]
        if self.half is not None:
            tensor = np.split(tensor, 2, self.axis)[self.half]
        return tensor.reshape(len(tensor), *self.shape).astype(np.float32)

    def describe(self) -> str:
        """Return the name for messages."""
        part = {None: "", 0: ", first half", 1: ", second half"}[self.half]
        return f"{self.name!r}{part}"


def list_codes(encoder: Graph, outputs: dict[str, Array], decoder: Dimensions) -> list[CodeOutput]:
    """Return the outputs of an encoder that a decoder takes.

    Args:
        encoder: The encoder.
        outputs: Its outputs for some images.
        decoder: The declared shape of the decoder's input.

    Raises:
        ModelImportError: no output fits.
    """
    found: list[CodeOutput] = []
    for name, tensor in outputs.items():
        if tensor.dtype.kind != "f" or tensor.ndim < 2:  # noqa: PLR2004 - a batch of codes
            continue
        shape = tensor.shape[1:]
        if _fits(shape, decoder):
            found.append(CodeOutput(name, shape))
            continue
        for axis in dict.fromkeys((1, tensor.ndim - 1)):
            halved = tuple(
                size // 2 if index == axis - 1 else size for index, size in enumerate(shape)
            )
            if shape[axis - 1] % 2 == 0 and _fits(halved, decoder):
                found += [CodeOutput(name, halved, half, axis) for half in (0, 1)]
                break
    if not found:
        shapes = ", ".join(
            f"{name} (any, {', '.join(map(str, t.shape[1:]))})" for name, t in outputs.items()
        )
        raise ModelImportError(
            f"The encoder and the decoder do not fit: {encoder.name} returns {shapes}; the decoder "
            f"takes {describe_dimensions(decoder)}. Expected files of the same network"
        )
    return found


def drop_random(
    codes: Sequence[CodeOutput], first: dict[str, Array], second: dict[str, Array]
) -> list[CodeOutput]:
    """Return the outputs that two runs on the same images repeat.

    Raises:
        ModelImportError: none does.
    """
    kept = [
        code
        for code in codes
        if max_difference(code.select(first), code.select(second)) <= TOLERANCE
    ]
    if not kept:
        raise ModelImportError(
            "The encoder returns a random code: export its mean, in evaluation mode (model.eval())"
        )
    return kept


def find_variance(
    mean: CodeOutput, codes: Sequence[CodeOutput], outputs: dict[str, Array]
) -> CodeOutput:
    """Return the output with the variance of a VAE's encoder.

    Raises:
        ModelImportError: there is not exactly one candidate.
    """
    others = [
        code
        for code in codes
        if code != mean and max_difference(code.select(outputs), mean.select(outputs)) > TOLERANCE
    ]
    named = [code for code in others if _match_name(code.name)]
    candidates = named if len(named) == 1 else others
    if len(candidates) != 1:
        names = ", ".join(code.describe() for code in others) or "none"
        raise ModelImportError(
            f"The VAE encoder needs one output with the variance beside the mean, "
            f"{mean.describe()}, got {len(others)} ({names}); export the mean and "
            "the log-variance only, or import it with --encoder and --decoder"
        )
    return candidates[0]


def guess_variance(code: CodeOutput, mean: Floats, values: Floats) -> tuple[Variance, str]:
    """Return what a variance output measures, and the reason.

    Without a telling name the reading counts for which codes vary most like the prior: for a VAE
    the variance of the means plus the mean of the variances is near 1 in each dimension.

    Args:
        code: The output.
        mean: (N, ...) the means of some images.
        values: (N, ...) the output for the same images.
    """
    if code.half is not None:
        return "logvar", "as usual for a second half"
    name = _match_name(code.name)
    if name is not None and not (name in {"std", "variance"} and values.min() < 0):
        return name, f"by the name {code.name!r}"
    spread = mean.reshape(len(mean), -1).var(axis=0, dtype=np.float64)
    flat = values.reshape(len(values), -1).astype(np.float64)
    readings = [kind for kind in VARIANCES if kind.startswith("log") or flat.min() >= 0]
    distances = {
        kind: float(np.abs(spread + to_variance(flat, kind).mean(axis=0) - 1).mean())
        for kind in readings
    }
    return min(distances, key=distances.__getitem__), "because it is nearest to the prior"


def to_variance(values: Array, kind: Variance) -> Array:
    """Return variances from a VAE's second output."""
    clipped = np.clip(values, -50, 50)
    if kind == "logvar":
        variances: Array = np.exp(clipped)
    elif kind == "logstd":
        variances = np.exp(2 * clipped)
    else:
        variances = np.square(values) if kind == "std" else values
    return variances


def to_log_variance(values: Floats, kind: Variance) -> Floats:
    """Return log-variances from a VAE's second output."""
    if kind in {"logvar", "logstd"}:
        return values if kind == "logvar" else 2 * values
    logarithm: Floats = np.log(np.maximum(values, np.float32(_TINY)))
    return 2 * logarithm if kind == "std" else logarithm


def _match_name(name: str) -> Variance | None:
    return next((kind for pattern, kind in _NAMES if re.search(pattern, name.lower())), None)


def _fits(shape: tuple[int, ...], decoder: Dimensions) -> bool:
    """Return whether a code fits a declared input, as it is or after a reshape."""
    sizes = decoder[1:]
    if len(shape) == len(sizes):
        return all(size in {None, actual} for size, actual in zip(sizes, shape, strict=True))
    return None not in sizes and int(np.prod(shape)) == int(np.prod([s or 0 for s in sizes]))
