"""The lines that describe what was read, before anything is trained."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from training.data.reading.assignment import Assignment, Copies
from training.data.reading.decoding import Decoded
from training.data.sources.catalogue import PARTS, Catalogue
from training.data.sources.layout import Layout
from training.data.sources.names import show

_MAX_CLASSES = 20
_MAX_NAMED = 5
_MAX_IGNORED = 10


def summarise(
    catalogue: Catalogue, layout: Layout, decoded: Decoded, assignment: Assignment
) -> tuple[str, ...]:
    """Return the lines on used, skipped and ignored files, and on the classes."""
    used = {name: rows for name, rows in assignment.rows.items() if name != "defects"}
    splits = ", ".join(f"{len(used[name]):,} {name}" for name in PARTS)
    indices = np.concatenate([decoded.rows[rows] for rows in used.values()])
    lines = [
        f"used: {len(indices):,} of {len(catalogue):,} images ({splits})",
        _describe_failures(catalogue, decoded.failures),
        _describe_copies(assignment.copies),
        _describe_ignored(catalogue.ignored + layout.ignored),
        _describe_classes(layout.labels[index] for index in indices),
        *catalogue.notes,
        *layout.notes,
    ]
    return tuple(line for line in lines if line)


def _describe_failures(catalogue: Catalogue, failures: Sequence[tuple[int, str]]) -> str:
    if not failures:
        return ""
    named = ", ".join(
        f"{show(catalogue.names[index])} ({reason})" for index, reason in failures[:_MAX_NAMED]
    )
    more = f", and {len(failures) - _MAX_NAMED:,} more" if len(failures) > _MAX_NAMED else ""
    return f"skipped: {len(failures):,} unreadable: {named}{more}"


def _describe_copies(copies: Copies) -> str:
    if not copies.count:
        return ""
    conflicts = f", {copies.conflicts:,} of them in another class" if copies.conflicts else ""
    noun = "copy" if copies.count == 1 else "copies"
    return f"skipped: {copies.count:,} {noun} with the same pixels as another image{conflicts}"


def _describe_ignored(ignored: Counter[str]) -> str:
    reasons = ignored.most_common()
    listed = ", ".join(f"{reason} ({count:,})" for reason, count in reasons[:_MAX_IGNORED])
    more = sum(count for _, count in reasons[_MAX_IGNORED:])
    return f"ignored: {listed}{f', and others ({more:,})' if more else ''}" if reasons else ""


def _describe_classes(labels: Iterable[str | None]) -> str:
    counts = Counter(label for label in labels if label is not None)
    if not counts:
        return "classes: none, so no classifier is trained"
    listed = ", ".join(
        f"{show(name)} {count:,}" for name, count in counts.most_common(_MAX_CLASSES)
    )
    more = len(counts) - _MAX_CLASSES
    return f"classes: {len(counts):,} ({listed}{f', and {more:,} more' if more > 0 else ''})"
