"""Images for an import: a folder, a .npy or .npz array, or a built-in data set."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from service.artifact import ImageSpec
from training.data.datasets import list_datasets, read_data
from training.data.splits import LabelledImages, Labels, Pixels, Splits, hold_out
from training.errors import DataError
from training.importing.forms.formats import Array, Floats
from training.randomness import make_rng
from training.recipe.schema import DataRecipe, Recipe

MIN_IMAGES = 50
"""Fewer leave too few held-out images to measure anything."""

_IMAGE_KEYS = ("images", "x", "x_train", "data", "arr_0")
_LABEL_KEYS = ("labels", "y", "y_train", "arr_1")
_CHANNELS = frozenset({1, 3})
_FLAT, _GREY, _COLOR = 2, 3, 4


class WantedShape(NamedTuple):
    """The images that a network takes; None for a dimension that the images decide."""

    channels: int | None = None
    height: int | None = None
    width: int | None = None

    def __str__(self) -> str:
        """Return such as `3x64x64`."""
        return "x".join("any" if size is None else str(size) for size in self)


@dataclass(frozen=True, slots=True)
class ImageSource:
    """The images of an import."""

    data: str
    """A folder, a .npy or .npz file, or the name of a built-in data set."""
    root: Path
    """Folder of the built-in data sets."""
    recipe: Recipe
    """Seed, held-out shares and the conversion of a folder's files into pixels."""
    scratch: Path
    """Folder for pixels that do not fit into memory."""

    def read(self, wanted: WantedShape) -> Splits:
        """Read and split the images.

        Raises:
            DataError: they are missing, unreadable, too few or of another shape.
        """
        if self.data.endswith((".npy", ".npz")):
            splits = self._read_array(Path(self.data), wanted)
        else:
            known = {key: size for key, size in wanted._asdict().items() if size is not None}
            data = self.recipe.data.model_copy(update={"dataset": self.data, **known})
            splits = self._read_dataset(data, wanted)
        count = sum(splits.count().values())
        if count < MIN_IMAGES:
            raise DataError(
                f"Expected at least {MIN_IMAGES} images, to fit sample sources and to measure "
                f"errors on held-out ones, got {count}; add images to {Path(self.data).name}"
            )
        return splits

    def _read_dataset(self, data: DataRecipe, wanted: WantedShape) -> Splits:
        recipe = self.recipe.model_copy(update={"data": data})
        splits = read_data(recipe, self.root, self.scratch)
        _check_shape(splits.image.shape, wanted, self.data)
        return splits

    def _read_array(self, path: Path, wanted: WantedShape) -> Splits:
        array, labels = _load(path)
        pixels = _to_pixels(_to_nchw(array, wanted, path.name), path.name)
        _check_shape(pixels.shape[1:], wanted, path.name)
        images = LabelledImages(pixels, labels)
        data, seed = self.recipe.data, self.recipe.seed
        if len(images) < MIN_IMAGES:
            return Splits(
                path.stem, _describe(pixels), None, images, images.take(_NONE), images.take(_NONE)
            )
        rest, test = _split(images, data.test_fraction, seed, "test")
        train, validation = _split(rest, data.validation_fraction, seed, "validation")
        classes = None if labels is None else tuple(str(i) for i in range(int(labels.max()) + 1))
        return Splits(path.stem, _describe(pixels), classes, train, validation, test)


_NONE = np.zeros(0, np.int64)


def limit_images(images: LabelledImages, count: int, seed: int, purpose: str) -> LabelledImages:
    """Return at most `count` random images, with all classes in their shares."""
    if len(images) <= count:
        return images
    order = make_rng(seed, "import", purpose).permutation(len(images))
    if images.labels is None:
        return images.take(np.sort(order[:count]))
    rank = np.empty(len(images))
    for label in np.unique(images.labels):
        members = order[images.labels[order] == label]
        rank[members] = np.arange(0.5, len(members)) / len(members)
    return images.take(np.sort(np.argsort(rank, kind="stable")[:count]))


def _load(path: Path) -> tuple[Array, Labels | None]:
    """Return the images and the labels, if any, of an array file."""
    try:
        content = np.load(path, allow_pickle=False)
        arrays = {"images": content} if isinstance(content, np.ndarray) else dict(content)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as an array: {error}") from error
    names = ", ".join(arrays)
    image_key = next((key for key in _IMAGE_KEYS if key in arrays), None)
    if image_key is None:
        raise DataError(f"{path}: expected an array {' or '.join(_IMAGE_KEYS)}, got {names}")
    label_key = next((key for key in _LABEL_KEYS if key in arrays and key != image_key), None)
    images = arrays[image_key]
    if label_key is None:
        return images, None
    labels = arrays[label_key].reshape(-1)
    if len(labels) != len(images) or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise DataError(
            f"{path}: expected labels of 0 or more, one for each of {len(images)} images, got "
            f"{len(labels)} of dtype {labels.dtype}"
        )
    return images, labels.astype(np.int64)


def _to_nchw(array: Array, wanted: WantedShape, name: str) -> Array:
    """Return images (N, H, W), (N, H, W, C), (N, C, H, W) or flat ones as (N, C, H, W)."""
    sizes = [size for size in wanted if size is not None]
    if array.ndim == _FLAT and len(sizes) == len(wanted) and array.shape[1] == math.prod(sizes):
        return array.reshape(-1, *sizes)
    if array.ndim == _GREY:
        return array[:, None]
    if array.ndim == _COLOR and array.shape[1] in _CHANNELS and array.shape[3] not in _CHANNELS:
        return array
    if array.ndim == _COLOR and array.shape[3] in _CHANNELS:
        return array.transpose(0, 3, 1, 2)
    raise DataError(
        f"{name}: expected images of shape (N, H, W), (N, H, W, 1 or 3) or (N, 1 or 3, H, W), got "
        f"{array.shape}"
    )


def _to_pixels(images: Array, name: str) -> Pixels:
    """Return images of uint8, of floats in [0, 1], or of numbers from 0 to 255, as uint8."""
    if images.dtype == np.uint8:
        return np.ascontiguousarray(images)
    if images.dtype.kind not in "fiu" or not images.size:
        raise DataError(
            f"{name}: expected numbers, got dtype {images.dtype} and shape {images.shape}"
        )
    if not np.isfinite(images).all():
        raise DataError(f"{name}: the images have NaN or infinity")
    low, high = float(images.min()), float(images.max())
    is_unit = images.dtype.kind == "f" and high <= 1
    if low < 0 or high > 255:  # noqa: PLR2004 - the message explains it
        raise DataError(
            f"{name}: expected pixels from 0 to 1 or from 0 to 255, got {low:g} to {high:g}; save "
            "the images before normalisation"
        )
    scaled: Floats = images.astype(np.float32) * (255 if is_unit else 1)
    return np.ascontiguousarray(np.rint(scaled).astype(np.uint8))


def _check_shape(shape: tuple[int, ...], wanted: WantedShape, name: str) -> None:
    if all(size in {None, actual} for size, actual in zip(wanted, shape, strict=True)):
        return
    actual = "x".join(str(size) for size in shape)
    raise DataError(
        f"{name} has images of {actual} (channels x height x width), and the network takes "
        f"{wanted}; resize the images, or give a folder of image files, which are resized"
    )


def _split(
    images: LabelledImages, fraction: float, seed: int, purpose: str
) -> tuple[LabelledImages, LabelledImages]:
    kept, held = hold_out(len(images), images.labels, fraction, seed, purpose)
    return images.take(kept), images.take(held)


def _describe(pixels: Pixels) -> ImageSpec:
    channels, height, width = pixels.shape[1:]
    members = {"channels": channels, "height": height, "width": width}
    return ImageSpec.model_validate({**members, "background": (0.0,) * channels})


__all__ = ["ImageSource", "WantedShape", "limit_images", "list_datasets"]
