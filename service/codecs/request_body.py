"""A request's body, unpacked by its content type: images, latents and the other members."""

from dataclasses import dataclass, field
from typing import TypeVar

import jiter
import numpy as np
from numpy.typing import NDArray
from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import File, parse_options_header

from service.artifact import ImageSpec
from service.artifact.pixels import Invert
from service.artifact.tensor_files import Floats
from service.codecs.image_batches import Item, read_numbers, to_batch
from service.codecs.image_files import check_pixels, open_base64, open_picture
from service.codecs.npy import MEDIA_TYPE as NPY
from service.codecs.npy import read_npy
from service.errors import (
    InvalidInputError,
    MalformedInputError,
    RequestError,
    UnsupportedFormatError,
    Violation,
)
from service.http.limits import Limits

JSON = "application/json"
MULTIPART = "multipart/form-data"
PICTURES = ("image/png", "image/jpeg", "image/jpg")


@dataclass(frozen=True, slots=True)
class Taken:
    """What an operation takes: media types, and the members that hold its input."""

    media: tuple[str, ...]
    members: tuple[str, ...]
    single: int | None = None
    """Rank of an array that holds one image or latent, where it can be told without a model."""
    least: int = 1
    """How many images or latents it takes at least."""


IMAGES = Taken((JSON, MULTIPART, *PICTURES, NPY), ("images",), single=2)
LATENTS = Taken((JSON, NPY), ("latents",), single=1)
ENDS = Taken((JSON, MULTIPART, NPY), ("images", "latents"), least=2)
"""Images or latents: the ends of a line."""
NOTHING = Taken((JSON,), ())
"""Parameters only; the body may be left out."""

T = TypeVar("T", bound=np.generic)

_PART_NAMES = {"images", "image"}


@dataclass(slots=True)
class Upload:
    """What came in a body, checked as far as it can be without knowing the model."""

    members: dict[str, object] = field(default_factory=dict)
    """JSON members other than `images` and `latents`."""
    items: list[Item] | None = None
    """Images sent one by one."""
    array: NDArray[np.generic] | None = None
    """A whole .npy array: images or latents."""
    latents: NDArray[np.float64] | None = None
    """The JSON member `latents`."""
    pixels: int = 0
    """Pixels of all pictures, before they are resized."""
    in_json: bool = False
    """Whether the pictures came inside JSON, where a broken one is 422 and not 400."""

    @property
    def count(self) -> int:
        """How many images or latents came."""
        if self.items is not None:
            return len(self.items)
        array = self.latents if self.array is None else self.array
        return 0 if array is None else (array.shape or (0,))[0]

    @property
    def holds_latents(self) -> bool:
        """Whether latents came, and not images, where an operation takes either."""
        matrix = self.array is not None and self.array.ndim == 2  # noqa: PLR2004 - N x L
        return matrix or self.latents is not None

    def to_images(self, spec: ImageSpec, invert: Invert) -> Floats:
        """Return the images as (N, C, H, W) float32 in [0, 1].

        Raises:
            InvalidInputError, MalformedInputError: as `service.codecs.image_batches.to_batch`.
        """
        images = self.items if self.array is None else self.array
        if images is None:
            raise InvalidInputError(Violation("/images", "the member 'images' is missing"))
        return to_batch(images, spec, invert, in_json=self.in_json)

    def to_latents(self, latent_size: int) -> Floats:
        """Return the latents as (N, L) float32.

        Raises:
            InvalidInputError: none came, a wrong shape or type, NaN, infinity or over float32.
        """
        numbers = self.latents if self.array is None else self.array
        if numbers is None:
            raise InvalidInputError(Violation("/latents", "the member 'latents' is missing"))
        if numbers.shape[1:] != (latent_size,) or not len(numbers) or numbers.dtype == np.uint8:
            raise InvalidInputError(
                Violation("/latents", f"floating N x {latent_size} is wanted, got {numbers.shape}")
            )
        with np.errstate(over="ignore"):
            latents = np.ascontiguousarray(numbers, dtype=np.float32)
        if not np.isfinite(latents).all():
            raise InvalidInputError(Violation("/latents", "latents must be finite float32 numbers"))
        return latents


def unpack(content_type: str, body: bytes, taken: Taken, limits: Limits) -> Upload:
    """Unpack a body by its content type.

    Args:
        content_type: The header's value; empty where there is none.
        body: The body.
        taken: What the operation takes.
        limits: What one request may hold.

    Raises:
        UnsupportedFormatError: a content type that is not taken, or an image format.
        MalformedInputError: the body is not what its content type says.
        InvalidInputError: it is, and a member is wrong.
        LimitExceededError: too many images or pixels.
    """
    if not body and not content_type and taken is NOTHING:
        return Upload()
    media = content_type
    options: dict[bytes, bytes] = {}
    if media not in taken.media:  # it may have options
        media_type, options = parse_options_header(content_type)
        media = media_type.decode("latin-1")
    if media not in taken.media:
        raise UnsupportedFormatError(
            f"the content type {media!r} is not taken here; send {', '.join(taken.media)}"
        )
    if media == JSON:
        upload = _unpack_json(body, taken, limits)
    elif media == NPY:
        upload = Upload(array=_as_batch(read_npy(body), taken.single))
    elif media == MULTIPART:
        upload = Upload(items=_unpack_parts(body, options.get(b"boundary", b""), limits))
    else:
        upload = Upload(items=[open_picture(body)])
    limits.check("images", upload.count)
    upload.pixels = check_pixels(upload.items or (), limits)
    return upload


def read_members(body: bytes, limits: Limits) -> dict[str, object]:
    """Return the members of a JSON object.

    Raises:
        LimitExceededError: it is too long, or has too many values.
        MalformedInputError: no valid JSON, or a member given twice.
        InvalidInputError: JSON, and no object.
    """
    limits.check_json(body)
    try:
        members = jiter.from_json(body, catch_duplicate_keys=True)
    except ValueError as error:
        raise MalformedInputError("the body is no valid JSON, or names a member twice") from error
    if not isinstance(members, dict):
        raise InvalidInputError(Violation("", "the body must be a JSON object"))
    return members


def _unpack_json(body: bytes, taken: Taken, limits: Limits) -> Upload:
    members = read_members(body, limits)
    inputs = {name: members.pop(name) for name in taken.members if name in members}
    if len(inputs) > 1:
        raise InvalidInputError(Violation("", f"only one of {' and '.join(inputs)} can be given"))
    upload = Upload(members=members, in_json=True)
    if "latents" in inputs:
        upload.latents = _as_batch(read_numbers(inputs["latents"], "/latents"), 1)
    if "images" in inputs:
        images = inputs["images"]
        if not isinstance(images, list) or not images:
            raise InvalidInputError(Violation("/images", "a list of at least one image is wanted"))
        limits.check("images", len(images))
        upload.items = [_read_item(item, f"/images/{index}") for index, item in enumerate(images)]
    return upload


def _as_batch(array: NDArray[T], single: int | None) -> NDArray[T]:
    """Give one image or latent its batch axis, or its rows would be counted as so many."""
    return array[None] if array.ndim == single else array


def _read_item(item: object, pointer: str) -> Item:
    if isinstance(item, list):
        return read_numbers(item, pointer)
    if not isinstance(item, str):
        raise InvalidInputError(Violation(pointer, "a base64 string or nested numbers are wanted"))
    try:
        return open_base64(item)
    except (MalformedInputError, UnsupportedFormatError) as error:
        raise InvalidInputError(Violation(pointer, str(error))) from error


def _unpack_parts(body: bytes, boundary: bytes, limits: Limits) -> list[Item]:
    if not boundary:
        raise MalformedInputError("the content type of a multipart body must name its boundary")
    if not body.rstrip().endswith(b"--" + boundary + b"--"):
        raise MalformedInputError("the multipart body has no closing boundary")
    items: list[Item] = []

    def take(file: File) -> None:
        limits.check("images", len(items) + 1)
        name = (file.field_name or b"").decode("utf-8", "replace")
        if name not in _PART_NAMES:
            raise InvalidInputError(Violation(f"/{name:.40}", "file parts must be called 'images'"))
        items.append(open_picture(file.file_object.getvalue()))  # type: ignore[union-attr]

    def refuse(_: object) -> None:
        raise InvalidInputError(
            Violation("", "parts must be files; other fields are query parameters here")
        )

    in_memory = {"MAX_MEMORY_FILE_SIZE": len(body) + 1}  # a read-only file system has no place
    parser = FormParser(MULTIPART, refuse, take, boundary=boundary, config=in_memory)
    try:
        parser.write(body)
        parser.finalize()
    except RequestError:
        raise
    except (FormParserError, ValueError) as error:
        raise MalformedInputError("the multipart body is broken") from error
    if not items:
        raise InvalidInputError(Violation("/images", "a file part called 'images' is wanted"))
    return items
