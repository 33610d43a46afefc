"""Latent maps: read back as written, or rejected."""

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
    """Return the file of a map with some tensors changed; None removes one."""
    tensors = {**load(make_map().to_bytes()), **changes}
    return bytes(save({name: tensor for name, tensor in tensors.items() if tensor is not None}))


@pytest.mark.parametrize("labels", [None, np.array([2, 0, 1])])
def test_map_round_trip(labels: Any) -> None:  # noqa: ANN401 - an array or None
    """Codes, projections, the PCA plane and labels are read back as written."""
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
def test_invalid_map_is_rejected(content: bytes) -> None:
    """Missing, unknown, ill-typed and mismatched tensors are rejected."""
    with pytest.raises(ArtifactError):
        LatentMap.from_bytes(content)


@settings(deadline=None)
@given(st.data())
def test_corrupted_file_is_rejected_or_valid(data: st.DataObject) -> None:
    """A file with one changed byte raises ArtifactError or is valid; no other exception."""
    content = bytearray(make_map().to_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))

    try:
        read_map = LatentMap.from_bytes(bytes(content))
    except ArtifactError:
        return

    assert read_map.tsne.shape == (len(read_map.codes), 2)
