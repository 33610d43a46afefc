"""Bodies: whatever comes is an upload, or one of our errors; nothing else can happen."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.codecs.image_batches import read_numbers, to_batch
from service.codecs.image_files import open_picture
from service.codecs.request_body import ENDS, IMAGES, LATENTS, NOTHING, Taken, unpack
from service.errors import InvalidInputError, LimitExceededError, RequestError
from service.http.limits import Limits
from tests.support.fakes import IMAGE, LATENT_SIZE
from tests.support.image_files import make_noise, make_png, to_base64, to_npy

LIMITS = Limits(
    body_bytes=100_000, images=20, pixels=40_000, samples=300, json_bytes=50_000, json_values=10_000
)
PNG = make_noise()
PART = b'--B\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n' + PNG
MULTIPART = PART + b"\r\n" + PART + b"\r\n--B--\r\n"
TYPES = st.sampled_from(
    [
        "application/json",
        "multipart/form-data; boundary=B",
        "image/png",
        "image/jpeg",
        "application/x-npy",
    ]
)
TAKEN = st.sampled_from([IMAGES, LATENTS, ENDS, NOTHING])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)


def use(content_type: str, body: bytes, taken: Taken) -> None:
    """Unpack a body and make of it what operations do, or raise a RequestError."""
    upload = unpack(content_type, body, taken, LIMITS)
    assert 0 <= upload.count <= LIMITS.images
    if taken is LATENTS or upload.holds_latents:
        latents = upload.to_latents(LATENT_SIZE)
        assert latents.shape == (upload.count, LATENT_SIZE)
        assert np.isfinite(latents).all()
    elif taken is not NOTHING:
        images = upload.to_images(IMAGE, "auto")
        assert images.shape == (upload.count, *IMAGE.shape)
        assert images.min() >= 0
        assert images.max() <= 1


def is_answered(content_type: str, body: bytes, taken: Taken) -> bool:
    """Tell whether a body is used or refused; another error is a failure of the test."""
    try:
        use(content_type, body, taken)
    except RequestError as error:
        return bool(str(error))
    return True


@settings(deadline=None, max_examples=300)
@given(TYPES | st.text(st.characters(max_codepoint=255), max_size=40), st.binary(), TAKEN)
def test_any_bytes(content_type: str, body: bytes, taken: Taken) -> None:
    """Any bytes of any content type are used or refused."""
    assert is_answered(content_type, body, taken)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(["images", "latents", "count"]), ANYTHING, TAKEN)
def test_any_json(member: str, value: object, taken: Taken) -> None:
    """Any JSON in any member is used or refused."""
    assert is_answered("application/json", json.dumps({member: value}).encode(), taken)


@settings(deadline=None, max_examples=400)
@given(st.data())
def test_any_change_of_a_good_body(data: st.DataObject) -> None:
    """A good body of which some bytes were changed or cut is used or refused."""
    content_type, good = data.draw(
        st.sampled_from(
            [
                ("image/png", PNG),
                ("image/jpeg", make_noise(file_format="JPEG")),
                ("multipart/form-data; boundary=B", MULTIPART),
                ("application/x-npy", to_npy(np.full((2, 8, 6), 0.5, np.float32))),
                ("application/json", json.dumps({"images": [to_base64(PNG)]}).encode()),
            ]
        )
    )
    body = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))

    assert is_answered(content_type, bytes(body), IMAGES)


@settings(deadline=None)
@given(st.integers(0, 4), st.data())
def test_nested_numbers_are_numpys(depth: int, data: st.DataObject) -> None:
    """Even nested lists give the array that NumPy makes of them."""
    nested: Any = st.floats(-1e300, 1e300) | st.integers(-(2**60), 2**60)
    for _ in range(depth):
        size = data.draw(st.integers(1, 3))
        nested = st.lists(nested, min_size=size, max_size=size)
    value = data.draw(nested)

    assert np.array_equal(read_numbers(value, ""), np.array(value, dtype=np.float64))


@pytest.mark.parametrize("value", [[[1], 1], [1, [1]], [[1], [1, 1]], [], [[]], ["1"], [True]])
def test_uneven_lists_are_refused(value: object) -> None:
    """Lists that make no array are refused where they stand."""
    with pytest.raises(InvalidInputError) as caught:
        read_numbers(value, "/images/3")

    assert caught.value.violations[0].pointer == "/images/3"


def test_a_batch_keeps_its_order() -> None:
    """Pictures and numbers may be mixed, and stay in order."""
    levels = [0.0, 0.2, 1.0]
    items = [np.full((8, 6), 0.0), open_picture(make_png(51)), np.full((1, 8, 6), 1.0)]

    batch = to_batch(items, IMAGE, "false")

    assert batch.dtype == np.float32
    assert batch[:, 0, 0, 0] == pytest.approx(levels)


def test_limits_name_themselves() -> None:
    """A limit that is passed names its setting, and what is allowed."""
    with pytest.raises(LimitExceededError, match=r"21 images .* at most 20 .*LATENTD_MAX_IMAGES"):
        LIMITS.check("images", 21)
