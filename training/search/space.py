"""The search: which keys of which recipe are tried, read from TOML with flags over it."""

import json
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from training.errors import RecipeError
from training.recipe.resources import list_packaged, read_packaged
from training.recipe.schema import (
    Members,
    override,
    parse_recipe,
    parse_section,
    read_recipe,
)
from training.recipe.sections import Section

_SEARCHES = resources.files("training.search") / "searches"
_CHANGES_THE_LOSS = frozenset({"denoiser.noise_factors", "vae.likelihood", "vae.beta"})
_FITTED_WITH = {"classifier": ("autoencoder", "classifier")}


class Range(Section):
    """All numbers between two; whole ones if both ends are written as whole numbers."""

    low: int | float
    high: int | float
    log: bool = False
    """Whether each order of magnitude is as likely as any other."""

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.low >= self.high:
            raise ValueError("low must be under high")
        if self.log and self.low <= 0:
            raise ValueError("a logarithmic range starts above 0")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether only whole numbers are tried."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def list_ends(self) -> tuple[object, ...]:
        """Return values that the recipe must take if it takes them all."""
        return self.low, self.high


class Choices(Section):
    """A list of values of any kind that the recipe takes."""

    choices: Annotated[tuple[Any, ...], Field(min_length=2)]

    @property
    def labels(self) -> dict[str | int | float, object]:
        """Each choice under what a study knows it by; studies keep no lists, but their text."""
        return {
            choice if isinstance(choice, str | int | float) else json.dumps(choice): choice
            for choice in self.choices
        }

    def list_ends(self) -> tuple[object, ...]:
        """Return values that the recipe must take if it takes them all."""
        return self.choices


def _tell_kind(members: object) -> str:
    is_list = isinstance(members, dict) and "choices" in members
    return "choices" if is_list or isinstance(members, Choices) else "range"


Dimension: TypeAlias = Annotated[
    Annotated[Range, Tag("range")] | Annotated[Choices, Tag("choices")],
    Discriminator(_tell_kind),
]


class Search(Section):
    """A recipe, the keys of it that are searched, and how."""

    base: str | None = None
    """A packaged recipe, or a .toml file; None: all of it is in `recipe`."""
    recipe: Annotated[Members, Field(default_factory=dict)]
    """Sections of a recipe that stand over the base."""
    network: Literal["autoencoder", "denoiser", "vae", "classifier"] = "autoencoder"
    """The section whose network is fitted, and whose validation loss is made small."""
    space: Annotated[dict[str, Dimension], Field(min_length=1)]
    """The values to try, for each dotted key; a number in a key is a place in a list."""
    trials: Annotated[int, Field(ge=1, le=100_000)] = 20
    """Trials that the study shall have in the end, 1 to 100,000."""
    sampler: Literal["tpe", "random"] = "tpe"
    """`tpe`: Bergstra et al., Algorithms for Hyper-Parameter Optimization, 2011; `random`."""
    pruner: Literal["median", "hyperband", "none"] = "median"
    """What ends hopeless trials early; `hyperband`: Li et al., Hyperband, 2018."""
    folds: Annotated[int, Field(ge=1, le=20)] = 1
    """Parts of the cross-validation, 2 to 20; 1: the recipe's validation split."""

    def read(self, trial: Mapping[str, Any]) -> dict[str, object]:
        """Return the value of each key that a study's trial stands for."""
        values: dict[str, object] = dict(trial)
        for key, dimension in self.space.items():
            if key in trial and isinstance(dimension, Choices):
                values[key] = dimension.labels[trial[key]]
        return values

    def fill(self, values: Mapping[str, object]) -> Members:
        """Return the members of the recipe with `values` at their keys.

        Raises:
            RecipeError: there is no such base, or a key leads through something else.
        """
        members = read_recipe(self.base) if self.base else {}
        members = override(members, _flatten(self.recipe))
        for key, value in values.items():
            whole, _, place = key.rpartition(".")
            if place.isdigit():
                members = override(members, [(whole, _replace(members, whole, place, value))])
            else:
                members = override(members, [(key, value)])
        return members


def read_search(source: str) -> Members:
    """Return the members of a packaged search (a bare name) or of a TOML file (a path).

    Raises:
        RecipeError: there is no such search, or it is no TOML.
    """
    return read_packaged(_SEARCHES, source, "search")


def list_searches() -> list[str]:
    """Return the packaged searches' names, in order."""
    return list_packaged(_SEARCHES)


def parse_search(members: Members) -> Search:
    """Check the members of a search, and that the recipe takes what it would try.

    Raises:
        RecipeError: one line that names the first wrong key.
    """
    search = parse_section(Search, members, "search")
    recipe = parse_recipe(search.fill({}))
    if getattr(recipe, search.network) is None:
        raise RecipeError(f"{search.network}: the recipe has no such section to search over")
    for key, dimension in search.space.items():
        _check_key(key, search)
        for value in dimension.list_ends():
            parse_recipe(search.fill({key: value}))
    return search


def _check_key(key: str, search: Search) -> None:
    """Refuse keys that make losses incomparable, or that change nothing."""
    sections = _FITTED_WITH.get(search.network, (search.network,))
    if key.partition(".")[0] not in sections:
        raise RecipeError(
            f"{key}: a search over the {search.network} can try keys of {' and '.join(sections)}"
        )
    if key in _CHANGES_THE_LOSS:
        raise RecipeError(f"{key} changes the loss itself: losses could not be compared")


def _flatten(members: Members, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Return each dotted key that is no section, with its value."""
    for key, value in members.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _replace(members: Members, key: str, place: str, value: object) -> list[object]:
    """Return the list at `key` with one of its values changed."""
    found: Any = members
    try:
        for section in key.split("."):
            found = found[section]
        values = list(found)
        values[int(place)] = value
    except (KeyError, TypeError, IndexError) as error:
        raise RecipeError(f"{key}.{place}: the recipe has no such place in a list") from error
    return values
