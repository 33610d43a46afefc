"""Request bodies for every kind of input, without sending them."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentd_client.request_body import Body, pack_ends, pack_images, pack_latents
from tests.support.image_files import make_noise, read_npy, read_png

PNG_FILE = make_noise()
JPEG_FILE = make_noise(file_format="JPEG")
ACCEPTED = (
    r"Expected a path \(str or Path\), the bytes of an image file, a PIL image, a NumPy array of "
    r"numbers, a sequence of paths, bytes and PIL images, or a sequence of arrays; got "
)


@pytest.fixture(params=["str", "Path", "bytes", "bytearray", "memoryview"])
def as_input(request: pytest.FixtureRequest, tmp_path: Path) -> object:
    """Return a PNG file in each form in which a file can be passed."""
    path = tmp_path / "image.png"
    path.write_bytes(PNG_FILE)
    forms = {"str": str(path), "Path": path, "bytes": PNG_FILE}
    forms |= {"bytearray": bytearray(PNG_FILE), "memoryview": memoryview(PNG_FILE)}
    return forms[request.param]


def read_files(body: Body) -> list[bytes]:
    """Return the files of a multipart form, which must all be called `images`."""
    assert {field for field, _ in body.files or []} == {"images"}
    return [content for _, (_, content) in body.files or []]


def test_one_file_is_sent_unchanged(as_input: object) -> None:
    """A file, alone or in a sequence of one, is the whole body."""
    expected = Body(PNG_FILE, "image/png")

    assert pack_images(as_input) == expected  # type: ignore[arg-type]
    assert pack_images([as_input]) == expected  # type: ignore[list-item]


def test_several_files_are_sent_unchanged(as_input: object) -> None:
    """Files of all forms and formats, and PIL images, become the parts of one form."""
    image = Image.new("L", (6, 8), 7)

    first, second, third = read_files(pack_images((as_input, JPEG_FILE, image)))  # type: ignore[arg-type]

    assert (first, second) == (PNG_FILE, JPEG_FILE)
    assert (read_png(third) == 7).all()


def test_the_media_type_follows_the_content() -> None:
    """The first bytes of a file decide; the service determines the other formats itself."""
    assert pack_images(JPEG_FILE) == Body(JPEG_FILE, "image/jpeg")
    assert read_files(pack_images(b"GIF89a")) == [b"GIF89a"]


def test_one_pil_image_is_sent_as_png() -> None:
    """A PIL image is the whole body, as a PNG file."""
    image = Image.open(io.BytesIO(PNG_FILE))

    body = pack_images(image)

    assert body.media_type == "image/png"
    assert (read_png(body.content or b"") == np.asarray(image)).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, ">f4"])
def test_an_array_is_sent_as_npy(dtype: str) -> None:
    """An array keeps its type, shape and numbers."""
    images = np.arange(48).reshape(1, 1, 8, 6).astype(dtype)

    body = pack_images(images)

    sent = read_npy(body.content or b"")
    assert body.media_type == "application/x-npy"
    assert sent.dtype == images.dtype
    assert (sent == images).all()


@pytest.mark.parametrize("shape", [(8, 6), (1, 8, 6)])
def test_a_sequence_of_arrays_is_one_batch(shape: tuple[int, ...]) -> None:
    """Each array of a sequence is one image."""
    images = [np.full(shape, level, np.float32) for level in (0.1, 0.2, 0.3)]

    assert (read_npy(pack_images(images).content or b"") == np.stack(images)).all()


@pytest.mark.parametrize(
    ("value", "got"),
    [
        (None, "NoneType"),
        (7, "int"),
        ({"images": []}, "dict"),
        (iter([PNG_FILE]), "list_iterator"),
        (io.BytesIO(PNG_FILE), "BytesIO"),
        ([None], "NoneType"),
        ([[0.0, 1.0], [1.0, 0.0]], "list"),
        ([PNG_FILE, np.zeros((8, 6))], "ndarray"),
        (np.array(["image.png"]), "an array of <U9"),
        (np.array([None]), "an array of object"),
    ],
)
def test_other_types_raise_a_type_error(value: object, got: str) -> None:
    """The error lists the accepted types and names the type that it got."""
    with pytest.raises(TypeError, match=f"^{ACCEPTED}{got}\\.$"):
        pack_images(value)  # type: ignore[arg-type]


def test_an_empty_sequence_raises_a_value_error() -> None:
    """At least one image is required."""
    with pytest.raises(ValueError, match=r"^Expected at least one image, got an empty list\.$"):
        pack_images([])


def test_a_missing_file_raises_its_own_error(tmp_path: Path) -> None:
    """A path that does not exist is reported before anything is sent."""
    with pytest.raises(FileNotFoundError, match=r"absent\.png"):
        pack_images(tmp_path / "absent.png")


def test_one_latent_becomes_a_batch() -> None:
    """A vector of L numbers is sent as 1 x L, in float32."""
    sent = read_npy(pack_latents([0.5, -1]).content or b"")

    assert (sent.shape, sent.dtype) == ((1, 2), np.float32)


@pytest.mark.parametrize(
    "ends",
    [
        np.array([[0.0, 1], [1, 0]]),
        [[0.0, 1], [1, 0]],
        (np.array([0.0, 1]), np.array([1, 0])),
        [np.array([0.0, 1]), [1, 0]],
    ],
)
def test_ends_of_one_dimension_are_latents(ends: object) -> None:
    """Two vectors, as arrays or lists, are sent as 2 x L, in float32."""
    sent = read_npy(pack_ends(ends).content or b"")  # type: ignore[arg-type]

    assert sent.dtype == np.float32
    assert sent.tolist() == [[0, 1], [1, 0]]


def test_other_ends_are_images() -> None:
    """Arrays of two or more dimensions, files and PIL images are packed as images."""
    array = np.zeros((2, 1, 8, 6))

    assert pack_ends(array) == pack_images(array)
    assert pack_ends([array[0, 0], array[1, 0]]) == pack_images(array[:, 0])
    assert pack_ends([PNG_FILE, JPEG_FILE]) == pack_images([PNG_FILE, JPEG_FILE])
    assert len(read_files(pack_ends([Image.new("CMYK", (6, 8)), PNG_FILE]))) == 2


@pytest.mark.parametrize(
    ("ends", "error", "got"),
    [
        ([PNG_FILE], ValueError, "1"),
        (np.zeros((3, 4)), ValueError, "3"),
        ("ab", TypeError, "str"),
        (Image.new("L", (2, 2)), TypeError, "Image"),
    ],
)
def test_a_line_has_two_ends(ends: object, error: type[Exception], got: str) -> None:
    """Any other number of images or latents is an error."""
    with pytest.raises(error, match=f"^Expected two images or two latents, got {got}\\.$"):
        pack_ends(ends)  # type: ignore[arg-type]
