"""Assignment of images to splits and classes, after copies have been left out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.reading.decoding import Decoded, Indices
from training.data.sources.catalogue import Catalogue, Part
from training.data.sources.layout import Layout
from training.data.sources.names import show, sort_naturally
from training.data.splits import MIN_IMAGES, Labels, hold_out
from training.errors import DataError
from training.recipe.schema import DataRecipe

_ORDER: dict[Part | None, int] = {None: 0, "train": 0, "validation": 1, "test": 2}


@dataclass(frozen=True, slots=True)
class Copies:
    """Images with the same pixels as an earlier one."""

    is_first: NDArray[np.bool_]
    """(M,) whether a row is the first with its pixels: training images come first."""
    count: int
    conflicts: int
    """Copies in another class than the first."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """The rows of the decoded images that each split takes."""

    rows: dict[str, Indices]
    """Ascending rows of `train`, `validation`, `test` and `defects`."""
    labels: Labels | None
    """(M,) class index of each row, -1 for none; None without classes."""
    classes: tuple[str, ...] | None
    copies: Copies


def assign(
    catalogue: Catalogue, layout: Layout, decoded: Decoded, recipe: DataRecipe, seed: int
) -> Assignment:
    """Assign the decoded images to splits and classes; copies are left out.

    Raises:
        DataError: too few images are left.
    """
    copies = find_copies(decoded.digests, decoded.rows, layout)
    is_defect = np.array([layout.defects[row] is not None for row in decoded.rows], bool)
    kept = np.flatnonzero(copies.is_first & ~is_defect)
    images = decoded.rows[kept].tolist()
    check_counts([layout.labels[index] for index in images if layout.trains(index)], recipe)
    classes = _list_classes(catalogue, layout, images)
    numbers = {name: number for number, name in enumerate(classes or ())}
    labels = None
    if classes is not None:
        labels = np.array([numbers.get(layout.labels[row] or "", -1) for row in decoded.rows])
    splits = _assign_parts(
        [layout.parts[index] for index in images],
        None if labels is None else labels[kept],
        recipe,
        seed,
    )
    rows = {name: kept[positions] for name, positions in splits.items()}
    rows["defects"] = np.flatnonzero(copies.is_first & is_defect)
    return Assignment(rows, labels, classes, copies)


def _list_classes(
    catalogue: Catalogue, layout: Layout, images: Sequence[int]
) -> tuple[str, ...] | None:
    """Return the classes in the order of the library, else of their names.

    Raises:
        DataError: all training images of a class are unreadable or copies.
    """
    expected = {
        label for index, label in enumerate(layout.labels) if label and layout.trains(index)
    }
    found = {layout.labels[index] for index in images if layout.trains(index)}
    if lost := expected - found:
        raise DataError(
            f"All training images of class {show(min(lost))} are unreadable or copies of others; "
            "remove the class"
        )
    if not expected:
        return None
    ordered = catalogue.classes or ()
    if expected <= set(ordered):
        return tuple(name for name in ordered if name in expected)
    return tuple(sort_naturally(expected))


def find_copies(digests: NDArray[np.void], rows: Indices, layout: Layout) -> Copies:
    """Find rows with equal pixels; defects are compared among themselves only."""
    order = np.array(
        [3 if layout.defects[row] else _ORDER[layout.parts[row]] for row in rows], np.int64
    )
    ranked = np.lexsort((np.arange(len(rows)), order))
    _, first, inverse = np.unique(digests[ranked], return_index=True, return_inverse=True)
    firsts = ranked[first]
    is_first = np.zeros(len(rows), bool)
    is_first[firsts] = True
    origin = np.empty(len(rows), np.int64)
    origin[ranked] = firsts[inverse]
    labels = layout.labels
    conflicts = sum(
        labels[rows[index]] != labels[rows[origin[index]]] for index in np.flatnonzero(~is_first)
    )
    return Copies(is_first, int((~is_first).sum()), conflicts)


def check_counts(labels: Sequence[str | None], recipe: DataRecipe) -> None:
    """Reject training images that are too few, in all or of a class.

    Raises:
        DataError: the message says what to do.
    """
    if len(labels) < MIN_IMAGES:
        found = "one image" if len(labels) == 1 else f"{len(labels)} different images"
        raise DataError(f"Expected at least {MIN_IMAGES} images to train on, got {found}; add more")
    counts = Counter(label for label in labels if label is not None)
    small = {name: count for name, count in counts.items() if count < recipe.min_per_class}
    if not small:
        return
    name, count = min(small.items(), key=lambda item: item[1])
    has = "one image" if count == 1 else f"{count} images"
    others = f" (and {len(small) - 1} more classes have few)" if len(small) > 1 else ""
    raise DataError(
        f"the class {show(name)} has {has} to train on{others}, expected at least "
        f"{recipe.min_per_class}: merge it with another class, remove it, or accept it with "
        f"--min-per-class {count}; --no-classes trains without classes"
    )


def _assign_parts(
    parts: Sequence[Part | None], labels: Labels | None, recipe: DataRecipe, seed: int
) -> dict[str, Indices]:
    """Return the rows of each split; a missing test or validation split is held out at random.

    Args:
        parts: The given split of each row; None for training.
        labels: (M,) to stratify by, or None.
        recipe: The shares that are held out.
        seed: The recipe's seed.
    """
    given = np.array([_ORDER[part] for part in parts], np.int64)
    splits: dict[str, Indices] = {
        name: np.flatnonzero(given == order) for name, order in _ORDER.items() if name
    }
    for name, fraction in (
        ("test", recipe.test_fraction),
        ("validation", recipe.validation_fraction),
    ):
        if not len(splits[name]):
            rows = splits["train"]
            known = None if labels is None else labels[rows]
            kept, held = hold_out(len(rows), known, fraction, seed, name)
            splits["train"], splits[name] = rows[kept], rows[held]
    return splits
