"""PNG files made of PIL images, against the pixels that the service makes of the original."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from latentd_client.pil_images import to_file, to_png
from service.artifact import ImageSpec
from service.artifact.pixels import to_pixels
from tests.support.image_files import forge_png, make_chunk, save

GREY = ImageSpec(channels=1, height=12, width=10, background=(0.0,))
COLOUR = ImageSpec(channels=3, height=12, width=10, background=(0.0, 0.5, 1.0))
SPECS = pytest.mark.parametrize("spec", [GREY, COLOUR], ids=["grey", "colour"])
ORIENTATION = 0x0112


def make_photo() -> Image.Image:
    """Return an RGBA image whose pixels and alpha differ everywhere."""
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (15, 11, 4), np.uint8))


def make_deep(mode: str) -> Image.Image:
    """Return a grey image with levels of 0 to 65,535."""
    levels = np.linspace(0, 65_535, 165, dtype=np.int32).reshape(15, 11)
    image = Image.fromarray(levels)
    if mode == "I":
        return image
    order = ">" if mode == "I;16B" else "<"
    return Image.frombytes(mode, image.size, levels.astype(f"{order}u2").tobytes())


def make_image(mode: str) -> Image.Image:
    """Return an image of any mode."""
    if mode.startswith("I"):
        return make_deep(mode)
    photo = make_photo()
    if mode == "PA":
        return photo.convert("RGB").quantize(16).convert("PA")
    if mode == "La":
        return photo.convert("LA").convert("La")
    if mode in {"RGBA", "RGBa", "LA"}:
        return photo.convert(mode)
    return photo.convert("RGB").convert(mode)


def open_again(image: Image.Image) -> Image.Image:
    """Return the image that the service opens."""
    return Image.open(io.BytesIO(to_png(image)), formats=["PNG"])


@SPECS
@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I;16B", "I;16L", "I", "PA", "RGBa"]
)
def test_a_mode_with_a_png_equivalent_keeps_its_pixels(mode: str, spec: ImageSpec) -> None:
    """The service makes the same pixels of the PNG file as of the image itself."""
    image = make_image(mode)
    assert image.mode == mode

    assert (to_pixels(open_again(image), spec) == to_pixels(image, spec)).all()


@SPECS
@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB", "HSV", "RGBX"])
def test_a_colour_mode_becomes_rgb(mode: str, spec: ImageSpec) -> None:
    """The service makes the same pixels of the PNG file as of the image in RGB."""
    image = make_image(mode)

    sent = open_again(image)

    assert (image.mode, sent.mode) == (mode, "RGB")
    assert (to_pixels(sent, spec) == to_pixels(image.convert("RGB"), spec)).all()


def test_premultiplied_grey_becomes_straight_grey() -> None:
    """The mode La is saved as LA."""
    image = make_image("La")

    assert (np.asarray(open_again(image)) == np.asarray(image.convert("LA"))).all()


@pytest.mark.parametrize(
    ("mode", "dtype", "levels", "expected"),
    [
        ("F", np.float32, [-5, 0.4, 100.7, 300], [0, 0, 100, 255]),
        ("I", np.int32, [-5, 0, 300, 70_000], [0, 0, 300, 65_535]),
    ],
)
def test_levels_out_of_range_are_clipped(
    mode: str, dtype: type[np.generic], levels: list[float], expected: list[int]
) -> None:
    """The mode F holds levels of 8 bits, and the mode I levels of 16 bits."""
    image = Image.fromarray(np.array([levels], dtype))
    assert image.mode == mode

    assert np.asarray(open_again(image)).tolist() == [expected]


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "CMYK", "I;16", "1"])
@pytest.mark.parametrize("orientation", range(10))
def test_the_exif_orientation_is_applied(mode: str, orientation: int) -> None:
    """The PNG file holds the upright image and no orientation; values out of 1 to 8 mean 1."""
    image = make_image(mode)
    image.getexif()[ORIENTATION] = orientation

    sent = open_again(image)

    assert ORIENTATION not in sent.getexif()
    upright = ImageOps.exif_transpose(image)
    expected = upright if mode in {"L", "P", "1", "I;16"} else upright.convert("RGB")
    assert (np.asarray(sent) == np.asarray(expected)).all()


def test_an_orientation_after_the_pixels_is_applied() -> None:
    """A PNG file may hold its EXIF data after the pixels."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    file = save(make_image("L"))
    end = file.index(b"IEND") - 4
    late = file[:end] + make_chunk(b"eXIf", exif.tobytes()[6:]) + file[end:]

    assert open_again(Image.open(io.BytesIO(late))).size == (15, 11)


def test_broken_exif_data_means_upright() -> None:
    """Pixels are intact where the EXIF data cannot be read."""
    image = make_image("RGB")
    image.info["exif"] = b"Exif\0\0broken"

    assert (np.asarray(open_again(image)) == np.asarray(image)).all()


def test_an_invalid_resolution_does_not_hide_the_orientation() -> None:
    """The orientation is read alone, without rewriting the rest of the EXIF data."""
    # Little-endian TIFF: orientation 6, and an X resolution of -1/0 at offset 38.
    entries = b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\x1a\x01\x0a\0\x01\0\0\0\x26\0\0\0"
    tiff = b"II*\0\x08\0\0\0\x02\0" + entries + b"\0\0\0\0" + b"\xff\xff\xff\xff\0\0\0\0"
    file = io.BytesIO(save(make_image("RGB"), "JPEG", exif=b"Exif\0\0" + tiff))

    assert open_again(Image.open(file)).size == (15, 11)


@pytest.mark.parametrize("transparency", [3, bytes([255, 0, 128])])
def test_the_transparency_of_a_palette_is_kept(transparency: int | bytes) -> None:
    """A palette image with a transparent entry, or with an alpha for each, stays what it is."""
    image = make_photo().convert("RGB").quantize(16)
    image.info["transparency"] = transparency

    sent = open_again(image)

    assert (np.asarray(sent.convert("RGBA")) == np.asarray(image.convert("RGBA"))).all()


@pytest.mark.parametrize(
    ("depth", "colour_type", "level", "expected"),
    [
        (2, 0, b"\0\x02", 170),
        (4, 0, b"\0\x02", 34),
        (8, 0, b"\0\x02", 2),
        (16, 0, b"\x02\x03", 0x0203),
        (8, 2, b"\0\x02\0\x03\0\x04", (2, 3, 4)),
        (16, 2, b"\x02\0\x03\0\x04\0", (2, 3, 4)),
    ],
)
def test_a_transparent_level_keeps_its_meaning(
    depth: int, colour_type: int, level: bytes, expected: int | tuple[int, ...]
) -> None:
    """Pillow scales pixels to 8 bits and not the transparent level; the PNG file has both."""
    file = forge_png(2, 2, make_chunk(b"tRNS", level))
    head = file[:24] + bytes([depth, colour_type]) + file[26:]
    checksum = make_chunk(b"IHDR", head[16:29])[-4:]
    original = Image.open(io.BytesIO(head[:29] + checksum + head[33:]))

    assert open_again(original).info["transparency"] == expected


def test_metadata_is_omitted() -> None:
    """Colour profiles, EXIF data and comments, which the service ignores, are not sent."""
    image = make_image("RGB")
    image.info |= {"icc_profile": b"p" * 10_000, "comment": b"c" * 10_000, "dpi": (72, 72)}
    image.getexif()[0x010E] = "d" * 10_000

    assert set(open_again(image).info) == set()


def test_the_image_itself_is_unchanged() -> None:
    """Conversion leaves the caller's image as it was."""
    image = make_image("CMYK")
    image.getexif()[ORIENTATION] = 6
    before = image.copy()

    to_png(image)

    assert image == before
    assert image.getexif()[ORIENTATION] == 6


def test_an_animation_gives_its_current_frame() -> None:
    """An image opened at a later frame is sent as that frame."""
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    animation = Image.open(stream)
    animation.seek(1)

    assert open_again(animation).convert("RGB").getpixel((0, 0)) == (0, 0, 255)


def make_jpeg(**options: object) -> bytes:
    """Return a JPEG file of 64 x 48 pixels."""
    ramp = np.linspace(0, 255, 48 * 64).reshape(48, 64).astype(np.uint8)
    return save(Image.fromarray(ramp), "JPEG", **options)


def test_opened_photo_is_sent_as_its_file() -> None:
    """A JPEG file that is opened and not decoded is sent unchanged, and PIL can still decode it."""
    content = make_jpeg()
    image = Image.open(io.BytesIO(content))

    assert to_file(image) == content
    assert np.array_equal(np.asarray(image), np.asarray(Image.open(io.BytesIO(content))))


@pytest.mark.parametrize("change", ["load", "draft", "rotate", "paste"])
def test_changed_photo_is_sent_as_png(change: str) -> None:
    """A photo that was decoded or changed by PIL is sent as PNG with its pixels of now."""
    image: Image.Image = Image.open(io.BytesIO(make_jpeg()))
    if change == "draft":
        image.draft("L", (32, 24))
    elif change == "rotate":
        image = image.rotate(90, expand=True)
    elif change == "paste":
        image.paste(9, (0, 0, 20, 20))
    else:
        image.load()

    sent = Image.open(io.BytesIO(to_file(image)))

    assert sent.format == "PNG"
    assert np.array_equal(np.asarray(sent), np.asarray(image))


def test_second_picture_of_a_photo_is_sent_as_png() -> None:
    """Of a multi-picture file the picture that PIL has selected is sent."""
    pictures = [Image.new("L", (16, 16), level) for level in (200, 20)]
    content = save(pictures[0], "MPO", save_all=True, append_images=pictures[1:])
    image = Image.open(io.BytesIO(content))
    assert to_file(image) == content

    image.seek(1)

    assert np.asarray(Image.open(io.BytesIO(to_file(image)))).max() <= 22
