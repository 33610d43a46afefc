"""Maps of a latent space in a bundle: codes of training images, projected to two dimensions.

Letters: N codes of L numbers.
"""

from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from service.artifact.tensor_files import Floats, read_tensors
from service.errors import ArtifactError

Labels: TypeAlias = NDArray[np.int64]

_FLOATS = ("codes", "pca", "tsne", "mean", "components")


@dataclass(frozen=True, slots=True)
class LatentMap:
    """Where some training images lie in a latent space, and on two pictures of it."""

    codes: Floats
    """(N, L)."""
    pca: Floats
    """(N, 2) the codes' place on the plane of their first two principal components."""
    tsne: Floats
    """(N, 2) van der Maaten and Hinton, Visualizing Data using t-SNE, 2008."""
    mean: Floats
    """(L,) the codes' mean: the plane's origin."""
    components: Floats
    """(2, L) the plane's axes, of length 1; the second is zeros where L is 1. A code's place is
    `components @ (code - mean)`, and `mean + place @ components` leads back."""
    labels: Labels | None = None
    """(N,) each code's class index."""

    @property
    def latent_size(self) -> int:
        """L."""
        return int(self.codes.shape[1])

    def to_bytes(self) -> bytes:
        """Return the safetensors form."""
        tensors = {name: np.ascontiguousarray(getattr(self, name), "<f4") for name in _FLOATS}
        if self.labels is not None:
            tensors["labels"] = np.ascontiguousarray(self.labels, "<i8")
        return bytes(save(tensors))

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read the safetensors form.

        Raises:
            ArtifactError: not such a file, or its tensors do not fit together.
        """
        tensors = read_tensors(content, *_FLOATS)
        labels = tensors.pop("labels", None)
        if not _fit(tensors) or not _fit_labels(labels, len(tensors["codes"])):
            raise ArtifactError("the map's codes, projections and labels do not fit")
        return cls(**{name: tensors[name] for name in _FLOATS}, labels=labels)


def _fit(tensors: dict[str, NDArray[Any]]) -> bool:
    """Tell whether the floats have the types and shapes that they should have."""
    codes = tensors["codes"]
    if codes.ndim != 2 or not codes.size:  # noqa: PLR2004 - a matrix
        return False
    count, size = codes.shape
    shapes = {
        "codes": (count, size),
        "pca": (count, 2),
        "tsne": (count, 2),
        "mean": (size,),
        "components": (2, size),
    }
    return tensors.keys() == shapes.keys() and all(
        tensors[name].shape == shape and tensors[name].dtype == np.float32
        for name, shape in shapes.items()
    )


def _fit_labels(labels: NDArray[Any] | None, count: int) -> bool:
    if labels is None:
        return True
    return bool(labels.shape == (count,) and labels.dtype == np.int64 and labels.min() >= 0)
