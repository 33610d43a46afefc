"""Rounds that alternate, and the ratios within them.

A machine's speed drifts. So whatever is compared has its turn in every round, and only figures of
one round are divided by each other.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from records import Cell


@dataclass(frozen=True, slots=True)
class Goal:
    """A limit of a ratio or a figure."""

    limit: float
    at_most: bool = False
    unit: str = ""

    def __str__(self) -> str:
        """Return it as a cell."""
        sign = "<=" if self.at_most else ">="
        return f"{sign} {self.limit:g}{self.unit}"

    def is_met(self, value: float) -> bool:
        """Tell whether a value keeps it, as it is and not as it is rounded."""
        return value <= self.limit if self.at_most else value >= self.limit

    def to_cells(self, value: float) -> tuple[Cell, Cell]:
        """Return the cells of the columns `goal` and `met`."""
        return str(self), "yes" if self.is_met(value) else "no"


def alternate(measures: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Measure everything once in each round; return each one's figures, a figure a round."""
    figures: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(1, rounds + 1):
        for name, measure in measures.items():
            figures[name].append(measure())
            print(f"  round {number}: {name} {figures[name][-1]:,.4g}", flush=True)
    return figures


def find_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the ratios within each round."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def find_spread(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Return the least and the greatest of these ratios as a cell."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return f"{min(ratios):.3g} to {max(ratios):.3g}"


def compare(
    ours: Sequence[float], theirs: Sequence[float], goal: Goal, digits: int = 0
) -> tuple[Cell, ...]:
    """Return the cells of `list_columns`: both medians, the ratio, its spread, goal and met."""
    ratio = find_ratio(ours, theirs)
    medians = (_round(statistics.median(figures), digits) for figures in (ours, theirs))
    return (*medians, float(f"{ratio:.3g}"), find_spread(ours, theirs), *goal.to_cells(ratio))


def list_columns(ours: str, theirs: str) -> tuple[str, ...]:
    """Return the heads of what `compare` gives."""
    return (ours, theirs, "ratio", "ratios of the rounds", "goal", "met")


def _round(value: float, digits: int) -> float | int:
    return round(value, digits) if digits else round(value)
