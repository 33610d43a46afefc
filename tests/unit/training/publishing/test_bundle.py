"""Bundles of small data sets."""

import numpy as np

from service.artifact import ImageSpec
from training.data.splits import LabelledImages, Splits
from training.publishing.bundle import _choose_probes
from training.publishing.export import BATCH_SIZES


def test_few_test_images_are_repeated_for_the_comparison_of_graphs() -> None:
    """Three test images fill the largest batch."""
    pixels = np.stack([np.full((1, 4, 4), value, np.uint8) for value in (0, 51, 255)])
    images = LabelledImages(pixels, None)
    image = ImageSpec(channels=1, height=4, width=4)

    probes = _choose_probes(Splits("few", image, None, images, images, images))

    assert probes.shape == (max(BATCH_SIZES), 1, 4, 4)
    assert probes[:4, 0, 0, 0].tolist() == [0, np.float32(0.2), 1, 0]
