"""Random valid PNG and JPEG files, for property tests."""

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from tests.support.image_files import (
    insert_segments,
    make_chunk,
    make_exif,
    make_orientation,
    make_segment,
    save,
    write_png,
)

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
FORMS = [
    *((0, depth) for depth in (1, 2, 4, 8, 16)),
    *((2, depth) for depth in (8, 16)),
    *((3, depth) for depth in (1, 2, 4, 8)),
    *((4, depth) for depth in (8, 16)),
    *((6, depth) for depth in (8, 16)),
]
"""The valid combinations of colour type and bit depth."""
ADAM7 = [
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
]
"""The passes of an interlaced file: first column and row, and the distances to the next."""


def split_passes(size: tuple[int, int], *, interlaced: bool) -> list[tuple[int, int]]:
    """Return the width and height of each pass that has pixels."""
    if not interlaced:
        return [size]
    passes = [
        (-((x - size[0]) // width), -((y - size[1]) // height)) for x, y, width, height in ADAM7
    ]
    return [(width, height) for width, height in passes if width > 0 and height > 0]


@st.composite
def valid_pngs(draw: st.DrawFn) -> bytes:
    """Draw a valid PNG file of any form with random pixels, filters, metadata and parts."""
    colour, depth = draw(st.sampled_from(FORMS))
    size = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    interlaced = draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows = []
    for width, height in split_passes(size, interlaced=interlaced):
        length = -(-width * depth * CHANNELS[colour] // 8)
        rows += [bytes([rng.integers(5)]) + rng.bytes(length) for _ in range(height)]
    before = []
    if colour == 3:
        before.append(make_chunk(b"PLTE", rng.bytes(3 * 2**depth)))
    transparency = {0: 2, 2: 6, 3: draw(st.integers(1, 2**depth)) if colour == 3 else 0}
    if draw(st.booleans()) and colour in transparency:
        levels = rng.integers(0, 256, transparency[colour], np.uint8)
        if colour != 3 and depth < 16:
            levels[::2] = 0
            levels[1::2] &= 2**depth - 1
        before.append(make_chunk(b"tRNS", levels.tobytes()))
    metadata = draw(st.lists(st.sampled_from([b"tEXt", b"prVt"]), max_size=2))
    chunks = [make_chunk(kind, b"key\0value") for kind in metadata]
    orientation = draw(st.none() | st.integers(1, 8))
    if orientation is not None:
        chunks.append(make_chunk(b"eXIf", make_exif(make_orientation(orientation))))
    is_before = draw(st.booleans())
    return write_png(
        b"".join(rows),
        size,
        depth=depth,
        colour=colour,
        interlaced=interlaced,
        before=before + (chunks if is_before else []),
        after=[] if is_before else chunks,
        parts=draw(st.integers(1, 4)),
    )


@st.composite
def valid_jpegs(draw: st.DrawFn) -> bytes:
    """Draw a valid JPEG file of any mode with random pixels and metadata."""
    mode = draw(st.sampled_from(["L", "RGB", "CMYK"]))
    width, height = draw(st.tuples(st.integers(1, 20), st.integers(1, 20)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    image = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).convert(mode)
    content = save(
        image,
        "JPEG",
        quality=draw(st.integers(1, 100)),
        progressive=draw(st.booleans()),
        subsampling=draw(st.integers(0, 2)),
    )
    segments = [make_segment(0xFE, b"a comment")] * draw(st.integers(0, 2))
    orientation = draw(st.none() | st.integers(1, 8))
    if orientation is not None:
        exif = make_exif(make_orientation(orientation, "<"), order="<")
        segments.append(make_segment(0xE1, b"Exif\0\0" + exif))
    return insert_segments(content, *segments)
