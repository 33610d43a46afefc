"""Request bodies: any body gives images, latents or parameters, or one of our errors."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from service.codecs.request_body import (
    IMAGES,
    IMAGES_OR_LATENTS,
    LATENTS,
    PARAMETERS_ONLY,
    InputSpec,
    RequestBody,
    decode_body,
    predict_decoding,
)
from service.errors import (
    InvalidInputError,
    LimitExceededError,
    RequestError,
    UnsupportedFormatError,
)
from service.http.limits import Limits
from tests.support.fakes import IMAGE, LATENT_SIZE
from tests.support.image_files import make_noise, make_png, save, to_base64, to_npy

LIMITS = Limits(
    body_bytes=100_000, images=20, pixels=40_000, samples=300, json_bytes=50_000, json_values=10_000
)
JSON = "application/json"
NPY = "application/x-npy"
PNG = make_noise()
PART = b'--B\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n' + PNG
MULTIPART = PART + b"\r\n" + PART + b"\r\n--B--\r\n"
CONTENT_TYPES = st.sampled_from(
    [JSON, "multipart/form-data; boundary=B", "image/png", "image/jpeg", NPY]
)
SPECS = st.sampled_from([IMAGES, LATENTS, IMAGES_OR_LATENTS, PARAMETERS_ONLY])
ANY_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)


def use(content_type: str, body: bytes, spec: InputSpec) -> None:
    """Decode a body and convert it as operations do, or raise a RequestError."""
    decoded = decode_body(content_type, body, spec, LIMITS)
    assert 0 <= decoded.count <= LIMITS.images
    if spec is LATENTS or decoded.has_latents:
        latents = decoded.to_latents(LATENT_SIZE)
        assert latents.shape == (decoded.count, LATENT_SIZE)
        assert np.isfinite(latents).all()
    elif spec is not PARAMETERS_ONLY:
        images = decoded.to_images(IMAGE, "auto")
        assert images.shape == (decoded.count, *IMAGE.shape)
        assert images.min() >= 0
        assert images.max() <= 1


def is_used_or_rejected(content_type: str, body: bytes, spec: InputSpec) -> bool:
    """Return whether a body is used or rejected; any other error fails the test."""
    try:
        use(content_type, body, spec)
    except RequestError as error:
        return bool(str(error))
    return True


def decode(content_type: str, body: object, spec: InputSpec = IMAGES) -> RequestBody:
    """Decode a body of bytes, or of JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return decode_body(content_type, content, spec, LIMITS)


@settings(deadline=None, max_examples=300)
@given(CONTENT_TYPES | st.text(st.characters(max_codepoint=255), max_size=40), st.binary(), SPECS)
def test_random_bytes(content_type: str, body: bytes, spec: InputSpec) -> None:
    """Random bytes of any content type are used or rejected."""
    assert is_used_or_rejected(content_type, body, spec)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(["images", "latents", "count"]), ANY_VALUE, SPECS)
def test_random_json(member: str, value: object, spec: InputSpec) -> None:
    """Any JSON in any member is used or rejected."""
    assert is_used_or_rejected(JSON, json.dumps({member: value}).encode(), spec)


@settings(deadline=None, max_examples=400)
@given(st.data())
def test_damaged_body(data: st.DataObject) -> None:
    """A valid body with changed, inserted or missing bytes is used or rejected."""
    content_type, valid = data.draw(
        st.sampled_from(
            [
                ("image/png", PNG),
                ("image/jpeg", make_noise(file_format="JPEG")),
                ("multipart/form-data; boundary=B", MULTIPART),
                (NPY, to_npy(np.full((2, 8, 6), 0.5, np.float32))),
                (JSON, json.dumps({"images": [to_base64(PNG)]}).encode()),
            ]
        )
    )
    body = bytearray(valid)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))

    assert is_used_or_rejected(content_type, bytes(body), IMAGES)


@pytest.mark.parametrize(
    ("content_type", "body", "count"),
    [
        ("image/png", PNG, 1),
        ("image/jpeg; q=1", PNG, 1),
        ("multipart/form-data; boundary=B", MULTIPART, 2),
        (NPY, to_npy(np.zeros((8, 6))), 1),
        (NPY, to_npy(np.zeros((5, 8, 6))), 5),
        (JSON, {"images": [to_base64(PNG)] * 3}, 3),
        ("application/json; charset=utf-8", {"images": [[[0.0] * 6] * 8]}, 1),
        ("APPLICATION/JSON", {"images": [to_base64(PNG)]}, 1),
    ],
)
def test_images_are_counted_in_every_content_type(
    content_type: str, body: object, count: int
) -> None:
    """Images are decoded and counted in each content type, with any options."""
    decoded = decode(content_type, body)

    assert decoded.count == count
    assert decoded.to_images(IMAGE, "false").shape == (count, 1, 8, 6)


@pytest.mark.parametrize(
    ("content_type", "body", "count"),
    [
        (NPY, to_npy(np.zeros(LATENT_SIZE)), 1),
        (NPY, to_npy(np.zeros((3, LATENT_SIZE))), 3),
        (JSON, {"latents": [0.0] * LATENT_SIZE}, 1),
        (JSON, {"latents": [[0] * LATENT_SIZE] * 2}, 2),
    ],
)
def test_latents_are_counted_in_every_content_type(
    content_type: str, body: object, count: int
) -> None:
    """Latents are decoded and counted in each content type; one may omit the batch axis."""
    decoded = decode(content_type, body, LATENTS)

    assert decoded.count == count
    assert decoded.to_latents(LATENT_SIZE).shape == (count, LATENT_SIZE)


@pytest.mark.parametrize(
    ("body", "has_latents"),
    [
        (to_npy(np.zeros((2, LATENT_SIZE))), True),
        (to_npy(np.zeros((2, 8, 6))), False),
        ({"latents": [[0.0] * LATENT_SIZE] * 2}, True),
        ({"images": [[[0.0] * 6] * 8] * 2}, False),
    ],
)
def test_images_and_latents_are_distinguished(body: object, has_latents: bool) -> None:
    """An operation on either distinguishes latents from images by the member or the rank."""
    content_type = NPY if isinstance(body, bytes) else JSON

    assert decode(content_type, body, IMAGES_OR_LATENTS).has_latents == has_latents


def test_other_members_are_parameters() -> None:
    """Members other than images and latents are kept as parameters."""
    decoded = decode(JSON, {"images": [to_base64(PNG)], "invert": "auto"})

    assert decoded.members == {"invert": "auto"}
    assert decode_body("", b"", PARAMETERS_ONLY, LIMITS) == RequestBody()


@pytest.mark.parametrize(
    ("content_type", "spec"),
    [
        ("", IMAGES),
        ("text/plain", IMAGES),
        ("image/png", LATENTS),
        ("image/png", IMAGES_OR_LATENTS),
        (NPY, PARAMETERS_ONLY),
        (JSON + "x", IMAGES),
    ],
)
def test_other_content_type_is_unsupported(content_type: str, spec: InputSpec) -> None:
    """The error for another content type lists the supported ones."""
    with pytest.raises(UnsupportedFormatError, match=f"supported: {JSON}"):
        decode(content_type, b"x", spec)


@pytest.mark.parametrize(
    ("body", "spec", "pointer"),
    [
        ([], IMAGES, ""),
        ({"images": "text"}, IMAGES, "/images"),
        ({"images": []}, IMAGES, "/images"),
        ({"images": [to_base64(PNG), 1]}, IMAGES, "/images/1"),
        ({"images": [to_base64(PNG), "text"]}, IMAGES, "/images/1"),
        ({"images": [to_base64(b"GIF89a")]}, IMAGES, "/images/0"),
        ({"latents": [["x"]]}, LATENTS, "/latents"),
        ({"images": [], "latents": []}, IMAGES_OR_LATENTS, ""),
    ],
)
def test_invalid_member_has_its_pointer(body: object, spec: InputSpec, pointer: str) -> None:
    """An invalid member, also with a damaged file, has an error with its pointer."""
    with pytest.raises(InvalidInputError) as caught:
        decode(JSON, body, spec)

    assert [violation.pointer for violation in caught.value.violations] == [pointer]


@pytest.mark.parametrize(
    ("latents", "reason"),
    [
        (np.zeros((2, 5)), r"shape \(N, 4\), got float64 \(2, 5\)"),
        (np.zeros((0, 4)), r"got float64 \(0, 4\)"),
        (np.zeros((2, 4), np.uint8), "floating-point latents"),
        (np.full((2, 4), np.nan), "finite float32"),
        (np.full((2, 4), 1e300), "finite float32"),
    ],
)
def test_invalid_latents_are_rejected(latents: np.ndarray, reason: str) -> None:
    """Latents of another shape or type, and numbers beyond float32, are rejected."""
    with pytest.raises(InvalidInputError, match=reason):
        decode(NPY, to_npy(latents), LATENTS).to_latents(LATENT_SIZE)


def test_missing_input_has_its_pointer() -> None:
    """A body without images or latents is rejected when they are needed."""
    with pytest.raises(InvalidInputError, match="Missing member 'images'"):
        decode(JSON, {}).to_images(IMAGE, "false")
    with pytest.raises(InvalidInputError, match="Missing member 'latents'"):
        decode(JSON, {}, LATENTS).to_latents(LATENT_SIZE)


@pytest.mark.parametrize(
    ("content_type", "body", "spec", "limit"),
    [
        (JSON, {"images": [to_base64(PNG)] * 21}, IMAGES, "images"),
        (JSON, {"images": [to_base64(make_png(size=(150, 150)))] * 2}, IMAGES, "pixels"),
        (JSON, {"latents": [[0.0]] * 21}, LATENTS, "images"),
        (JSON, {"images": [[0] * 11_000]}, IMAGES, "json_values"),
        (JSON, {"images": ["x" * 60_000]}, IMAGES, "json_bytes"),
        ("multipart/form-data; boundary=B", (PART + b"\r\n") * 21 + b"--B--", IMAGES, "images"),
        (NPY, to_npy(np.zeros((21, 8, 6))), IMAGES, "images"),
        ("image/png", make_png(size=(201, 200)), IMAGES, "pixels"),
    ],
)
def test_limits_apply_to_every_content_type(
    content_type: str, body: object, spec: InputSpec, limit: str
) -> None:
    """Too many images, pixels or values are rejected before anything is decoded."""
    with pytest.raises(LimitExceededError, match=f"LATENTD_MAX_{limit.upper()}"):
        decode(content_type, body, spec).reduce_files(IMAGE, LIMITS)


def test_cost_of_decoding_grows_with_pixels_and_scans() -> None:
    """The predicted cost of decoding grows with the number of pixels and of scans."""
    large = Image.new("L", (120, 160))
    spec = IMAGE.model_copy(update={"height": 100, "width": 100})
    small, progressive, baseline = (
        decode(content_type, content)
        for content_type, content in (
            ("image/png", PNG),
            ("image/jpeg", save(large, "JPEG", progressive=True)),
            ("image/jpeg", save(large, "JPEG")),
        )
    )
    for body in (small, progressive, baseline):
        body.reduce_files(spec, LIMITS)

    assert progressive.decoding_cost > 2 * baseline.decoding_cost
    assert baseline.decoding_cost == pytest.approx(400 * small.decoding_cost)


def test_skipped_pixels_of_a_jpeg_file_count_as_an_eighth() -> None:
    """A photograph of 300,000 pixels is within a limit of 40,000; a PNG file is not."""
    photo = Image.new("L", (600, 500))
    limits = replace(LIMITS, body_bytes=10**6)

    body = decode("image/jpeg", save(photo, "JPEG"))
    body.reduce_files(IMAGE, limits)

    assert body.to_images(IMAGE, "false").shape == (1, *IMAGE.shape)
    with pytest.raises(LimitExceededError, match="300000 pixels"):
        decode("image/png", save(photo, "PNG")).reduce_files(IMAGE, limits)


def test_cost_of_a_body_grows_with_its_length() -> None:
    """JSON takes longer to decode than raw bytes, and multipart longer than JSON."""
    costs: list[Any] = [
        predict_decoding(content_type, 10**6)
        for content_type in (NPY, "application/json; charset=utf-8", "multipart/form-data; b=B")
    ]

    assert costs == sorted(costs)
    assert predict_decoding(JSON, 2 * 10**6) == 2 * costs[1]
