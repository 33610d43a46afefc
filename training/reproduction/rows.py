"""The rows to reproduce: what each source report had, what is wanted, and which recipe gives it.

They stand in rows.toml beside this file.
"""

import tomllib
from collections.abc import Iterable
from importlib import resources
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from training.errors import RecipeError
from training.recipe.schema import FITTED, Recipe, override, parse_recipe, read_recipe
from training.search.space import Search, parse_search, read_search

Side: TypeAlias = Literal["same_net", "best"]
SIDES: tuple[Side, Side] = ("same_net", "best")
"""The report's own layers and latent size, and the best net that is small enough to serve."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Trial(_Strict):
    """A recipe to train for a row, and the goal for its figure."""

    recipe: str
    """A packaged recipe."""
    name: str | None = None
    """The run's name, where the recipe is changed as below; None: the recipe's own."""
    latent_size: int | None = None
    """The autoencoder's, in place of the recipe's."""
    networks: tuple[str, ...] | None = None
    """The only sections that are fitted; None: all of the recipe's."""
    goal: float | None = None

    @property
    def run_name(self) -> str:
        """The name of the run folder."""
        return self.name or self.recipe

    def settle(self) -> Recipe:
        """Return the whole recipe.

        Raises:
            RecipeError: there is no such recipe, or a change does not fit it.
        """
        changes: list[tuple[str, object]] = [("name", self.run_name)]
        if self.latent_size is not None:
            changes.append(("autoencoder.latent_size", self.latent_size))
        members = override(read_recipe(self.recipe), changes)
        dropped = () if self.networks is None else set(FITTED) - set(self.networks)
        return parse_recipe({key: value for key, value in members.items() if key not in dropped})

    @property
    def command(self) -> str:
        """The `latentd train` command line of the same run."""
        words = ["latentd", "train", self.recipe]
        words += ["--name", self.name] if self.name else []
        size = self.latent_size
        words += ["--set", f"autoencoder.latent_size={size}"] if size is not None else []
        return " ".join(words)


class Study(_Strict):
    """A search whose plots are a row's pictures."""

    search: str
    """A packaged search."""
    trials: int
    epochs: int
    """Of each trial."""

    def settle(self) -> Search:
        """Return the search with its trials and epochs.

        Raises:
            RecipeError: there is no such search, or a value is wrong.
        """
        members = read_search(self.search)
        network = members.get("network", "autoencoder")
        changes = [("trials", self.trials), (f"recipe.{network}.epochs", self.epochs)]
        return parse_search(override(members, changes))


class Part(_Strict):
    """One figure of a report."""

    system: str
    metric: str | None = None
    """A figure of `latentd evaluate`, or `source.NAME.FIGURE` of judged samples; None: a picture
    only."""
    report: float | None = None
    """The report's figure, in the metric's unit."""
    same_net: Trial | None = None
    best: Trial | None = None

    @property
    def needs_samples(self) -> bool:
        """Whether the figure is one of judged samples."""
        return self.metric is not None and self.metric.startswith("source.")

    def trials(self) -> dict[Side, Trial]:
        """Return the trials that there are, by side."""
        both: dict[Side, Trial | None] = {"same_net": self.same_net, "best": self.best}
        return {side: trial for side, trial in both.items() if trial is not None}


class Row(Part):
    """One system of a report: its main figure, further ones, and pictures."""

    id: Annotated[str, Field(pattern=r"^[A-E][1-6][ab]?$")]
    source: Annotated[str, Field(pattern=r"^00[0-4]$")]
    """The report."""
    dataset: str
    pictures: tuple[str, ...] = ()
    """Names of pictures in the report of the `same_net` run, or of the study's plots."""
    study: Study | None = None
    part: tuple[Part, ...] = ()

    def all_trials(self) -> list[Trial]:
        """Return the trials of the row and its parts."""
        return [trial for one in (self, *self.part) for trial in one.trials().values()]


class _Rows(_Strict):
    row: tuple[Row, ...]


def read_rows() -> tuple[Row, ...]:
    """Return every row, in the order of the reports."""
    text = resources.files("training.reproduction").joinpath("rows.toml").read_text("utf-8")
    return _Rows.model_validate(tomllib.loads(text)).row


def choose_rows(rows: Iterable[Row], wanted: Iterable[str]) -> list[Row]:
    """Return the rows with the wanted ids, or all if none is named; `A2` names `A2a` and `A2b`.

    Raises:
        RecipeError: a name is no row's.
    """
    rows, names = list(rows), [name.lower() for name in wanted]
    for name in names:
        if not any(_is_called(row, name) for row in rows):
            known = ", ".join(row.id for row in rows)
            raise RecipeError(f"no row {name!r}: give any of {known}")
    return [row for row in rows if not names or any(_is_called(row, name) for name in names)]


def _is_called(row: Row, name: str) -> bool:
    return name in {row.id.lower(), row.id.lower().rstrip("ab")}
