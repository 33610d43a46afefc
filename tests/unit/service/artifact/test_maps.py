"""Latent maps: safetensors in, arrays out, or a clear refusal."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from service.artifact.maps import LatentMap
from service.errors import ArtifactError
from tests.support.fakes import make_map


def change(**changes: Any) -> bytes:  # noqa: ANN401 - tensors of any kind
    """Return a map's file with some tensors changed; None leaves one out."""
    tensors = {**load(make_map().to_bytes()), **changes}
    return bytes(save({name: tensor for name, tensor in tensors.items() if tensor is not None}))


@pytest.mark.parametrize("labels", [None, np.array([2, 0, 1])])
def test_a_map_is_read_back_as_written(labels: Any) -> None:  # noqa: ANN401 - an array or None
    """Codes, projections, the plane and labels survive their file."""
    written = replace(make_map(), labels=labels)

    read = LatentMap.from_bytes(written.to_bytes())

    assert read.latent_size == 4
    for name in ("codes", "pca", "tsne", "mean", "components", "labels"):
        assert np.array_equal(getattr(read, name), getattr(written, name)), name


@pytest.mark.parametrize(
    "content",
    [
        change(codes=None),
        change(tsne=None),
        change(codes=np.zeros((3, 5), np.float32)),
        change(codes=np.zeros(3, np.float32)),
        change(codes=np.zeros((0, 4), np.float32)),
        change(codes=np.zeros((3, 4))),
        change(pca=np.zeros((3, 3), np.float32)),
        change(tsne=np.zeros((2, 2), np.float32)),
        change(tsne=np.full((3, 2), np.nan, np.float32)),
        change(mean=np.zeros((1, 4), np.float32)),
        change(components=np.zeros((4, 2), np.float32)),
        change(labels=np.arange(4)),
        change(labels=np.array([0, -1, 1])),
        change(labels=np.zeros(3, np.float32)),
        change(more=np.zeros(3, np.float32)),
        make_map().to_bytes()[:-1],
        b"",
    ],
)
def test_a_map_that_does_not_fit_is_refused(content: bytes) -> None:
    """Tensors that are missing, unknown, of another type or of shapes that disagree."""
    with pytest.raises(ArtifactError):
        LatentMap.from_bytes(content)


@settings(deadline=None)
@given(st.data())
def test_a_changed_file_is_a_map_or_refused(data: st.DataObject) -> None:
    """One changed byte gives a map or an ArtifactError, and nothing else."""
    content = bytearray(make_map().to_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))

    try:
        found = LatentMap.from_bytes(bytes(content))
    except ArtifactError:
        return

    assert found.tsne.shape == (len(found.codes), 2)
