"""Each operation once: the request that asks for it, and how its answer is read.

A call is a value, so that the client and the asynchronous client share all but the sending.
Letters in shapes: N images, C channels, H height, W width, L latent size.
"""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from service.client.answers import Encoded, Floats, Generated, Map, Prediction, Reconstructed

Images: TypeAlias = NDArray[np.generic] | Image.Image | Sequence[Image.Image]
"""An array as the service takes it - (N, C, H, W), (N, H, W) or (H, W), float in [0, 1] or uint8 in
[0, 255], of the model's size - or pictures of any mode and size."""
Space: TypeAlias = Literal["autoencoder", "vae"]
Invert: TypeAlias = Literal["false", "true", "auto"]
T = TypeVar("T")

_NPY = "application/x-npy"
_PAIR = 2


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request, and how its answer is read."""

    path: str
    read: Callable[[Any], T]
    """Reads the answer's JSON, or its array where `accept` asks for one."""
    query: Mapping[str, object] = field(default_factory=dict)
    content: bytes | None = None
    """The body; None for a GET."""
    content_type: str = "application/json"
    accept: str = "application/json"


def describe(name: str) -> Call[dict[str, Any]]:
    """Describe a bundle, `name` or `name@version`: shapes, classes, sources, quality."""
    return Call(f"v1/models/{name}", dict)


def list_models() -> Call[list[dict[str, Any]]]:
    """Describe the highest version of each bundle that is served."""
    return Call("v1/models", lambda answer: list(answer["models"]))


def fetch_map(name: str, space: Space = "autoencoder") -> Call[Map]:
    """Fetch the map of a bundle's latent space."""

    def read(answer: dict[str, Any]) -> Map:
        labels = answer["labels"]
        return Map(
            latents=_floats(answer["latents"]),
            labels=None if labels is None else np.array(labels, np.int64),
            projections={name: _floats(places) for name, places in answer["projections"].items()},
        )

    return Call(f"v1/models/{name}/maps/{space}", read)


def encode(
    images: Images, *, space: Space = "autoencoder", invert: Invert = "false"
) -> Call[Encoded]:
    """Turn images into latents."""

    def read(answer: dict[str, Any]) -> Encoded:
        log_variances = answer.get("log_variances")
        return Encoded(
            _floats(answer["latents"]), None if log_variances is None else _floats(log_variances)
        )

    return _with_images("encode", images, read, space=space, invert=invert)


def decode(latents: ArrayLike, *, space: Space = "autoencoder") -> Call[Floats]:
    """Turn latents, (N, L) or (L,), into images (N, C, H, W) in [0, 1]."""
    content = _write_npy(np.atleast_2d(np.asarray(latents, np.float32)))
    return Call("v1/decode", _floats, {"space": space}, content, _NPY, accept=_NPY)


def reconstruct(
    images: Images, *, space: Space = "autoencoder", invert: Invert = "false"
) -> Call[Reconstructed]:
    """Encode and decode images, and tell how unusual each is to the model."""

    def read(answer: dict[str, Any]) -> Reconstructed:
        names = ("images", "mse", "anomaly_percentile")
        return Reconstructed(*(_floats(answer[name]) for name in names))

    query = {"space": space, "invert": invert, "encoding": "array"}
    return _with_images("reconstruct", images, read, **query)


def denoise(images: Images, *, invert: Invert = "false") -> Call[Floats]:
    """Remove noise from images; return them as (N, C, H, W) in [0, 1]."""
    return _with_images("denoise", images, _floats, accept=_NPY, invert=invert)


def classify(images: Images, *, top_k: int = 1, invert: Invert = "false") -> Call[list[Prediction]]:
    """Tell each image's class."""

    def read(answer: dict[str, Any]) -> list[Prediction]:
        return [
            Prediction(
                label=found["label"],
                index=found["index"],
                probability=found["probability"],
                top={each["label"]: each["probability"] for each in found["top"]},
            )
            for found in answer["predictions"]
        ]

    return _with_images("classify", images, read, top_k=top_k, invert=invert)


def sample(
    count: int = 1,
    *,
    source: str | None = None,
    class_: str | int | None = None,
    seed: int | None = None,
    temperature: float = 1.0,
) -> Call[Generated]:
    """Generate images; without a seed the service picks one and tells it."""
    query = {
        "count": count,
        "source": source,
        "class": class_,
        "seed": seed,
        "temperature": temperature,
        "encoding": "array",
    }
    return Call("v1/sample", _read_generated, query, b"{}")


def interpolate(
    ends: Images | ArrayLike, *, steps: int = 8, space: Space = "autoencoder"
) -> Call[Generated]:
    """Decode the line between two images, or between two latents given as an array (2, L)."""
    query: dict[str, object] = {"steps": steps, "space": space, "encoding": "array"}
    if isinstance(ends, Image.Image) or _are_pictures(ends):
        return _with_images("interpolate", ends, _read_generated, **query)  # type: ignore[arg-type]
    array = np.asarray(ends)
    content = _write_npy(array.astype(np.float32) if array.ndim == _PAIR else array)
    return Call("v1/interpolate", _read_generated, query, content, _NPY)


def _with_images(
    operation: str,
    images: Images,
    read: Callable[[Any], T],
    accept: str = "application/json",
    **query: object,
) -> Call[T]:
    path = f"v1/{operation}"
    if isinstance(images, np.ndarray):
        return Call(path, read, query, _write_npy(images), _NPY, accept)
    pictures = [images] if isinstance(images, Image.Image) else images
    listed = ",".join(f'"{_write_png(picture)}"' for picture in pictures)
    content = f'{{"images": [{listed}]}}'.encode()
    return Call(path, read, query, content, accept=accept)


def _are_pictures(value: object) -> bool:
    return isinstance(value, Sequence) and all(isinstance(each, Image.Image) for each in value)


def _read_generated(answer: dict[str, Any]) -> Generated:
    return Generated(_floats(answer["images"]), _floats(answer["latents"]), answer.get("seed"))


def _floats(numbers: ArrayLike) -> Floats:
    return np.asarray(numbers, np.float32)


def _write_npy(array: NDArray[np.generic]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def _write_png(picture: Image.Image) -> str:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()
