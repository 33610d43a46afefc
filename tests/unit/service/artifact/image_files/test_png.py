"""PNG files: the chunks that pixels depend on are checked, all others are skipped."""

import zlib

import numpy as np
import pytest
from PIL import Image

from service.artifact.image_files.png import parse_png
from tests.support.image_files import (
    filter_rows,
    make_chunk,
    make_exif,
    make_orientation,
    write_png,
)

PIXELS = np.arange(36, dtype=np.uint8).reshape(6, 6) * 7
GREY = filter_rows(PIXELS)
COLOUR = filter_rows(np.repeat(PIXELS[..., None], 3, axis=2))
EXIF = make_exif(make_orientation(6))


def corrupt(chunk: bytes) -> bytes:
    """Return a chunk with a wrong checksum."""
    return chunk[:-1] + bytes([chunk[-1] ^ 1])


METADATA = {
    "text": make_chunk(b"tEXt", b"Title\0a"),
    "compressed text": make_chunk(b"zTXt", b"key\0\0" + zlib.compress(b"a" * 2_000_000)),
    "damaged text": make_chunk(b"zTXt", b"key\0\0 not zlib"),
    "international text": make_chunk(b"iTXt", b"key\0\1\0\0\0 not zlib"),
    "wrong checksum": corrupt(make_chunk(b"iCCP", b"profile\0\0" + zlib.compress(b"x"))),
    "damaged profile": make_chunk(b"iCCP", b"profile\0\0 not zlib"),
    "broken Exif": make_chunk(b"eXIf", b"not TIFF"),
    "truncated resolution": make_chunk(b"pHYs", b"\0"),
    "animation": make_chunk(b"acTL", bytes(8)),
    "private": make_chunk(b"prVt", bytes(100)),
    "no letters": make_chunk(b"\xff\xff\xff\xff", b""),
}


@pytest.mark.parametrize(("data", "colour", "mode"), [(GREY, 0, "L"), (COLOUR, 2, "RGB")])
@pytest.mark.parametrize("parts", [1, 3, 1000])
def test_plain_file_bypasses_the_png_reader(
    data: bytes, colour: int, mode: str, parts: int
) -> None:
    """Grey and RGB files are decoded without Pillow's PNG reader, in any number of parts."""
    image = parse_png(write_png(data, colour=colour, parts=parts)).decode()

    assert type(image) is Image.Image  # not PngImageFile
    assert image.mode == mode
    assert np.array_equal(np.asarray(image.convert("L")), PIXELS)


@pytest.mark.parametrize(
    "chunk",
    [make_chunk(b"tRNS", b"\0"), make_chunk(b"tRNS", bytes(6)), make_chunk(b"PLTE", b"abc")],
    ids=["half a key", "key of colour", "palette"],
)
def test_chunk_of_another_kind_is_skipped(chunk: bytes) -> None:
    """A key of another kind of pixels, or a palette that they do not use, is skipped."""
    image = parse_png(write_png(GREY, before=[chunk])).decode()

    assert image.mode == "L"
    assert np.array_equal(np.asarray(image), PIXELS)


@pytest.mark.parametrize("kind", METADATA)
@pytest.mark.parametrize("colour", [0, 3], ids=["plain", "palette"])
@pytest.mark.parametrize("place", ["before", "after"])
def test_metadata_is_skipped(kind: str, colour: int, place: str) -> None:
    """Metadata, damaged or not, neither changes nor prevents the pixels."""
    palette = make_chunk(b"PLTE", bytes(np.repeat(np.arange(256, dtype=np.uint8), 3)))
    needed = [palette] if colour else []
    chunks = {"before": needed, "after": []}
    chunks[place] = [*chunks[place], METADATA[kind]]

    image = parse_png(write_png(GREY, colour=colour, **chunks)).decode()

    assert np.array_equal(np.asarray(image.convert("L")), PIXELS)
    assert image.info == {}


def test_exif_is_returned_from_either_side_of_the_pixels() -> None:
    """Exif metadata is returned, whether it is stored before or after the pixels."""
    chunk = make_chunk(b"eXIf", EXIF)

    assert parse_png(write_png(GREY)).exif is None
    assert parse_png(write_png(GREY, before=[chunk])).exif == EXIF
    assert parse_png(write_png(GREY, after=[chunk])).exif == EXIF


def test_bytes_after_the_end_are_ignored() -> None:
    """Bytes after the end of the file are ignored, as by other decoders."""
    image = parse_png(write_png(GREY) + b"more").decode()

    assert np.array_equal(np.asarray(image), PIXELS)


HEADER = write_png(GREY)[8:33]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (write_png(GREY)[:-1], "truncated"),
        (write_png(GREY)[:-12], "truncated"),
        (write_png(GREY)[:33], "truncated"),
        (write_png(GREY)[:8], "truncated"),
        (write_png(GREY)[:20], "truncated"),
        (write_png(GREY, before=[b"\xff\xff\xff\xffIDAT"]), "truncated"),
        (write_png(GREY, size=(0, 6)), "no pixels"),
        (write_png(GREY, size=(6, 0)), "no pixels"),
        (write_png(GREY)[:8] + HEADER + make_chunk(b"IEND", b""), "no header or no pixels"),
        (write_png(GREY)[:8] + make_chunk(b"IEND", b""), "no header or no pixels"),
        (
            write_png(GREY)[:8] + make_chunk(b"IDAT", b"x") + HEADER + make_chunk(b"IEND", b""),
            "no header",
        ),
        (write_png(GREY)[:8] + make_chunk(b"IHDR", b"") + write_png(GREY)[33:], "no header"),
        (write_png(GREY, before=[corrupt(make_chunk(b"tRNS", b"\0\7"))]), "checksum"),
        (write_png(GREY, before=[corrupt(make_chunk(b"PLTE", b"abc"))]), "checksum"),
        (write_png(GREY, before=[corrupt(make_chunk(b"IDAT", b""))]), "checksum"),
        (write_png(GREY)[:8] + corrupt(HEADER) + write_png(GREY)[33:], "checksum"),
        (write_png(GREY)[:-1] + b"\0", "checksum"),
        (write_png(GREY, before=[make_chunk(b"tEXt", b"")] * 16_384), "more than 16384 chunks"),
        (write_png(GREY * 50, parts=16_384), "more than 16384 chunks"),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value[8:40]),
)
def test_damaged_structure_is_rejected(content: bytes, reason: str) -> None:
    """A truncated file, a damaged necessary chunk or too many chunks are rejected."""
    with pytest.raises(ValueError, match=reason):
        parse_png(content)


def test_many_chunks_are_accepted() -> None:
    """A large file in small chunks is accepted: 16,384 chunks, header and end included."""
    content = write_png(GREY, before=[make_chunk(b"tEXt", b"")] * (16_384 - 3))

    assert np.array_equal(np.asarray(parse_png(content).decode()), PIXELS)
