"""Densities and reference errors: safetensors in, arrays out, or a clear refusal."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from service.artifact.latents import KernelDensity, read_reference_errors, write_reference_errors
from service.errors import ArtifactError


def make_tensors(**changes: Any) -> bytes:  # noqa: ANN401 - tensors of any kind
    """Return a density's file with some tensors changed; None leaves one out."""
    tensors = {
        "codes": np.zeros((5, 3), np.float32),
        "scale": np.ones(3, np.float32),
        "bandwidth": np.array([0.5]),
        "labels": np.arange(5),
        **changes,
    }
    return bytes(save({name: tensor for name, tensor in tensors.items() if tensor is not None}))


@pytest.mark.parametrize("labels", [None, np.arange(5)])
def test_a_density_is_read_back_as_written(labels: Any) -> None:  # noqa: ANN401 - an array or None
    """Codes, scale, bandwidth and labels survive their file."""
    generator = np.random.default_rng(0)
    codes = generator.normal(size=(5, 3)).astype(np.float32)
    density = KernelDensity(codes, np.full(3, 2, np.float32), 0.25, labels)

    read = KernelDensity.from_bytes(density.to_bytes())

    assert np.array_equal(read.codes, codes)
    assert np.array_equal(read.scale, density.scale)
    assert read.bandwidth == 0.25
    assert np.array_equal(read.labels, labels) if labels is not None else read.labels is None


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
def test_a_density_that_does_not_fit_is_refused(content: bytes) -> None:
    """Tensors that are missing, not finite or of shapes that disagree make no density."""
    with pytest.raises(ArtifactError):
        KernelDensity.from_bytes(content)


@settings(deadline=None)
@given(st.data())
def test_a_changed_file_is_a_density_or_refused(data: st.DataObject) -> None:
    """One changed byte gives a density or an ArtifactError, and nothing else."""
    content = bytearray(make_tensors())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))

    try:
        density = KernelDensity.from_bytes(bytes(content))
    except ArtifactError:
        return

    assert density.codes.shape[1:] == density.scale.shape


def test_reference_errors_come_back_ascending() -> None:
    """Errors are stored in order, whatever order they came in."""
    content = write_reference_errors(np.array([0.3, 0.1, 0.2], np.float32))

    assert read_reference_errors(content).tolist() == pytest.approx([0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    "errors", [np.array([]), np.zeros((2, 2)), np.array([np.nan]), np.array([0.2, 0.1])]
)
def test_reference_errors_are_an_ascending_vector(errors: Any) -> None:  # noqa: ANN401 - an array
    """Without order, percentiles would be wrong and nothing would say so."""
    with pytest.raises(ArtifactError):
        read_reference_errors(bytes(save({"errors": errors})))
