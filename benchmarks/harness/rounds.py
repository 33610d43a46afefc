"""Alternating rounds, and ratios within a round.

The speed of a machine drifts. Therefore each round measures all subjects, and a ratio divides two
metrics of the same round.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.harness.records import Cell


@dataclass(frozen=True, slots=True)
class Goal:
    """A limit for a ratio or another metric."""

    limit: float
    at_most: bool = False
    unit: str = ""

    def __str__(self) -> str:
        """Return the goal as a cell."""
        sign = "<=" if self.at_most else ">="
        return f"{sign} {self.limit:g}{self.unit}"

    def is_met(self, value: float) -> bool:
        """Return whether a value, before rounding, meets the goal."""
        return value <= self.limit if self.at_most else value >= self.limit


def judge(goal: Goal | None, value: float) -> tuple[Cell, Cell]:
    """Return the cells of the columns `goal` and `met`; dashes without a goal."""
    return ("-", "-") if goal is None else (str(goal), "yes" if goal.is_met(value) else "no")


def alternate(measures: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Run every measurement once per round; return one value per round for each name."""
    results: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(1, rounds + 1):
        for name, measure in measures.items():
            results[name].append(measure())
            print(f"  round {number}: {name} {results[name][-1]:,.4g}", flush=True)
    return results


def find_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the ratios within each round."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def find_spread(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Return the smallest and the largest of these ratios as a cell."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return f"{min(ratios):.3g} to {max(ratios):.3g}"


def compare(ours: Sequence[float], theirs: Sequence[float], goal: Goal | None) -> tuple[Cell, ...]:
    """Return the cells of `list_columns`: two medians, the ratio, its spread, goal and met."""
    ratio = find_ratio(ours, theirs)
    medians = (round(statistics.median(values)) for values in (ours, theirs))
    return (*medians, float(f"{ratio:.3g}"), find_spread(ours, theirs), *judge(goal, ratio))


def list_columns(ours: str, theirs: str) -> tuple[str, ...]:
    """Return the column names of `compare`."""
    return (ours, theirs, "ratio", "ratios per round", "goal", "met")
