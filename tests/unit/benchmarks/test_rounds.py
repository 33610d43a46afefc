"""Rounds of measurements, the ratios within them, and their goals."""

import pytest
from performance.rounds import Goal, alternate, compare, find_ratio, list_columns


def test_all_have_their_turn_in_each_round() -> None:
    """What is compared is measured in turn, a figure a round."""
    turns: list[str] = []

    def measure(name: str) -> float:
        turns.append(name)
        return float(len(turns))

    figures = alternate({"a": lambda: measure("a"), "b": lambda: measure("b")}, 2)

    assert turns == ["a", "b", "a", "b"]
    assert figures == {"a": [1, 3], "b": [2, 4]}


def test_the_ratio_is_the_median_within_rounds() -> None:
    """Figures of different rounds are never divided by each other."""
    assert find_ratio([10, 100, 30], [5, 10, 10]) == 3


@pytest.mark.parametrize(
    ("goal", "value", "cells"),
    [
        (Goal(2), 2.0, (">= 2", "yes")),
        (Goal(2), 1.999, (">= 2", "no")),
        (Goal(160, at_most=True, unit=" MB"), 160.0, ("<= 160 MB", "yes")),
        (Goal(160, at_most=True, unit=" MB"), 160.1, ("<= 160 MB", "no")),
    ],
)
def test_a_goal_is_met_or_not(goal: Goal, value: float, cells: tuple[str, str]) -> None:
    """The limit itself is good enough, and a value that only rounds to it is not."""
    assert goal.to_cells(value) == cells


def test_a_comparison_fits_its_columns() -> None:
    """A comparison gives a cell for each column that it names."""
    cells = compare([200, 300], [100, 100], Goal(3))

    assert cells == (250, 100, 2.5, "2 to 3", ">= 3", "no")
    assert len(cells) == len(list_columns("ours", "theirs"))
