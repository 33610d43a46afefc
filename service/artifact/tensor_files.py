"""Numbers in a bundle that are no graph: how they are read, and the reference errors.

Stored as safetensors: plain tensors with a header, nothing that runs.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from service.errors import ArtifactError

Floats: TypeAlias = NDArray[np.float32]


def write_reference_errors(errors: Floats) -> bytes:
    """Return the stored form of a test set's reconstruction errors, (N,) in any order."""
    return bytes(save({"errors": np.sort(np.asarray(errors, dtype="<f4"))}))


def read_reference_errors(content: bytes) -> Floats:
    """Return a test set's reconstruction errors: (N,) float32, ascending.

    Raises:
        ArtifactError: not such a file.
    """
    errors: Floats = read_tensors(content, "errors")["errors"]
    if errors.ndim != 1 or not errors.size or (np.diff(errors) < 0).any():
        raise ArtifactError("the reference errors must be an ascending vector")
    return errors


def read_tensors(content: bytes, *required: str) -> dict[str, NDArray[Any]]:
    """Read a safetensors file that holds at least the `required` tensors, all finite.

    Raises:
        ArtifactError: it is no safetensors file, lacks a tensor or holds NaN or infinity.
    """
    try:
        tensors: dict[str, NDArray[Any]] = load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ArtifactError(f"not a readable safetensors file: {error}") from error
    missing = set(required) - tensors.keys()
    if missing:
        raise ArtifactError(f"tensors missing: {', '.join(sorted(missing))}")
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise ArtifactError("a tensor holds NaN or infinity")
    return tensors
