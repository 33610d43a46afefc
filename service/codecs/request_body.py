"""Request bodies: images, latents and parameters, in each content type that operations accept."""

from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from python_multipart.multipart import parse_options_header

from service.artifact import ImageSpec
from service.artifact.image_files import OPTIONAL_TYPES, ImageFile, open_image
from service.artifact.pixels import Invert
from service.artifact.tensor_files import Floats
from service.codecs.base64_files import open_base64
from service.codecs.image_batches import Item, read_numbers, to_batch
from service.codecs.json_objects import parse_json_object
from service.codecs.multipart import MULTIPART, read_parts
from service.codecs.npy import MEDIA_TYPE as NPY
from service.codecs.npy import read_npy
from service.codecs.responses import JSON
from service.errors import (
    InvalidInputError,
    MalformedInputError,
    UnsupportedFormatError,
    Violation,
)
from service.http.limits import Limits
from service.http.memory import DecodingMemory
from service.inference.yielding import yield_to_loop

IMAGE_FILES = ("image/png", "image/jpeg", "image/jpg")

# Seconds to decode a byte, measured on one core of a small server. Predictions only
# choose between the event loop and a thread: their order of magnitude is enough.
_JSON_SECONDS = 2e-8
_FILE_SECONDS = 2e-8  # to find its parts; they are tiny in a hostile file
_MULTIPART_SECONDS = 1e-7
_COPY_SECONDS = 1e-9
_PIXEL_SECONDS = 2e-8

_MAX_MEMBERS = 32
"""Members that are kept for validation: some of more are unknown in any case."""
JSON_WEIGHT = 8
"""Memory of parsed JSON relative to its text."""

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, slots=True)
class InputSpec:
    """The input of an operation: media types, and the JSON members that hold it."""

    media_types: tuple[str, ...]
    members: tuple[str, ...]
    single_rank: int | None = None
    """Rank of an array that is one image or latent, if the rank alone can tell."""
    min_count: int = 1
    """Minimum number of images or latents."""


IMAGES = InputSpec((JSON, MULTIPART, *IMAGE_FILES, NPY), ("images",), single_rank=2)
LATENTS = InputSpec((JSON, NPY), ("latents",), single_rank=1)
IMAGES_OR_LATENTS = InputSpec((JSON, MULTIPART, NPY), ("images", "latents"), min_count=2)
PARAMETERS_ONLY = InputSpec((JSON,), ())
"""No input; the body may be omitted."""


@dataclass(slots=True)
class RequestBody:
    """A decoded body, checked as far as possible without a model."""

    members: dict[str, object] = field(default_factory=dict)
    """JSON members other than `images` and `latents`."""
    items: list[Item] | None = None
    """Images as separate files or nested numbers."""
    array: NDArray[np.generic] | None = None
    """A whole .npy array: images or latents."""
    latents: NDArray[np.float64] | None = None
    """The JSON member `latents`."""
    count: int = 0
    """Number of images or latents."""
    decoding_cost: float = 0.0
    """Predicted seconds to decode its image files."""
    decoding: DecodingMemory | None = None
    """Memory in which its image files are decoded."""
    in_json: bool = False
    """Whether image files came inside JSON, where a broken one is 422 instead of 400."""

    @property
    def has_latents(self) -> bool:
        """Whether it holds latents rather than images, for operations that accept either."""
        is_matrix = self.array is not None and self.array.ndim == 2  # noqa: PLR2004 - N x L
        return is_matrix or self.latents is not None

    def count_bytes(self, length: int) -> int:
        """Return the memory that it takes besides a body of a length, as an upper bound."""
        arrays = [self.array, self.latents, *(self.items or ())]
        return max(length, sum(each.nbytes for each in arrays if isinstance(each, np.ndarray)))

    def reduce_files(self, spec: ImageSpec, limits: Limits) -> None:
        """Let large JPEG files be decoded with the pixels that a bundle needs, and count them.

        Raises:
            LimitExceededError: too many pixels, or an image that needs too much memory.
        """
        files = [item for item in self.items or () if isinstance(item, ImageFile)]
        for file in files:
            file.reduce(spec.height, spec.width)
        limits.check("pixels", sum(file.pixels for file in files))
        limits.decoding.check(max((file.memory for file in files), default=0))
        self.decoding = limits.decoding
        self.decoding_cost = sum(file.passes for file in files) * _PIXEL_SECONDS

    def to_images(self, spec: ImageSpec, invert: Invert) -> Floats:
        """Return the images as (N, C, H, W) float32 in [0, 1].

        Raises:
            InvalidInputError, MalformedInputError: see `service.codecs.image_batches.to_batch`.
        """
        images = self.items if self.array is None else self.array
        if images is None:
            raise InvalidInputError(Violation("/images", "Missing member 'images'."))
        return to_batch(images, spec, invert, in_json=self.in_json, decoding=self.decoding)

    def to_latents(self, latent_size: int) -> Floats:
        """Return the latents as (N, L) float32.

        Raises:
            InvalidInputError: missing, wrong shape or type, NaN, infinite or beyond float32.
        """
        numbers = self.latents if self.array is None else self.array
        if numbers is None:
            raise InvalidInputError(Violation("/latents", "Missing member 'latents'."))
        if numbers.shape[1:] != (latent_size,) or not len(numbers) or numbers.dtype.kind != "f":
            detail = (
                f"Expected floating-point latents of shape (N, {latent_size}), "
                f"got {numbers.dtype} {numbers.shape}."
            )
            raise InvalidInputError(Violation("/latents", detail))
        with np.errstate(over="ignore"):
            latents = np.ascontiguousarray(numbers, dtype=np.float32)
        if not np.isfinite(latents).all():
            raise InvalidInputError(Violation("/latents", "Expected finite float32 latents."))
        return latents


def predict_decoding(content_type: str, size: int) -> float:
    """Return the predicted seconds to decode a body of `size` bytes."""
    if content_type.startswith(JSON):
        return size * _JSON_SECONDS
    if content_type.startswith("image/"):
        return size * _FILE_SECONDS
    return size * (_MULTIPART_SECONDS if content_type.startswith(MULTIPART) else _COPY_SECONDS)


def decode_body(content_type: str, body: bytes, spec: InputSpec, limits: Limits) -> RequestBody:
    """Decode a body by its content type.

    Args:
        content_type: The header's value; empty without one.
        body: The body.
        spec: The input that the operation accepts.
        limits: The bounds on one request.

    Raises:
        UnsupportedFormatError: the content type, or the format of an image file, is unsupported.
        MalformedInputError: the body does not match its content type.
        InvalidInputError: a member has an invalid value.
        LimitExceededError: too many images.
    """
    if not body and spec is PARAMETERS_ONLY:
        return RequestBody()
    media_type = content_type
    options: dict[bytes, bytes] = {}
    if media_type not in spec.media_types:  # it may have options
        parsed, options = parse_options_header(content_type)
        media_type = parsed.decode("latin-1")
    is_optional = media_type in OPTIONAL_TYPES and IMAGE_FILES[0] in spec.media_types
    if media_type not in spec.media_types and not (is_optional and limits.image_formats):
        hint = " (setting LATENTD_IMAGE_FORMATS)" if is_optional else ""
        raise UnsupportedFormatError(
            f"Unsupported content type {media_type!r:.80}; "
            f"supported: {', '.join(spec.media_types)}{hint}."
        )
    if media_type == JSON:
        with limits.decoding.hold_json(len(body) * JSON_WEIGHT):
            decoded = _decode_json(body, spec, limits)
    elif media_type == NPY:
        decoded = RequestBody(array=_add_batch_axis(read_npy(body), spec.single_rank))
    elif media_type == MULTIPART:
        decoded = RequestBody(items=_decode_parts(body, options.get(b"boundary", b""), limits))
    else:
        decoded = RequestBody(items=[open_image(body, limits.image_formats)])
    _count(decoded, limits)
    return decoded


def _count(body: RequestBody, limits: Limits) -> None:
    """Count images.

    Raises:
        LimitExceededError: too many images.
    """
    if body.items is None:
        array = body.latents if body.array is None else body.array
        body.count = 0 if array is None else (array.shape or (0,))[0]
        limits.check("images", body.count)
        return
    body.count = len(body.items)
    if body.count > 1:
        limits.check("images", body.count)


def _decode_json(body: bytes, spec: InputSpec, limits: Limits) -> RequestBody:
    members = parse_json_object(body, limits)
    inputs = {name: members.pop(name) for name in spec.members if name in members}
    if len(inputs) > 1:
        raise InvalidInputError(Violation("", f"Expected only one of {' and '.join(inputs)}."))
    members = dict(islice(members.items(), _MAX_MEMBERS))
    decoded = RequestBody(members=members, in_json=True)
    if "latents" in inputs:
        decoded.latents = _add_batch_axis(read_numbers(inputs["latents"], "/latents"), 1)
    if "images" in inputs:
        images = inputs["images"]
        if not isinstance(images, list) or not images:
            raise InvalidInputError(
                Violation("/images", "Expected an array of at least one image.")
            )
        limits.check("images", len(images))
        decoded.items = [
            _decode_item(item, f"/images/{i}", limits.image_formats)
            for i, item in enumerate(images)
        ]
    return decoded


def _add_batch_axis(array: NDArray[T], single_rank: int | None) -> NDArray[T]:
    """Add a batch axis to one image or latent, whose rows would be counted otherwise."""
    return array[None] if array.ndim == single_rank else array


def _decode_item(item: object, pointer: str, formats: frozenset[str]) -> Item:
    yield_to_loop()
    if isinstance(item, list):
        return read_numbers(item, pointer)
    if not isinstance(item, str):
        raise InvalidInputError(Violation(pointer, "Expected a base64 string or nested numbers."))
    try:
        return open_base64(item, formats)
    except (MalformedInputError, UnsupportedFormatError) as error:
        raise InvalidInputError(Violation(pointer, str(error))) from error


def _decode_parts(body: bytes, boundary: bytes, limits: Limits) -> list[Item]:
    items: list[Item] = []

    def add(content: bytes) -> None:
        yield_to_loop()
        limits.check("images", len(items) + 1)
        items.append(open_image(content, limits.image_formats))

    read_parts(body, boundary, add)
    return items
