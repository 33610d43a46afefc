"""Stored samplers: read back as written, or rejected."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from service.artifact.samplers import (
    STORED_SAMPLERS,
    Centroids,
    ClassKernelDensity,
    FlowNoise,
    GaussianMixture,
    KernelDensity,
    ProjectedDensity,
    StoredSampler,
    Uniform,
)
from service.errors import ArtifactError

RNG = np.random.default_rng(0)
LABELS = np.array([0, 1, 2, 0, 2])


def make_rows(*shape: int) -> np.ndarray:
    """Return random numbers in [0, 1)."""
    return RNG.random(shape).astype(np.float32)


SAMPLERS: dict[str, StoredSampler] = {
    "uniform": Uniform(-make_rows(3), make_rows(3)),
    "centroid": Centroids(make_rows(3, 3), make_rows(3)),
    "kde": KernelDensity(make_rows(5, 3), make_rows(3), 0.25, LABELS),
    "class-kde": ClassKernelDensity(make_rows(5, 3), LABELS, make_rows(3, 3), np.full(3, 0.5)),
    "pca-kde": ProjectedDensity(
        KernelDensity(make_rows(5, 2), make_rows(2), 0.25, LABELS), make_rows(3), make_rows(2, 3)
    ),
    "gmm": GaussianMixture(np.array([0.25, 0.75]), make_rows(2, 3), make_rows(2, 3, 3)),
    "flow": FlowNoise(make_rows(3), np.array([0.2, 0.3, 0.5])),
}
CONDITIONAL = {"centroid", "kde", "class-kde", "pca-kde", "flow"}


def test_every_stored_kind_is_tested() -> None:
    """A new kind must be added to these tests."""
    assert SAMPLERS.keys() == STORED_SAMPLERS.keys()


@pytest.mark.parametrize("kind", SAMPLERS)
def test_sampler_round_trip(kind: str) -> None:
    """A sampler read from its file has the same size and classes and draws the same latents."""
    sampler = SAMPLERS[kind]

    read = STORED_SAMPLERS[kind].from_bytes(sampler.to_bytes())

    first, again = (
        some.draw(50, np.random.Generator(np.random.PCG64(1)), None, 0.5)
        for some in (sampler, read)
    )
    assert type(read) is type(sampler)
    assert read.latent_size == 3
    assert read.classes == ({0, 1, 2} if kind in CONDITIONAL else set())
    assert read.to_bytes() == sampler.to_bytes()
    assert np.array_equal(first, again)


def test_density_without_labels() -> None:
    """Labels are optional."""
    density = KernelDensity(make_rows(5, 3), make_rows(3), 0.25)

    read = KernelDensity.from_bytes(density.to_bytes())

    assert read.labels is None
    assert read.bandwidth == 0.25


def make_tensors(**changes: Any) -> bytes:  # noqa: ANN401 - tensors of any kind
    """Return the file of a density with some tensors changed; None removes one."""
    tensors = {
        "codes": np.zeros((5, 3), np.float32),
        "scale": np.ones(3, np.float32),
        "bandwidth": np.array([0.5]),
        "labels": np.arange(5),
        **changes,
    }
    return bytes(save({name: tensor for name, tensor in tensors.items() if tensor is not None}))


@pytest.mark.parametrize(
    "content",
    [
        make_tensors(codes=None),
        make_tensors(bandwidth=None),
        make_tensors(bandwidth=np.array([])),
        make_tensors(bandwidth=np.array(0.5)),
        make_tensors(bandwidth=np.array([0.5, 0.5])),
        make_tensors(bandwidth=np.array([0.0])),
        make_tensors(bandwidth=np.array([-1.0])),
        make_tensors(bandwidth=np.array([np.nan])),
        make_tensors(scale=np.ones(4, np.float32)),
        make_tensors(scale=np.ones((1, 3), np.float32)),
        make_tensors(codes=np.full((5, 3), np.inf, np.float32)),
        make_tensors(codes=np.zeros(3, np.float32)),
        make_tensors(codes=np.zeros((0, 3), np.float32), labels=None),
        make_tensors(codes=np.zeros((5, 0), np.float32), scale=np.ones(0, np.float32)),
        make_tensors(labels=np.arange(4)),
        make_tensors(labels=np.zeros((5, 2), np.int64)),
        make_tensors()[:-1],
        b"",
    ],
)
def test_invalid_density_is_rejected(content: bytes) -> None:
    """Missing, non-finite and mismatched tensors are rejected."""
    with pytest.raises(ArtifactError):
        KernelDensity.from_bytes(content)


def change(kind: str, **changes: Any) -> bytes:  # noqa: ANN401 - tensors of any kind
    """Return the file of a sampler with some tensors changed; None removes one."""
    tensors = {**load(SAMPLERS[kind].to_bytes()), **changes}
    return bytes(save({name: tensor for name, tensor in tensors.items() if tensor is not None}))


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("uniform", {"low": None}),
        ("uniform", {"low": np.zeros(0, np.float32), "high": np.zeros(0, np.float32)}),
        ("uniform", {"low": np.ones(3, np.float32), "high": np.array([2, 0, 2], np.float32)}),
        ("uniform", {"low": np.zeros(2, np.float32)}),
        ("uniform", {"low": np.zeros((1, 3), np.float32), "high": np.ones((1, 3), np.float32)}),
        ("uniform", {"high": np.array([1, np.inf, 1], np.float32)}),
        ("centroid", {"sigma": None}),
        ("centroid", {"sigma": np.ones(2, np.float32)}),
        ("centroid", {"sigma": np.array([1, -1, 1], np.float32)}),
        ("centroid", {"centroids": np.ones(3, np.float32)}),
        ("centroid", {"centroids": np.ones((0, 3), np.float32)}),
        ("class-kde", {"labels": None}),
        ("class-kde", {"labels": np.arange(5)}),
        ("class-kde", {"labels": np.array([0, 1, 2, 0, -1])}),
        ("class-kde", {"labels": np.array([0, 1, 2, 0])}),
        ("class-kde", {"labels": np.array([0, 1, 2, 0, 0.5])}),
        ("class-kde", {"scales": np.ones((3, 2), np.float32)}),
        ("class-kde", {"scales": np.ones(3, np.float32)}),
        ("class-kde", {"bandwidths": np.ones(2)}),
        ("class-kde", {"bandwidths": np.array([1, 0, 1.0])}),
        ("class-kde", {"codes": np.ones((5, 0), np.float32)}),
        ("pca-kde", {"mean": None}),
        ("pca-kde", {"mean": np.ones(4, np.float32)}),
        ("pca-kde", {"mean": np.ones((1, 3), np.float32)}),
        ("pca-kde", {"axes": np.ones((3, 3), np.float32)}),
        ("pca-kde", {"axes": np.ones(2, np.float32)}),
        ("pca-kde", {"bandwidth": np.zeros(1)}),
        ("gmm", {"weights": None}),
        ("gmm", {"weights": np.array([0.5, 0.6])}),
        ("gmm", {"weights": np.array([-0.5, 1.5])}),
        ("gmm", {"weights": np.ones(1)}),
        ("gmm", {"means": np.ones((2, 0), np.float32)}),
        ("gmm", {"factors": np.ones((2, 3, 2), np.float32)}),
        ("gmm", {"factors": np.full((2, 3, 3), np.nan, np.float32)}),
        ("flow", {"sigma": None}),
        ("flow", {"sigma": np.zeros(3, np.float32)}),
        ("flow", {"weights": np.array([0.5, 0.6])}),
        ("flow", {"weights": np.array([-0.5, 1.5])}),
        ("flow", {"weights": np.ones((1, 1))}),
    ],
)
def test_invalid_sampler_is_rejected(kind: str, changes: dict[str, Any]) -> None:
    """Missing, non-finite, out-of-range and mismatched tensors are rejected."""
    with pytest.raises(ArtifactError):
        STORED_SAMPLERS[kind].from_bytes(change(kind, **changes))


@pytest.mark.parametrize("kind", SAMPLERS)
@settings(deadline=None)
@given(data=st.data())
def test_corrupted_file_is_rejected_or_draws(kind: str, data: st.DataObject) -> None:
    """A file with one changed byte raises ArtifactError or still draws; no other exception."""
    content = bytearray(SAMPLERS[kind].to_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))

    try:
        sampler = STORED_SAMPLERS[kind].from_bytes(bytes(content))
    except ArtifactError:
        return

    with np.errstate(over="ignore", invalid="ignore"):  # a float of 1e38 is one byte away
        latents = sampler.draw(2, np.random.default_rng(0), None, 1.0)
    size = sampler.input_size if isinstance(sampler, FlowNoise) else sampler.latent_size
    assert latents.shape == (2, size)
