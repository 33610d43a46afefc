"""Maps of a latent space: latent codes of training images, projected to two dimensions.

Letters: N codes of L numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from service.artifact.tensor_files import Floats, Labels, TensorRecord


@dataclass(frozen=True, slots=True)
class LatentMap(TensorRecord):
    """Latent codes of some training images and two projections of them to the plane."""

    shapes: ClassVar[Mapping[str, str]] = {
        "codes": "NL",
        "pca": "N2",
        "tsne": "N2",
        "mean": "L",
        "components": "2L",
        "labels": "N",
    }

    codes: Floats
    """(N, L)."""
    pca: Floats
    """(N, 2) coordinates on the plane of the first two principal components."""
    tsne: Floats
    """(N, 2) van der Maaten and Hinton, Visualizing Data using t-SNE, 2008."""
    mean: Floats
    """(L,) mean of the codes: the origin of the PCA plane."""
    components: Floats
    """(2, L) unit axes of the PCA plane; the second is 0 if L is 1. The coordinates of a code are
    `components @ (code - mean)`, and `mean + coordinates @ components` inverts that."""
    labels: Labels | None = None
    """(N,) class index of each code."""

    @property
    def latent_size(self) -> int:
        """L."""
        return int(self.codes.shape[1])
