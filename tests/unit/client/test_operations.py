"""Requests as the client makes them, without sending them."""

import base64
import json
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from service.client import calls
from tests.support.image_files import read_npy, read_png


def test_an_array_goes_as_npy() -> None:
    """Arrays are sent as they are, without pickle and without losing their type."""
    images = np.arange(48, dtype=np.uint8).reshape(1, 1, 8, 6)

    call = calls.encode(images, space="vae", invert="auto")

    assert call.content_type == "application/x-npy"
    assert (read_npy(call.content or b"") == images).all()
    assert read_npy(call.content or b"").dtype == np.uint8
    assert call.query == {"space": "vae", "invert": "auto"}


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16"])
def test_pictures_go_as_png(mode: str) -> None:
    """Pictures of any mode are sent as files, for the service to convert by the bundle's rule."""
    picture = Image.new(mode, (6, 8))

    single, several = calls.classify(picture, top_k=3), calls.classify([picture, picture])

    (image,) = json.loads(single.content or b"")["images"]
    assert read_png(base64.b64decode(image)).shape[:2] == (8, 6)
    assert single.query["top_k"] == 3
    assert len(json.loads(several.content or b"")["images"]) == 2


def test_one_latent_is_a_batch_of_one() -> None:
    """A vector of L is decoded as 1 x L, in float32."""
    sent = read_npy(calls.decode([0.5, -1]).content or b"")

    assert sent.shape == (1, 2)
    assert sent.dtype == np.float32


@pytest.mark.parametrize(
    ("ends", "is_array"),
    [
        (np.zeros((2, 4)), True),
        ([[0.0, 1], [1, 0]], True),
        (np.zeros((2, 1, 8, 6)), True),
        ([Image.new("L", (6, 8))] * 2, False),
    ],
)
def test_ends_are_latents_or_images(ends: object, is_array: bool) -> None:
    """A line is asked for between arrays of either kind, or between pictures."""
    call = calls.interpolate(ends, steps=3)  # type: ignore[arg-type]

    assert (call.content_type == "application/x-npy") == is_array
    assert call.query["steps"] == 3


@pytest.mark.parametrize("call", [calls.list_models, lambda: calls.describe("mnist@1")])
def test_what_is_served_is_asked_for_with_get(call: Callable[[], calls.Call[object]]) -> None:
    """Descriptions need no body."""
    assert call().content is None
