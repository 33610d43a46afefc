"""JPEG files: the segments that pixels depend on are kept, metadata is skipped."""

import io

import numpy as np
import pytest
from PIL import Image

from service.artifact.image_files import open_image
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
    with pytest.raises(ValueError, match="more than 64 scans"):
        parse_jpeg(repeat_last_scan(progressive, 65))


def test_segments_between_scans_are_bounded() -> None:
    """Comments between the scans of a progressive file are bounded, and hide no scan."""
    progressive = save(Image.new("RGB", (8, 8)), "JPEG", progressive=True)
    last = progressive.rindex(b"\xff\xda")
    comment = make_segment(0xFE, b"\xff\xd9\xff\xda")

    content = progressive[:last] + comment + progressive[last:]

    assert parse_jpeg(content).scans == parse_jpeg(progressive).scans
    assert np.array_equal(decode(content), decode(progressive))
    with pytest.raises(ValueError, match="more than 1000 segments"):
        parse_jpeg(progressive[:last] + comment * 1000 + progressive[last:])


@pytest.mark.parametrize(
    "trailer",
    [b"\0" * 1000, PLAIN, b"\0\0\0\x18ftypmp42" + b"\xff\xda\0\x0c" * 100],
    ids=["padding", "second picture", "video"],
)
def test_bytes_after_the_image_are_ignored(trailer: bytes) -> None:
    """What a camera appends, such as a second picture or a video, is not part of the image."""
    jpeg = parse_jpeg(PLAIN + trailer)

    assert jpeg.scans == 1
    assert np.array_equal(np.asarray(jpeg.image), decode(PLAIN))


def test_multi_picture_file_gives_its_first_picture() -> None:
    """Of a multi-picture file (CIPA DC-007) the first picture is read."""
    pictures = [Image.new("RGB", (9, 7), level) for level in ("red", "blue")]

    content = save(pictures[0], "MPO", save_all=True, append_images=pictures[1:])

    assert b"MPF\0" in content
    assert decode(content)[0, 0].tolist() == pytest.approx([255, 0, 0], abs=2)


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


@pytest.mark.parametrize(
    "junk", [b"\0", b"hello", bytes(100_000), b"\xff\0" * 40_000, b"\xff" * 65_535], ids=len
)
def test_bytes_between_segments_are_skipped(junk: bytes) -> None:
    """Bytes that belong to no segment, such as those after a wrong length, are skipped."""
    jpeg = parse_jpeg(insert_segments(PLAIN, junk))

    assert np.array_equal(np.asarray(jpeg.image), decode(PLAIN))


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(("side", "factor"), [(100, 1), (40, 2), (20, 4), (5, 8), (1, 8)])
def test_large_files_are_decoded_with_fewer_pixels(
    orientation: int, side: int, factor: int
) -> None:
    """The result has at least twice the rows and columns that are needed, upright."""
    exif = Image.Exif()
    exif[0x112] = orientation
    stored = (320, 160) if orientation == 1 else (160, 320)
    file = open_image(save(Image.new("RGB", stored, (200, 30, 30)), "JPEG", exif=exif))
    assert (file.width, file.height) == (320, 160)

    file.reduce(side, side)
    file.reduce(1, 1)  # a second call has no effect

    assert (file.width, file.height) == (320 // factor, 160 // factor)
    assert file.decode_upright().size == (file.width, file.height)


def test_memory_of_a_progressive_file_counts_its_coefficients() -> None:
    """The decoder keeps those of the whole image, whatever it returns."""
    image = Image.new("RGB", (800, 800))
    baseline, progressive = (
        open_image(save(image, "JPEG", progressive=value)) for value in (False, True)
    )
    for file in (baseline, progressive):
        file.reduce(8, 8)

    assert baseline.memory == 100 * 100 * 12
    assert progressive.memory == baseline.memory + 800 * 800 * 6
    assert progressive.passes > 50 * baseline.passes
