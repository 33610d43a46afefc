"""Numbers in a bundle that are no graph: latent codes, densities, reference errors.

Stored as safetensors: plain tensors with a header, nothing that runs.
"""

from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from service.errors import ArtifactError

Floats: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class KernelDensity:
    """A Gaussian kernel density estimate over latent codes.

    A draw is a random code plus `bandwidth * scale` times a standard normal vector (Silverman,
    Density Estimation for Statistics and Data Analysis, 1986, section 6.4.1).
    """

    codes: Floats
    """(N, L) the kernels' centres."""
    scale: Floats
    """(L,) what one unit of bandwidth is in each dimension; ones for an isotropic kernel."""
    bandwidth: float
    """The kernels' standard deviation in units of `scale`; greater than 0."""
    labels: NDArray[np.int64] | None = None
    """(N,) each code's class index, for class-conditional draws."""

    def to_bytes(self) -> bytes:
        """Return the safetensors form."""
        tensors = {
            "codes": np.ascontiguousarray(self.codes, dtype="<f4"),
            "scale": np.ascontiguousarray(self.scale, dtype="<f4"),
            "bandwidth": np.array([self.bandwidth], dtype="<f8"),
        }
        if self.labels is not None:
            tensors["labels"] = np.ascontiguousarray(self.labels, dtype="<i8")
        return bytes(save(tensors))

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read the safetensors form.

        Raises:
            ArtifactError: not such a file, or its tensors do not fit together.
        """
        tensors = read_tensors(content, "codes", "scale", "bandwidth")
        codes, scale, labels = tensors["codes"], tensors["scale"], tensors.get("labels")
        bandwidth = tensors["bandwidth"]
        fits = codes.ndim == 2 and codes.size and scale.shape == codes.shape[1:]  # noqa: PLR2004 - a matrix
        fits = fits and bandwidth.shape == (1,) and bandwidth[0] > 0
        if not fits or (labels is not None and labels.shape != codes.shape[:1]):
            raise ArtifactError("the density's codes, scale, bandwidth and labels do not fit")
        return cls(codes, scale, float(bandwidth[0]), labels)


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
