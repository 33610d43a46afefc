"""Data sets that a recipe can name, read into memory and split by the recipe's seed.

To add one: a function `(data root) -> (training images, test images, class names)` and an entry in
`_DATASETS`.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from service.artifact import ImageSpec
from training.data.folders import read_folder
from training.data.sources.hugging_face import HUB_PREFIX
from training.data.sources.names import get_suffix
from training.data.splits import LabelledImages, Splits, hold_out
from training.data.torchvision_operators import declare_missing_operators
from training.errors import DataError
from training.recipe.schema import Recipe

DIGIT_CLASSES = tuple("0123456789")
FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

_DIGITS_TEST_SHARE = 0.2
_DIGITS_MAX_GREY = 16


def read_data(recipe: Recipe, root: Path, scratch: Path) -> Splits:
    """Read and split the data set of a recipe.

    Args:
        recipe: Names the data set, or a folder of images, and the held-out shares.
        root: Folder of `FashionMNIST/raw/` and `MNIST/raw/`; written to only by a download.
        scratch: Folder for pixels that do not fit into memory.

    Raises:
        DataError: the images are missing, unreadable or too few.
    """
    name = recipe.data.dataset
    if name not in _DATASETS:
        return read_folder(name, recipe.data, recipe.seed, scratch)
    train, test, classes = _DATASETS[name](root)
    kept, held = hold_out(
        len(train), train.labels, recipe.data.validation_fraction, recipe.seed, "validation"
    )
    channels, height, width = train.pixels.shape[1:]
    image = ImageSpec.model_validate({"channels": channels, "height": height, "width": width})
    return Splits(name, image, classes, train.take(kept), train.take(held), test)


def list_datasets() -> list[str]:
    """Return the names of the built-in data sets, sorted."""
    return sorted(_DATASETS)


def is_path(dataset: str) -> bool:
    """Return whether a data set's name is the path of a file or folder."""
    return dataset not in _DATASETS and not dataset.startswith(HUB_PREFIX)


def name_dataset(dataset: str) -> str:
    """Return the name of a data set without its path and suffix."""
    if not is_path(dataset):
        return dataset.rpartition("/")[2].removeprefix(HUB_PREFIX)
    path = Path(dataset).resolve()
    return path.name if path.is_dir() else path.name.removesuffix(get_suffix(path.name))


def _read_fashion_mnist(root: Path) -> tuple[LabelledImages, LabelledImages, tuple[str, ...]]:
    """Xiao, Rasul and Vollgraf, Fashion-MNIST, 2017: 28 x 28, ten classes of clothing."""
    return *_read_torchvision("FashionMNIST", root), FASHION_CLASSES


def _read_mnist(root: Path) -> tuple[LabelledImages, LabelledImages, tuple[str, ...]]:
    """LeCun, Cortes and Burges, MNIST, 1998: 28 x 28 handwritten digits."""
    return *_read_torchvision("MNIST", root), DIGIT_CLASSES


def _read_torchvision(name: str, root: Path) -> tuple[LabelledImages, LabelledImages]:
    declare_missing_operators()
    from torchvision import datasets  # noqa: PLC0415 - after its operators are declared

    try:
        # `download` has no effect if the files exist, which also makes read-only folders work.
        train, test = (
            getattr(datasets, name)(str(root), train=part, download=True) for part in (True, False)
        )
    except (OSError, RuntimeError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{name} is not in {root}, and the download failed: {reason}. "
            f"Set --data-root to the folder that contains {name}/raw/"
        ) from error
    first, second = (
        LabelledImages(split.data.unsqueeze(1).numpy(), split.targets.numpy().astype(np.int64))
        for split in (train, test)
    )
    return first, second


def _read_digits(_root: Path) -> tuple[LabelledImages, LabelledImages, tuple[str, ...]]:
    """Return scikit-learn's bundled digits (Alpaydin and Kaynak, 1998), 8 x 8.

    They come without a test split. A random fifth serves as one, the same for every recipe seed.
    """
    bunch = load_digits()
    pixels = np.rint(bunch.images * (255 / _DIGITS_MAX_GREY)).astype(np.uint8)[:, None]
    digits = LabelledImages(pixels, bunch.target.astype(np.int64))
    train, test = train_test_split(
        np.arange(len(digits)),
        test_size=_DIGITS_TEST_SHARE,
        stratify=digits.labels,
        random_state=0,
    )
    return digits.take(np.sort(train)), digits.take(np.sort(test)), DIGIT_CLASSES


_DATASETS: dict[str, Callable[[Path], tuple[LabelledImages, LabelledImages, tuple[str, ...]]]] = {
    "fashion-mnist": _read_fashion_mnist,
    "mnist": _read_mnist,
    "digits": _read_digits,
}
