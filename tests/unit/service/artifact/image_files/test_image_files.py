"""Image files give the pixels that Pillow gives, or one of our errors."""

import io
import itertools
import json
import tracemalloc
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from service.artifact import ImageSpec
from service.artifact.image_files import ImageFile, open_image
from service.codecs.base64_files import open_base64
from service.codecs.image_batches import to_batch
from service.codecs.request_body import IMAGES, decode_body
from service.errors import MalformedInputError, RequestError, UnsupportedFormatError
from service.http.limits import Limits
from tests.support.image_files import (
    filter_rows,
    insert_segments,
    make_chunk,
    make_exif,
    make_noise,
    make_orientation,
    make_segment,
    save,
    to_base64,
    write_png,
)
from tests.support.random_images import valid_jpegs, valid_pngs

SPEC = ImageSpec(channels=3, height=5, width=4, background=(0.2, 0.4, 0.6))
BOMB = make_chunk(b"zTXt", b"key\0\0" + zlib.compress(b"a" * 2_000_000))


def decode_by_pillow(content: bytes) -> Image.Image:
    """Return the upright image as Pillow decodes it, with the colour key of a PNG file as alpha."""
    image = Image.open(io.BytesIO(content), formats=["PNG", "JPEG"])
    image.load()
    orientation = image.getexif().get(0x0112, 1)
    key = image.info.get("transparency")
    if key is not None and image.mode != "P":
        image = make_alpha(image, key, content)
    image.getexif()[0x0112] = orientation
    return ImageOps.exif_transpose(image)


def make_alpha(image: Image.Image, key: object, content: bytes) -> Image.Image:
    """Return a PNG file's image with the colour key as alpha, compared in the depth of the file."""
    depth = content[24]
    levels = np.asarray(image).astype(np.uint16)
    if depth == 16 and image.mode == "RGB":
        low = Image.open(io.BytesIO(content))
        low.tile = [low.tile[0]._replace(args="RGB;16L")]
        samples = levels * 256 + np.asarray(low)
    else:
        samples = levels // {1: 1, 2: 85, 4: 17, 8: 1, 16: 1}[depth]
    is_equal = samples == np.array(key) % 2**depth
    alpha = np.where(is_equal.all(-1) if image.mode == "RGB" else is_equal, 0, 255)
    if depth == 16 and image.mode == "I;16":
        image = Image.fromarray((levels / 257).round().astype(np.uint8))
    image = image.convert("L") if image.mode == "1" else image
    image.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    return image


def check_equal_images(image: Image.Image, expected: Image.Image) -> None:
    """Check that two images have equal modes, sizes, pixels and transparency."""
    assert (image.mode, image.size) == (expected.mode, expected.size)
    assert image.tobytes() == expected.tobytes()
    assert image.has_transparency_data == expected.has_transparency_data
    assert image.convert("RGBA").tobytes() == expected.convert("RGBA").tobytes()


@settings(deadline=None, max_examples=300)
@given(valid_pngs() | valid_jpegs())
def test_valid_file_has_the_pixels_of_pillow(content: bytes) -> None:
    """A valid PNG or JPEG file of any form gives the upright image that Pillow gives."""
    image = open_image(content)

    upright, expected = image.decode_upright(), decode_by_pillow(content)

    check_equal_images(upright, expected)
    assert (image.width, image.height) == expected.size
    red, green, blue = np.asarray(expected.convert("RGBA").convert("RGB")).transpose(2, 0, 1)
    assert image.has_color or (np.array_equal(red, green) and np.array_equal(green, blue))
    batch, expected_batch = (
        to_batch([ImageFile(*one.size, lambda one=one: one)], SPEC, "auto")
        for one in (upright, expected)
    )
    assert np.array_equal(batch, expected_batch)


@settings(deadline=None, max_examples=300)
@given(valid_pngs() | valid_jpegs(), st.data())
def test_damaged_file_is_an_image_or_one_of_our_errors(content: bytes, data: st.DataObject) -> None:
    """A file with changed, inserted or missing bytes gives an image or one of our errors."""
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(damaged)))
        damaged[place : place + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    in_json = data.draw(st.booleans())

    try:
        batch = to_batch([open_image(bytes(damaged))], SPEC, "false", in_json=in_json)
    except RequestError as error:
        assert str(error)  # noqa: PT017
    else:
        assert batch.shape == (1, 3, 5, 4)


PLAIN = write_png(filter_rows(np.arange(36, dtype=np.uint8).reshape(6, 6) * 7), parts=2)


def check_against_pillow(content: bytes) -> None:
    """Check that a file gives Pillow's pixels, or one of our errors.

    Pillow accepts wrong checksums of the last pixels and of the end, which are rejected here.
    """
    try:
        to_batch([open_image(content)], SPEC, "false")
    except RequestError:
        return
    check_equal_images(open_image(content).decode_upright(), decode_by_pillow(content))


@given(place=st.integers(0, len(PLAIN) - 1), value=st.integers(0, 255))
def test_changed_byte_is_treated_as_by_pillow(place: int, value: int) -> None:
    """One wrong byte in a plain file gives the pixels that Pillow gives, or one of our errors."""
    check_against_pillow(PLAIN[:place] + bytes([value]) + PLAIN[place + 1 :])


@given(data=st.binary(max_size=80), colour=st.sampled_from([0, 2]))
@example(data=bytes(7 * 6), colour=0)
@example(data=bytes(7 * 7), colour=0)
def test_wrong_pixels_are_treated_as_by_pillow(data: bytes, colour: int) -> None:
    """Pixels that are too few, too many or not compressed give what Pillow gives."""
    content = write_png(data, colour=colour)
    start = content.index(b"IDAT") - 4
    end = make_chunk(b"IEND", b"")

    check_against_pillow(content)
    check_against_pillow(content[:start] + make_chunk(b"IDAT", data) + end)


METADATA: dict[str, Callable[[], tuple[bytes, bytes]]] = {
    "broken eXIf": lambda: (PLAIN, _insert(make_chunk(b"eXIf", b"Exif\0\0broken"))),
    "bad checksum of iCCP": lambda: (PLAIN, _insert(make_chunk(b"iCCP", b"x\0\0y")[:-4] + b"0000")),
    "1.5 MB of text": lambda: (
        PLAIN,
        _insert(make_chunk(b"zTXt", b"key\0\0" + zlib.compress(b"a" * 1_500_000))),
    ),
    "text bombs": lambda: (PLAIN, _insert(BOMB * 70)),
    "resolution of -1/0": lambda: (
        _turn(make_noise(7, 9, "JPEG")),
        _turn(make_noise(7, 9, "JPEG"), b"\x01\x1a\0\x05\0\0\0\x01\0\0\0\x26"),
    ),
}
"""Files without and with damaged or expensive metadata."""


def _insert(chunk: bytes) -> bytes:
    return PLAIN[:33] + chunk + PLAIN[33:]


def _turn(content: bytes, *entries: bytes) -> bytes:
    exif = make_exif(*entries, make_orientation(6)) + b"\xff\xff\xff\xff\0\0\0\0"
    return insert_segments(content, make_segment(0xE1, b"Exif\0\0" + exif))


@pytest.mark.parametrize("kind", METADATA)
def test_metadata_does_not_change_the_pixels(kind: str) -> None:
    """Damaged or expensive metadata does not change the pixels, and the orientation is kept."""
    clean, content = METADATA[kind]()

    images = [open_image(each) for each in (clean, content)]

    check_equal_images(*(image.decode_upright() for image in images))
    assert [image.orientation for image in images] == [6 if "resolution" in kind else 1] * 2


def test_text_is_not_inflated() -> None:
    """100 files with 2 MB of compressed text in one request take less memory than one text."""
    palette = make_chunk(b"PLTE", bytes(768))
    contents = [_insert(BOMB), write_png(bytes(42), colour=3, before=[palette, BOMB])] * 50
    body = json.dumps({"images": [to_base64(content) for content in contents]}).encode()
    limits = Limits(
        body_bytes=10**7, images=100, pixels=10**6, samples=1, json_bytes=10**7, json_values=10**4
    )

    tracemalloc.start()
    try:
        images = decode_body("application/json", body, IMAGES, limits).to_images(SPEC, "false")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(images) == 100
    assert peak < 2_000_000 + len(body)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (_insert(make_chunk(b"tEXt", b"") * 16_384), r"damaged: more than 16384 chunks\."),
        (
            insert_segments(make_noise(file_format="JPEG"), *[make_segment(0xFE, b"")] * 1000),
            r"damaged: more than 1000 segments\.",
        ),
        (PLAIN[:-1], r"damaged: truncated\."),
        (PLAIN[:12], "damaged"),
        (b"", "not a PNG or JPEG file"),
        (b"\xff\xd8", "not a PNG or JPEG file"),
        (b"a text", "not a PNG or JPEG file"),
    ],
    ids=["chunks", "segments", "cut", "head", "empty", "short", "text"],
)
def test_error_states_the_reason(content: bytes, reason: str) -> None:
    """A damaged file is rejected with the reason, a file of no known format without one."""
    with pytest.raises(MalformedInputError, match=reason):
        open_image(content)


@pytest.mark.parametrize("file_format", ["GIF", "BMP", "TIFF", "WEBP"])
def test_other_format_is_unsupported(file_format: str) -> None:
    """Another known format is unsupported, and the error lists the supported formats."""
    with pytest.raises(UnsupportedFormatError, match="supported: PNG, JPEG"):
        open_image(save(Image.new("RGB", (6, 8)), file_format))


TEXT = to_base64(PLAIN)


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"data:image/png;base64,{TEXT}",
        f"data:,{TEXT}",
        TEXT.rstrip("="),
        TEXT.replace("+", "-").replace("/", "_"),
        f" {TEXT[:76]}\r\n{TEXT[76:]}\n",
    ],
    ids=["plain", "data URL", "bare data URL", "unpadded", "base64url", "line breaks"],
)
def test_base64_is_opened(text: str) -> None:
    """A file in base64, base64url or a data URL is opened, with line breaks or without padding."""
    check_equal_images(open_base64(text).decode_upright(), decode_by_pillow(PLAIN))


@pytest.mark.parametrize(
    "text", ["", "https://a.example/a.png", "a,b", "\u00e4", to_base64(PLAIN) + "!", "===="]
)
def test_other_text_is_malformed(text: str) -> None:
    """Text that is not base64, such as a URL, is malformed."""
    with pytest.raises(MalformedInputError):
        open_base64(text)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
def test_opening_decodes_nothing(monkeypatch: pytest.MonkeyPatch, file_format: str) -> None:
    """Opening a file does not decode its pixels: that is part of the scheduled work."""
    calls = itertools.count()
    monkeypatch.setattr(Image, "_getdecoder", lambda *_: next(calls))

    opened = open_image(make_noise(7, 9, file_format))

    assert (opened.width, opened.height) == (7, 9)
    assert next(calls) == 0


def test_lack_of_memory_is_not_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lack of memory is not reported as a damaged file."""

    def fail(*_: object) -> None:
        raise MemoryError

    image = open_image(PLAIN)
    monkeypatch.setattr(Image.Image, "frombytes", fail)
    monkeypatch.setattr("service.artifact.image_files.reader.parse_png", fail)

    with pytest.raises(MemoryError):
        open_image(PLAIN)
    with pytest.raises(MemoryError):
        to_batch([image], SPEC, "false")
