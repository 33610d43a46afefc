"""JPEG files: the segments that pixels depend on are kept, metadata is skipped."""

import io

import numpy as np
import pytest
from PIL import Image

from service.artifact.image_files.exif import parse_orientation
from service.artifact.image_files.jpeg import parse_jpeg
from tests.support.image_files import (
    insert_segments,
    make_exif,
    make_noise,
    make_orientation,
    make_segment,
    save,
)

PLAIN = make_noise(file_format="JPEG")
EXIF = b"Exif\0\0" + make_exif(make_orientation(6))
METADATA = {
    "broken Exif": make_segment(0xE1, b"Exif\0\0not TIFF"),
    "XMP": make_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<"),
    "multi-picture": make_segment(0xE2, b"MPF\0not TIFF"),
    "profile": make_segment(0xE2, b"ICC_PROFILE\0\1\1not a profile"),
    "Photoshop": make_segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\xff\xff\xff\xff"),
    "comment": make_segment(0xFE, b"a comment"),
    "empty": make_segment(0xE5, b""),
    "large": make_segment(0xE9, bytes(65_533)),
}


def decode(content: bytes) -> np.ndarray:
    """Return the pixels of a file."""
    return np.asarray(parse_jpeg(content).image)


def repeat_last_scan(content: bytes, count: int) -> bytes:
    """Return a progressive file with `count` scans."""
    start = content.rindex(b"\xff\xda")
    missing = count - content.count(b"\xff\xda")
    return content[:-2] + content[start:-2] * missing + content[-2:]


@pytest.mark.parametrize("kind", METADATA)
def test_metadata_is_skipped(kind: str) -> None:
    """Metadata, damaged or not, neither changes nor prevents the pixels."""
    jpeg = parse_jpeg(insert_segments(PLAIN, METADATA[kind]))

    assert np.array_equal(np.asarray(jpeg.image), decode(PLAIN))
    assert jpeg.image.format == "JPEG"
    assert not {"exif", "icc_profile", "comment", "photoshop", "mp"} & jpeg.image.info.keys()


def test_first_exif_segment_is_returned() -> None:
    """The first Exif segment is returned, also after other metadata."""
    segments = [make_segment(0xE1, exif) for exif in (EXIF, b"Exif\0\0second")]

    assert parse_jpeg(PLAIN).exif is None
    jpeg = parse_jpeg(insert_segments(PLAIN, METADATA["XMP"], *segments))
    assert parse_orientation(jpeg.exif) == 6


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_pixels_are_those_of_pillow(mode: str, progressive: bool) -> None:
    """Grey, colour and CMYK files, whose segment Adobe gives the colours, keep their pixels."""
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (9, 7, 3), np.uint8)).convert(mode)
    content = save(image, "JPEG", progressive=progressive)

    expected = Image.open(io.BytesIO(content))

    assert np.array_equal(decode(content), np.asarray(expected))
    assert parse_jpeg(content).image.mode == mode


def test_fill_bytes_are_skipped() -> None:
    """Any number of fill bytes may precede a marker."""
    assert np.array_equal(decode(PLAIN[:2] + b"\xff" * 100 + PLAIN[2:]), decode(PLAIN))


def test_scans_are_counted() -> None:
    """A baseline file has one scan, a progressive one several, of which 64 are accepted."""
    progressive = save(Image.new("RGB", (8, 8)), "JPEG", progressive=True)

    assert parse_jpeg(PLAIN).scans == 1
    assert parse_jpeg(progressive).scans == progressive.count(b"\xff\xda") > 5
    assert parse_jpeg(repeat_last_scan(progressive, 64)).scans == 64
    with pytest.raises(ValueError, match="65 scans, at most 64 are supported"):
        parse_jpeg(repeat_last_scan(progressive, 65))


def count_segments(content: bytes) -> int:
    """Return the number of segments up to the first scan."""
    position, count = 2, 1
    while content[position + 1] != 0xDA:
        position += 2 + int.from_bytes(content[position + 2 : position + 4])
        count += 1
    return count


def test_segments_are_bounded() -> None:
    """Up to 1,000 segments before the pixels are accepted."""
    added = [METADATA["empty"]] * (1000 - count_segments(PLAIN))

    assert np.array_equal(decode(insert_segments(PLAIN, *added)), decode(PLAIN))
    with pytest.raises(ValueError, match="more than 1000 segments"):
        parse_jpeg(insert_segments(PLAIN, *added, METADATA["empty"]))


@pytest.mark.parametrize(
    "content",
    [
        PLAIN[:2],
        PLAIN[:3],
        PLAIN[:10],
        PLAIN[: PLAIN.index(b"\xff\xda")],
        PLAIN[:2] + b"\xff\0" + PLAIN[2:],
        PLAIN[:2] + b"\xff" * 10,
        insert_segments(PLAIN, b"\xff\xe1\xff\xff"),
        insert_segments(PLAIN, b"\xff\xe1\x00\x00"),
        insert_segments(PLAIN, b"\xff\xe1\x00\x01"),
    ],
    ids=lambda content: repr(content[:12]),
)
def test_damaged_structure_is_rejected(content: bytes) -> None:
    """A truncated segment, or no marker where one is expected, is rejected."""
    with pytest.raises(ValueError, match="truncated"):
        parse_jpeg(content)


@pytest.mark.parametrize("junk", [b"\0", b"hello", bytes(100_000)], ids=len)
def test_bytes_between_segments_are_skipped(junk: bytes) -> None:
    """Bytes that belong to no segment, such as those after a wrong length, are skipped."""
    jpeg = parse_jpeg(insert_segments(PLAIN, junk))

    assert np.array_equal(np.asarray(jpeg.image), decode(PLAIN))
