"""Latent maps: selected latents and their projections."""

import numpy as np
import pytest

from service.artifact.maps import LatentMap
from training.evaluation.latent_maps import fit_latent_map
from training.recipe.schema import MapRecipe


def draw_clusters(counts: tuple[int, ...], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return latents in well-separated clusters of these sizes, and their clusters."""
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(counts)), counts)
    centres = 30 * generator.standard_normal((len(counts), size))
    return (centres[labels] + generator.standard_normal((len(labels), size))).astype("f4"), labels


def test_the_selection_is_stratified_and_seeded() -> None:
    """The map has the requested number of latents, in proportion to the classes."""
    latents, labels = draw_clusters((200, 100, 100), 3)

    first, again, other = (
        fit_latent_map(latents, labels, MapRecipe(points=40), seed) for seed in (0, 0, 1)
    )

    assert np.bincount(first.labels).tolist() == [20, 10, 10]
    assert np.array_equal(first.codes, again.codes)
    assert np.array_equal(first.tsne, again.tsne)
    assert not np.array_equal(first.codes, other.codes)


def test_the_projection_of_a_plane_is_invertible() -> None:
    """The axes are orthonormal, in order of variance, and reconstruct the latents."""
    latents, labels = draw_clusters((30, 30, 30), 2)

    latent_map = fit_latent_map(latents, labels, MapRecipe(), 0)

    np.testing.assert_allclose(
        latent_map.components @ latent_map.components.T, np.eye(2), atol=1e-5
    )
    np.testing.assert_allclose(
        latent_map.mean + latent_map.pca @ latent_map.components, latent_map.codes, atol=1e-3
    )
    assert latent_map.pca[:, 0].var() >= latent_map.pca[:, 1].var()


def test_tsne_preserves_clusters() -> None:
    """The nearest neighbour of each point belongs to the same cluster."""
    latents, labels = draw_clusters((40, 40, 40), 8)

    latent_map = fit_latent_map(latents, labels, MapRecipe(), 0)

    distances = np.linalg.norm(latent_map.tsne[:, None] - latent_map.tsne[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert np.array_equal(latent_map.labels[distances.argmin(axis=1)], latent_map.labels)


@pytest.mark.parametrize(
    "latents",
    [
        np.zeros((1, 3), np.float32),
        np.zeros((50, 3), np.float32),
        np.arange(2, dtype=np.float32)[:, None],
        np.arange(60, dtype=np.float32)[:, None],
        np.arange(12, dtype=np.float32).reshape(4, 3),
    ],
)
def test_degenerate_latents_have_a_valid_map(latents: np.ndarray) -> None:
    """A single latent, equal latents and one dimension work; the second axis can be zero."""
    latent_map = fit_latent_map(latents, None, MapRecipe(), 0)

    read = LatentMap.from_bytes(latent_map.to_bytes())

    assert read.pca.shape == read.tsne.shape == (len(latents), 2)
    np.testing.assert_allclose(read.mean + read.pca @ read.components, read.codes, atol=1e-4)
    if latents.shape[1] == 1:
        assert not read.components[1].any()
        assert not read.pca[:, 1].any()
