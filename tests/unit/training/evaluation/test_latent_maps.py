"""Latent maps: which codes are on them, and where."""

import numpy as np
import pytest

from service.artifact.maps import LatentMap
from training.evaluation.latent_maps import fit_map
from training.recipe.schema import MapRecipe


def draw_clusters(counts: tuple[int, ...], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return codes in well-separated clusters of some sizes, and each one's cluster."""
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(counts)), counts)
    centres = 30 * generator.standard_normal((len(counts), size))
    return (centres[labels] + generator.standard_normal((len(labels), size))).astype("f4"), labels


def test_a_map_keeps_the_shares_of_classes() -> None:
    """As many codes as asked for, each class with its share, the same for the same seed."""
    codes, labels = draw_clusters((200, 100, 100), 3)

    first, again, other = (fit_map(codes, labels, MapRecipe(points=40), seed) for seed in (0, 0, 1))

    assert np.bincount(first.labels).tolist() == [20, 10, 10]
    assert np.array_equal(first.codes, again.codes)
    assert np.array_equal(first.tsne, again.tsne)
    assert not np.array_equal(first.codes, other.codes)


def test_the_plane_leads_there_and_back() -> None:
    """A code of two numbers is found again from its place; axes are orthonormal and in order."""
    codes, labels = draw_clusters((30, 30, 30), 2)

    found = fit_map(codes, labels, MapRecipe(), 0)

    np.testing.assert_allclose(found.components @ found.components.T, np.eye(2), atol=1e-5)
    np.testing.assert_allclose(found.mean + found.pca @ found.components, found.codes, atol=1e-3)
    assert found.pca[:, 0].var() >= found.pca[:, 1].var()


def test_clusters_stay_together() -> None:
    """On the t-SNE, the nearest neighbour of each code is of its own cluster."""
    codes, labels = draw_clusters((40, 40, 40), 8)

    found = fit_map(codes, labels, MapRecipe(), 0)

    distances = np.linalg.norm(found.tsne[:, None] - found.tsne[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert np.array_equal(found.labels[distances.argmin(axis=1)], found.labels)


@pytest.mark.parametrize(
    "codes",
    [
        np.zeros((1, 3), np.float32),
        np.zeros((50, 3), np.float32),
        np.arange(2, dtype=np.float32)[:, None],
        np.arange(60, dtype=np.float32)[:, None],
        np.arange(12, dtype=np.float32).reshape(4, 3),
    ],
)
def test_few_flat_or_equal_codes_have_a_map_too(codes: np.ndarray) -> None:
    """One code, equal ones, codes of one number: a valid map, whose second axis may be zeros."""
    found = fit_map(codes, None, MapRecipe(), 0)

    read = LatentMap.from_bytes(found.to_bytes())

    assert read.pca.shape == read.tsne.shape == (len(codes), 2)
    np.testing.assert_allclose(read.mean + read.pca @ read.components, read.codes, atol=1e-4)
    if codes.shape[1] == 1:
        assert not read.components[1].any()
        assert not read.pca[:, 1].any()
