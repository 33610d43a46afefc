"""Own images as a data set: a folder, an archive, a table, arrays or a Hugging Face data set.

`service.artifact` opens and converts images, so that a network receives the same pixels in
training and in the service.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from training.data.reading.assignment import Assignment, assign, check_counts
from training.data.reading.choices import Choice, choose_image
from training.data.reading.decoding import Decoded, decode
from training.data.reading.pixel_stores import PixelStore
from training.data.reading.summary import summarise
from training.data.reading.survey import survey
from training.data.sources.catalogue import Catalogue
from training.data.sources.layout import Layout, find_layout, set_labels
from training.data.sources.names import clean, show
from training.data.sources.opening import open_source
from training.data.splits import Defects, LabelledImages, Pixels, Splits
from training.errors import DataError
from training.files import explain_full_disk
from training.recipe.schema import DataRecipe

_MAX_UNREADABLE = 0.5


def read_folder(source: str | Path, recipe: DataRecipe, seed: int, scratch: Path) -> Splits:
    """Read, decode and split a data set of images.

    Args:
        source: The data set, as `open_source` accepts it.
        recipe: Image size and channels (None: inferred from the images) and held-out shares.
        seed: The recipe's seed.
        scratch: Folder for pixels that would fill much of the memory, and for unpacked files.

    Raises:
        DataError: the source or its images cannot be used.
    """
    catalogue = open_source(str(source), scratch)
    layout = _arrange(catalogue, use_classes=recipe.classes)
    indices = [index for index in range(len(catalogue)) if layout.is_read(index)]
    check_counts([layout.labels[index] for index in indices if layout.trains(index)], recipe)
    choice = _choose(catalogue, indices, recipe, seed)
    with (
        explain_full_disk(scratch),
        closing(PixelStore(choice.image.shape, len(indices), scratch)) as store,
    ):
        decoded = decode(catalogue, indices, choice.image, store)
        _check_failures(catalogue, decoded)
        assignment = assign(catalogue, layout, decoded, recipe, seed)
        pixels = store.split(assignment.rows)
    notes = (*summarise(catalogue, layout, decoded, assignment), *choice.notes)
    return Splits(
        clean(catalogue.name),
        choice.image,
        assignment.classes,
        **_label(pixels, assignment),
        notes=notes,
        defects=_list_defects(layout, decoded, assignment, pixels["defects"]),
    )


def _choose(catalogue: Catalogue, indices: Sequence[int], recipe: DataRecipe, seed: int) -> Choice:
    looks = survey(catalogue, indices, seed)
    if not looks:
        raise DataError(
            f"All {len(indices):,} images are unreadable, such as {show(catalogue.names[0])}"
        )
    return choose_image(recipe, looks, catalogue)


def _label(pixels: Mapping[str, Pixels], assignment: Assignment) -> dict[str, LabelledImages]:
    """Return the images of each split with their labels."""
    labels = assignment.labels
    return {
        name: LabelledImages(pixels[name], None if labels is None else labels[rows])
        for name, rows in assignment.rows.items()
        if name != "defects"
    }


def _arrange(catalogue: Catalogue, *, use_classes: bool) -> Layout:
    """Return the splits and classes that folders, a table or a library give."""
    has_labels = catalogue.labels is not None
    layout = find_layout(catalogue.names, use_classes=use_classes and not has_labels)
    if catalogue.parts is not None:
        pairs = zip(catalogue.parts, layout.parts, strict=True)
        layout.parts = [own or given for own, given in pairs]
    if use_classes and catalogue.labels is not None:
        set_labels(layout, [None if label is None else clean(label) for label in catalogue.labels])
    return layout


def _check_failures(catalogue: Catalogue, decoded: Decoded) -> None:
    failed, total = len(decoded.failures), len(decoded.failures) + len(decoded.rows)
    if failed > _MAX_UNREADABLE * total:
        index, reason = decoded.failures[0]
        raise DataError(
            f"Only {total - failed:,} of {total:,} images are readable; the first that is not is "
            f"{show(catalogue.names[index])} ({reason})"
        )


def _list_defects(
    layout: Layout, decoded: Decoded, assignment: Assignment, pixels: Pixels
) -> Defects | None:
    rows: Sequence[int] = decoded.rows[assignment.rows["defects"]].tolist()
    kinds = tuple(layout.defects[index] or "" for index in rows)
    return Defects(pixels, kinds) if kinds else None
