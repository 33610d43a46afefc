"""Alternating rounds, ratios within a round, and goals."""

import pytest

from benchmarks.harness.rounds import (
    Goal,
    alternate,
    compare,
    find_ratio,
    judge,
    list_columns,
)


def test_every_round_measures_all_subjects() -> None:
    """Measurements alternate, and each returns one value per round."""
    order: list[str] = []

    def measure(name: str) -> float:
        order.append(name)
        return float(len(order))

    results = alternate({"a": lambda: measure("a"), "b": lambda: measure("b")}, 2)

    assert order == ["a", "b", "a", "b"]
    assert results == {"a": [1, 3], "b": [2, 4]}


def test_ratio_is_the_median_within_rounds() -> None:
    """A ratio divides values of the same round."""
    assert find_ratio([10, 100, 30], [5, 10, 10]) == 3


@pytest.mark.parametrize(
    ("goal", "value", "cells"),
    [
        (Goal(2), 2.0, (">= 2", "yes")),
        (Goal(2), 1.999, (">= 2", "no")),
        (Goal(160, at_most=True, unit=" MB"), 160.0, ("<= 160 MB", "yes")),
        (Goal(160, at_most=True, unit=" MB"), 160.1, ("<= 160 MB", "no")),
        (None, 3.0, ("-", "-")),
    ],
)
def test_goal_is_met_or_missed(goal: Goal | None, value: float, cells: tuple[str, str]) -> None:
    """A value equal to the limit meets the goal; a value that only rounds to it does not."""
    assert judge(goal, value) == cells


def test_comparison_matches_its_columns() -> None:
    """A comparison returns one cell for each column."""
    cells = compare([200, 300], [100, 100], Goal(3))

    assert cells == (250, 100, 2.5, "2 to 3", ">= 3", "no")
    assert len(cells) == len(list_columns("ours", "theirs"))
