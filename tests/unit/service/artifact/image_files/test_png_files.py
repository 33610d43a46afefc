"""PNG files from other encoders: every depth, colour keys, metadata and incomplete pixels."""

import io
import struct
import zlib
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.artifact import ImageSpec
from service.artifact.image_files import open_image
from service.artifact.image_files.exif import apply_orientation
from service.artifact.pixels import to_pixels
from service.errors import MalformedInputError
from tests.support.image_files import make_chunk, make_exif, make_orientation, save
from tests.support.png_files import GREY, GREY_ALPHA, PALETTE, RGB, RGBA, make_key, write_png

BACKGROUND = 102
GREY_SPEC = ImageSpec(channels=1, height=5, width=7, background=(BACKGROUND / 255,))
RGB_SPEC = ImageSpec(channels=3, height=5, width=7, background=(BACKGROUND / 255,) * 3)
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
PALETTE_CHUNK = make_chunk(b"PLTE", bytes(range(30)))
METADATA = {
    "broken Exif": make_chunk(b"eXIf", b"MM\x00*\xff\xff"),
    "Exif of a resolution -1/0": make_chunk(
        b"eXIf",
        b"MM\x00*"
        + struct.pack(">IHHHIII", 8, 1, 0x011A, 10, 1, 26, 0)
        + struct.pack(">ii", -1, 0),
    ),
    "profile with a bad checksum": make_chunk(b"iCCP", b"name\x00\x00junk")[:-4] + b"\x00" * 4,
    "text with a bad checksum": make_chunk(b"tEXt", b"key\x00value")[:-4] + b"\x00" * 4,
    "time with a bad checksum": make_chunk(b"tIME", bytes(7))[:-4] + b"\x00" * 4,
    "1.5 MB of text": make_chunk(b"zTXt", b"key\x00\x00" + zlib.compress(bytes(1_500_000))),
}


def read(content: bytes, spec: ImageSpec) -> NDArray[np.uint8]:
    """Return the pixels that a model receives of a file (channels, H, W)."""
    return to_pixels(open_image(content).decode_upright(), spec)


def make_samples(depth: int, channels: int = 1) -> NDArray[np.integer]:
    """Return samples of (5, 7) or (5, 7, channels) with the extremes among them."""
    shape = (5, 7) if channels == 1 else (5, 7, channels)
    samples = np.random.default_rng(depth).integers(0, 2**depth, shape)
    samples[0, 0], samples[-1, -1] = 0, 2**depth - 1
    return samples


def scale(samples: NDArray[np.integer], depth: int) -> NDArray[np.float64]:
    """Scale samples to 0 to 255."""
    return samples * (255 / (2**depth - 1))


@pytest.mark.parametrize("is_interlaced", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_grey_of_every_depth(depth: int, is_interlaced: bool) -> None:
    """Grey of every depth covers the range from black to white."""
    samples = make_samples(depth)
    content = write_png(samples, depth, GREY, is_interlaced=is_interlaced)

    assert np.abs(read(content, GREY_SPEC)[0] - scale(samples, depth)).max() <= 1


@pytest.mark.parametrize("is_interlaced", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_grey_key_of_every_depth(depth: int, is_interlaced: bool) -> None:
    """The transparent level of a grey file shows the background, and no other level does."""
    samples = make_samples(depth)
    key = int(samples[2, 3])
    content = write_png(samples, depth, GREY, before=[make_key(key)], is_interlaced=is_interlaced)

    expected = np.where(samples == key, BACKGROUND, scale(samples, depth))
    assert np.abs(read(content, GREY_SPEC)[0] - expected).max() <= 1


@pytest.mark.parametrize("is_interlaced", [False, True])
@pytest.mark.parametrize("depth", [8, 16])
def test_rgb_key(depth: int, is_interlaced: bool) -> None:
    """The transparent colour shows the background; one that differs in the last bit does not."""
    samples = make_samples(depth, 3)
    samples[2, 4] = samples[2, 3] ^ [0, 0, 1]
    before = [make_key(*samples[2, 3].tolist())]
    content = write_png(samples, depth, RGB, before=before, is_interlaced=is_interlaced)

    expected = scale(samples, depth)
    expected[2, 3] = BACKGROUND
    assert np.abs(read(content, RGB_SPEC).transpose(1, 2, 0) - expected).max() <= 1


@pytest.mark.parametrize("depth", [8, 16])
def test_grey_with_alpha(depth: int) -> None:
    """Half-transparent grey is blended with the background."""
    samples = make_samples(depth, 2)
    grey, alpha = scale(samples, depth).transpose(2, 0, 1)

    pixels = read(write_png(samples, depth, GREY_ALPHA), GREY_SPEC)[0]

    expected = BACKGROUND + (grey - BACKGROUND) * alpha / 255
    assert np.abs(pixels - expected).max() <= 2


def test_transparent_palette_entries() -> None:
    """Each palette entry is blended by its own alpha."""
    samples = np.arange(35).reshape(5, 7) % 4
    alphas = np.array([0, 128, 255, 255])
    before = [PALETTE_CHUNK, make_chunk(b"tRNS", bytes([0, 128]))]

    pixels = read(write_png(samples, 4, PALETTE, before=before), RGB_SPEC)

    colors = np.arange(12).reshape(4, 3)
    blended = BACKGROUND + (colors - BACKGROUND) * alphas[:, None] / 255
    assert np.abs(pixels.transpose(1, 2, 0) - blended[samples]).max() <= 1


@pytest.mark.parametrize(
    ("color_type", "depth", "is_interlaced", "missing"),
    [
        *product([GREY], [1, 2, 4, 8, 16], [False, True], [1, 3]),
        *product([RGB, GREY_ALPHA, RGBA], [8, 16], [False, True], [1, 8]),
        *product([PALETTE], [1, 4], [False, True], [1, 2]),
    ],
)
def test_missing_rows_are_rejected(
    color_type: int, depth: int, is_interlaced: bool, missing: int
) -> None:
    """A complete compressed stream of too few bytes is a damaged file, not black rows."""
    samples = make_samples(depth, CHANNELS[color_type])
    before = [PALETTE_CHUNK] if color_type == PALETTE else []
    form = {"depth": depth, "color_type": color_type, "before": before}
    whole = write_png(samples, **form, is_interlaced=is_interlaced)
    cut = write_png(samples, **form, is_interlaced=is_interlaced, missing_bytes=missing)
    spec = RGB_SPEC if color_type in {RGB, PALETTE, RGBA} else GREY_SPEC

    read(whole, spec)
    with pytest.raises((ValueError, OSError)):
        read(cut, spec)


def test_black_image_is_complete() -> None:
    """A whole black image is accepted, although missing rows look the same."""
    assert read(save(Image.new("L", (7, 5))), GREY_SPEC).max() == 0


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("kind", METADATA)
def test_metadata_does_not_matter(kind: str, place: str) -> None:
    """Damaged or large metadata do not affect pixels, before or after them."""
    samples = make_samples(8)

    content = write_png(samples, 8, GREY, **{place: [METADATA[kind]]})

    assert np.array_equal(read(content, GREY_SPEC)[0], samples)


def test_bad_checksum_of_pixels_is_rejected() -> None:
    """A chunk that pixels depend on must match its checksum."""
    content = bytearray(write_png(make_samples(8), 8, GREY))
    content[content.index(b"IDAT") + 4] ^= 1

    with pytest.raises(MalformedInputError, match="checksum"):
        open_image(bytes(content))


def test_apng_gives_its_first_frame() -> None:
    """An animated PNG file gives its first frame."""
    frames = [Image.new("L", (7, 5), level) for level in (200, 20)]
    content = save(frames[0], "PNG", save_all=True, append_images=frames[1:])
    assert b"acTL" in content

    assert set(read(content, GREY_SPEC).ravel()) == {200}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("color_type", "depth"), [*product([GREY], [1, 2, 4, 8, 16]), *product([RGB], [8, 16])]
)
def test_key_of_a_rotated_image(color_type: int, depth: int, orientation: int) -> None:
    """A transparent level or colour is found before the image is turned upright."""
    samples = np.full((3, 4, CHANNELS[color_type]), 2**depth - 1)
    samples[0, 1] = 2**depth // 5
    before = [make_key(*samples[0, 1].tolist())]
    exif = make_chunk(b"eXIf", make_exif(make_orientation(orientation)))
    content = write_png(samples.squeeze(), depth, color_type, before=before, after=[exif])

    alpha = open_image(content).decode_upright().getchannel("A")

    stored = Image.fromarray(np.where(samples[..., 0] == samples[0, 1, 0], 0, 255).astype(np.uint8))
    assert np.array_equal(np.asarray(alpha), np.asarray(apply_orientation(stored, orientation)))


def test_key_with_unused_bits() -> None:
    """Of a key only as many bits count as a pixel has (PNG specification, 11.3.2.1)."""
    samples = make_samples(4)
    content = write_png(samples, 4, GREY, before=[make_key(0xFF30)])

    expected = np.where(samples == 0, BACKGROUND, samples * 17)
    assert np.array_equal(read(content, GREY_SPEC)[0], expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_jpeg_orientation_despite_a_broken_resolution(orientation: int) -> None:
    """The orientation is applied although another Exif entry is the rational -1/0."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x011A] = 1.0
    block = exif.tobytes().replace(struct.pack(">II", 1, 1), struct.pack(">iI", -1, 0))
    block = block.replace(struct.pack("<II", 1, 1), struct.pack("<iI", -1, 0))
    ramp = Image.fromarray(np.linspace(0, 255, 48 * 64).reshape(64, 48).astype(np.uint8))
    content = save(ramp, "JPEG", exif=block, quality=95)
    plain = save(ramp, "JPEG", quality=95)

    image = open_image(content).decode_upright()

    stored = Image.open(io.BytesIO(plain))
    stored.getexif()[0x0112] = orientation
    assert image.size == ((64, 48) if orientation > 4 else (48, 64))
    corner = {1: (0, 0), 2: (-1, 0), 3: (-1, -1), 4: (0, -1)}.get(orientation)
    if corner is not None:
        x, y = (coordinate % side for coordinate, side in zip(corner, image.size, strict=True))
        assert image.getpixel((x, y)) == stored.getpixel((0, 0))
