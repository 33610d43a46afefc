"""Splits and classes from the folders that images are in.

<class>/*                    the first level of folders are the classes, at any depth below
train/<class>/*, test/...    split folders in any case: train, val, valid, validation, test
<class>/train/*, ...         the same below the classes
train/good/*, test/<defect>  MVTec: one class to learn, and defects to detect
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from training.data.sources.catalogue import Part
from training.data.sources.names import (
    clean,
    find_part,
    show_list,
    sort_naturally,
    strip_archive_suffix,
)

_IMAGE_FOLDERS = frozenset({"images", "image", "imgs", "img", "jpegimages"})
_MAX_SPLIT_DEPTH = 3
_MAX_SINGLE = 2
"""If most folders have no more images than this, they are not classes."""

Folders: TypeAlias = tuple[str, ...]
"""The folders of an image, from the outermost."""


@dataclass(slots=True)
class Layout:
    """The split and the class of each image."""

    parts: list[Part | None]
    """None: the image's split is chosen at random."""
    labels: list[str | None]
    is_used: list[bool]
    defects: list[str | None]
    """The kind of a defect; such an image is in no split."""
    ignored: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def trains(self, index: int) -> bool:
        """Return whether an image may be a training image."""
        return self.is_used[index] and self.parts[index] in {None, "train"}

    def is_read(self, index: int) -> bool:
        """Return whether an image is used, or kept as a defect."""
        return self.is_used[index] or self.defects[index] is not None


def find_layout(names: Sequence[str], *, use_classes: bool = True) -> Layout:
    """Return the split and the class of each image, by its path."""
    paths = [_get_folders(name) for name in names]
    count = len(names)
    layout = Layout([None] * count, [None] * count, [True] * count, [None] * count)
    paths = _drop_other_folders(_drop_common(paths), layout)
    paths = _take_parts(paths, layout)
    paths = _drop_common(paths, layout.is_used)
    paths = _drop_common(_drop_other_folders(paths, layout), layout.is_used)
    paths = _take_defects(paths, layout)
    if use_classes:
        _take_classes(paths, layout)
    return layout


def _get_folders(name: str) -> Folders:
    return tuple(strip_archive_suffix(part) for part in name.split("/")[:-1])


def _drop_common(paths: list[Folders], is_used: Iterable[bool] | None = None) -> list[Folders]:
    """Drop the folders that all paths start with."""
    used = paths if is_used is None else [p for p, used in zip(paths, is_used, strict=True) if used]
    distinct = set(used)
    depth = 0
    shortest = min((len(path) for path in distinct), default=0)
    while depth < shortest and len({path[depth] for path in distinct}) == 1:
        depth += 1
    return [path[depth:] for path in paths] if depth else paths


def _drop_other_folders(paths: list[Folders], layout: Layout) -> list[Folders]:
    """Ignore folders beside one called `images`, such as masks."""
    firsts = {path[0] for path, used in zip(paths, layout.is_used, strict=True) if path and used}
    kept = {name for name in firsts if name.lower() in _IMAGE_FOLDERS}
    if len(kept) != 1 or any(find_part(name) for name in firsts):
        return paths
    _ignore(
        layout,
        (index for index, path in enumerate(paths) if not path or path[0] not in kept),
        f"beside the folder {show_list(kept)}",
    )
    return _drop_common(paths, layout.is_used)


def _ignore(layout: Layout, indices: Iterable[int], reason: str) -> None:
    for index in indices:
        if layout.is_used[index]:
            layout.is_used[index] = False
            layout.ignored[f"images {reason}"] += 1


def _take_parts(paths: list[Folders], layout: Layout) -> list[Folders]:
    """Find the level of the split folders, and remove it from the paths."""
    level = _find_split_level(paths)
    if level is None:
        return paths
    rest = list(paths)
    for index, path in enumerate(paths):
        part = find_part(path[level]) if len(path) > level else None
        if part is None:
            continue
        layout.parts[index] = part
        below = path[level + 1 :]
        # Archives often repeat the folder: seg_train/seg_train/<class>.
        rest[index] = path[:level] + (below[1:] if below[:1] == path[level : level + 1] else below)
    _ignore(
        layout,
        (index for index, part in enumerate(layout.parts) if part is None),
        "outside the split folders",
    )
    return rest


def _find_split_level(paths: Iterable[Folders]) -> int | None:
    distinct = set(paths)
    for level in range(_MAX_SPLIT_DEPTH):
        parts = {find_part(path[level]) for path in distinct if len(path) > level}
        if "train" in parts and parts & {"test", "validation"}:
            return level
    return None


def _take_defects(paths: list[Folders], layout: Layout) -> list[Folders]:
    """Mark test images of MVTec's layout that are not of the only training class."""
    by_part: dict[Part | None, set[str]] = {"train": set(), "test": set()}
    for path, part, used in zip(paths, layout.parts, layout.is_used, strict=True):
        if used:
            by_part.setdefault(part, set()).add(path[-1] if path else "")
    normal = by_part["train"]
    kinds = by_part["test"] - normal
    if len(normal) != 1 or "" in normal or "" in kinds or not kinds:
        return paths
    for index, path in enumerate(paths):
        if layout.is_used[index] and path and path[-1] not in normal:
            layout.is_used[index] = False
            if layout.parts[index] == "test":
                layout.defects[index] = clean(path[-1])
    layout.notes.append(
        f"the only training class is {show_list(normal)}: test images of other folders are kept "
        f"as defects ({show_list(sort_naturally(kinds))})"
    )
    return [path[:-1] for path in paths]


def _take_classes(paths: Sequence[Folders], layout: Layout) -> None:
    firsts = [clean(path[0]) if path else None for path in paths]
    train = [index for index in range(len(paths)) if layout.trains(index)]
    counts = Counter(firsts[index] for index in train)
    outside = counts.pop(None, 0)
    few = sum(count <= _MAX_SINGLE for count in counts.values())
    if len(counts) < 2:  # noqa: PLR2004 - a classifier needs two
        return
    if 2 * few > len(counts):
        layout.notes.append(
            f"no classes: most of the {len(counts):,} folders have at most {_MAX_SINGLE} images"
        )
    elif outside > sum(counts.values()):
        layout.notes.append("no classes: most images are in no sub-folder")
    else:
        set_labels(layout, firsts)
        if any(len(path) > 1 for path in paths):
            layout.notes.append(
                "the first level of folders are the classes; the folders below are joined"
            )


def set_labels(layout: Layout, labels: Sequence[str | None]) -> None:
    """Take the class of each image, and ignore images that have none.

    Fewer than two classes are ignored: a classifier needs two.
    """
    known = {labels[index] for index in range(len(labels)) if layout.trains(index)} - {None}
    if len(known) < 2:  # noqa: PLR2004
        return
    layout.labels = list(labels)
    _ignore(
        layout,
        (index for index, label in enumerate(labels) if label is None),
        "without a class",
    )
    unknown = {
        label
        for label, used in zip(labels, layout.is_used, strict=True)
        if used and label is not None and label not in known
    }
    if unknown:
        _ignore(
            layout,
            (index for index, label in enumerate(labels) if label in unknown),
            f"of classes without training images ({show_list(sort_naturally(unknown))})",
        )
