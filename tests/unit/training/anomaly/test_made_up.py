"""Made-up defects: they change what their mask says, and nothing else of a local defect."""

import numpy as np
import pytest

from training.anomaly.made_up import GLOBAL, LOCAL, add_defects

SHAPES = [(3, 40, 40), (1, 8, 8), (1, 30, 17)]


def draw(shape: tuple[int, int, int]) -> list[np.ndarray]:
    """Return two smooth images."""
    rows, columns = np.mgrid[: shape[1], : shape[2]]
    image = 0.3 + 0.4 * np.sin(rows / 5) * np.cos(columns / 4) ** 2 + np.zeros(shape)
    return [image.astype(np.float32).clip(0, 1), image[:, ::-1].astype(np.float32).clip(0, 1)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", {**LOCAL, **GLOBAL})
def test_images_stay_images(shape: tuple[int, int, int], kind: str) -> None:
    """Every kind gives an image of the same shape and range, at any size and number of channels."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        changed, mask = {**LOCAL, **GLOBAL}[kind](rng, *draw(shape))

        assert changed.shape == shape
        assert changed.dtype == np.float32
        assert mask.shape == shape[1:]
        assert changed.min() >= 0
        assert changed.max() <= 1


@pytest.mark.parametrize("kind", LOCAL)
def test_masks_cover_visible_changes(kind: str) -> None:
    """A masked place has changed visibly; a place far from the mask has not changed."""
    rng, (image, other) = np.random.default_rng(1), draw((3, 40, 40))
    covered = 0
    for _ in range(20):
        changed, mask = LOCAL[kind](rng, image, other)
        difference = np.abs(changed - image).max(axis=0)

        assert (difference[mask] > 0.03).all()
        assert mask.mean() < 0.9
        covered += mask.any()
    assert covered >= 10


def test_defects_are_joined() -> None:
    """One to three defects have one mask, and the seed decides everything."""
    image, other = draw((1, 40, 40))

    first = add_defects(np.random.default_rng(3), image, other)
    again = add_defects(np.random.default_rng(3), image, other)

    assert (first[0] == again[0]).all()
    assert (first[1] == again[1]).all()
    assert not (first[0] == image).all()
