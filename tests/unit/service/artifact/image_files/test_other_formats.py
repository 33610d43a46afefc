"""WebP, GIF, BMP, TIFF and AVIF files, which a setting enables."""

import struct
import sys
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.artifact import ImageSpec
from service.artifact.image_files import ALL_FORMATS, ImageFile, open_image
from service.artifact.image_files.exif import apply_orientation
from service.codecs.base64_files import open_base64
from service.codecs.image_batches import to_batch
from service.codecs.request_body import IMAGES, LATENTS, decode_body
from service.errors import MalformedInputError, RequestError, UnsupportedFormatError
from service.http.limits import Limits
from tests.support.image_files import save, to_base64

SPEC = ImageSpec(channels=1, height=8, width=6, background=(0.0,))
ALL = frozenset({"webp", "gif", "bmp", "tiff", "avif"})
LIMITS = Limits(
    body_bytes=100_000,
    images=20,
    pixels=40_000,
    samples=300,
    json_bytes=50_000,
    json_values=10_000,
    image_formats=ALL,
)
GREY = np.linspace(0, 255, 48).round().astype(np.uint8).reshape(8, 6)
FILES = {
    "WebP": save(Image.fromarray(GREY).convert("RGB"), "WEBP", lossless=True),
    "GIF": save(Image.fromarray(GREY), "GIF"),
    "BMP": save(Image.fromarray(GREY), "BMP"),
    "TIFF": save(Image.fromarray(GREY), "TIFF"),
    "TIFF (deflate)": save(Image.fromarray(GREY), "TIFF", compression="tiff_adobe_deflate"),
    "TIFF (JPEG)": save(Image.fromarray(GREY), "TIFF", compression="jpeg", quality=100),
    "TIFF (16 bits)": save(Image.fromarray(GREY.astype(np.uint16) * 257), "TIFF"),
    "TIFF (big-endian)": save(Image.fromarray(GREY), "TIFF", big_endian=True),
    "AVIF": save(Image.fromarray(GREY).convert("RGB"), "AVIF", quality=100),
}
SETTINGS = {"WebP": "webp", "GIF": "gif", "BMP": "bmp", "AVIF": "avif"}
FRAMES = [Image.new("RGB", (6, 8), (level,) * 3) for level in (204, 51)]


def read(file: ImageFile) -> NDArray[np.floating]:
    """Return the pixels that a model receives, 0 to 255."""
    return to_batch([file], SPEC, "false")[0, 0] * 255


@pytest.mark.parametrize("name", FILES)
def test_enabled_format_is_read(name: str) -> None:
    """A file of an enabled format gives its pixels, alone and in base64."""
    expected = pytest.approx(GREY, abs=2)

    assert read(open_image(FILES[name], ALL)) == expected
    assert read(open_base64(to_base64(FILES[name]), ALL)) == expected


@pytest.mark.parametrize("name", FILES)
def test_rejection_names_the_setting(name: str) -> None:
    """A file of a format that is not enabled is rejected with the name of the setting."""
    others = ALL - {SETTINGS.get(name, "tiff")}

    for formats in (frozenset(), others):
        with pytest.raises(UnsupportedFormatError, match="LATENTD_IMAGE_FORMATS"):
            open_image(FILES[name], formats)


def test_rejection_of_other_formats_names_no_setting() -> None:
    """A format that no setting enables is rejected with those that are accepted."""
    with pytest.raises(UnsupportedFormatError, match=r"PDF; supported: PNG, JPEG, avif.*webp\.$"):
        open_image(b"%PDF-1.7", ALL)


@pytest.mark.parametrize("name", ["WEBP", "GIF", "TIFF", "PNG"])
def test_animation_gives_its_first_frame(name: str) -> None:
    """Of several frames or pages the first one is read."""
    content = save(FRAMES[0], name, save_all=True, append_images=FRAMES[1:])

    assert read(open_image(content, ALL)) == pytest.approx(np.full((8, 6), 204), abs=2)


@pytest.mark.parametrize("name", ["WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(name: str, orientation: int) -> None:
    """The EXIF orientation is applied, to the size in the header too."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"WEBP": {"lossless": True}, "AVIF": {"quality": 100}}.get(name, {})
    stored = Image.fromarray(GREY).convert("RGB")
    content = save(stored, name, exif=exif, **options)

    file = open_image(content, ALL)

    upright = apply_orientation(stored, orientation)
    assert (file.width, file.height, file.pixels) == (*upright.size, 48)
    assert np.asarray(file.decode_upright()) == pytest.approx(np.asarray(upright), abs=2)


@pytest.mark.parametrize("name", FILES)
def test_damaged_file_is_rejected(name: str) -> None:
    """Any truncation is rejected, or leaves the pixels unchanged."""
    content = FILES[name]
    for end in range(12, len(content), 5):
        try:
            pixels = read(open_image(content[:end], ALL))
        except RequestError:
            continue
        assert pixels == pytest.approx(GREY, abs=2), end


@pytest.mark.parametrize("mode", ["F", "I"])
def test_deep_tiff_is_rejected(mode: str) -> None:
    """Floating-point and 32-bit TIFF files, whose range is unknown, are rejected."""
    with pytest.raises(UnsupportedFormatError, match="16 bits"):
        open_image(save(Image.new(mode, (6, 8)), "TIFF"), ALL)


def test_tile_counts_as_pixels() -> None:
    """The memory of a tile that is larger than the image counts."""
    tags = {256: 6, 257: 8, 258: 8, 259: 1, 262: 1, 277: 1, 322: 4096, 323: 8192, 324: 8, 325: 4}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    content = b"II*\x00" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)

    file = open_image(content, ALL)

    assert (file.width, file.height, file.pixels) == (6, 8, 4096 * 8192)


@pytest.mark.parametrize(
    ("content_type", "name"),
    [
        ("image/webp", "WebP"),
        ("image/gif", "GIF"),
        ("image/bmp", "BMP"),
        ("image/tiff", "TIFF"),
        ("image/avif", "AVIF"),
    ],
)
def test_raw_body(content_type: str, name: str) -> None:
    """A raw body of an enabled format is one image."""
    body = decode_body(content_type, FILES[name], IMAGES, LIMITS)

    assert body.to_images(SPEC, "false")[0, 0] * 255 == pytest.approx(GREY, abs=2)


def test_rejected_raw_body_names_the_setting() -> None:
    """Without the setting, a raw body of such a format is rejected with its name."""
    limits = replace(LIMITS, image_formats=frozenset())

    with pytest.raises(UnsupportedFormatError, match="LATENTD_IMAGE_FORMATS"):
        decode_body("image/webp", FILES["WebP"], IMAGES, limits)


def test_raw_body_where_images_are_not_accepted() -> None:
    """An operation on latents rejects image files of any format."""
    with pytest.raises(UnsupportedFormatError, match="content type"):
        decode_body("image/webp", FILES["WebP"], LATENTS, LIMITS)


def test_unknown_content() -> None:
    """Content of no known format is malformed."""
    with pytest.raises(MalformedInputError):
        open_image(b"anything at all", ALL)


def test_heic_files_without_their_library_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """HEIC needs a library that is not installed with the service."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    content = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"

    with pytest.raises(UnsupportedFormatError, match=r"pip install 'latentd\[heic\]'"):
        open_image(content, ALL_FORMATS)
