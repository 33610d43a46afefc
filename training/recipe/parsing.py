"""Parsing of recipes: TOML and command-line overrides to a validated `Recipe`."""

import json
import tomllib
from collections.abc import Iterable
from importlib import resources
from typing import Any, TypeAlias, TypeVar

from pydantic import ValidationError

from training.errors import RecipeError
from training.recipe.resources import list_resources, read_resource
from training.recipe.schema import Recipe, Section

Members: TypeAlias = dict[str, Any]
"""A recipe before validation: nested dicts, as TOML gives them."""

_RECIPES = resources.files("training.recipe") / "recipes"
_SectionType = TypeVar("_SectionType", bound=Section)


def read_recipe(source: str) -> Members:
    """Return the content of a packaged recipe (a bare name) or of a TOML file (a path).

    Raises:
        RecipeError: the file does not exist or contains invalid TOML.
    """
    return read_resource(_RECIPES, source, "recipe")


def list_recipes() -> list[str]:
    """Return the names of the packaged recipes, sorted."""
    return list_resources(_RECIPES)


def override(members: Members, assignments: Iterable[tuple[str, object]]) -> Members:
    """Return a copy of `members` with each dotted key set to its value.

    Raises:
        RecipeError: a dotted key passes through a value that is not a section.
    """
    changed: Members = json.loads(json.dumps(members, default=str))
    for key, value in assignments:
        *sections, last = key.split(".")
        target = changed
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise RecipeError(f"{key}: {section} is a value, not a section of the recipe")
        target[last] = value
    return changed


def parse_assignment(text: str) -> tuple[str, object]:
    """Split `section.key=value`. The value is TOML; a bare word is a string.

    Raises:
        RecipeError: the key or the equals sign is missing.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"Invalid --set {text!r}: expected SECTION.KEY=VALUE")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def parse_recipe(members: Members) -> Recipe:
    """Validate a recipe.

    Raises:
        RecipeError: one line that names the first invalid key.
    """
    return parse_section(Recipe, members, "recipe")


def parse_section(kind: type[_SectionType], members: Members, name: str) -> _SectionType:
    """Validate the content of a section or a whole file.

    Args:
        kind: The model to validate against.
        members: The content.
        name: The word for such a section in error messages.

    Raises:
        RecipeError: one line that names the first invalid key.
    """
    try:
        # Through JSON: pydantic's strict mode accepts JSON arrays as tuples, but not Python lists.
        return kind.model_validate_json(json.dumps(members, default=str))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or name
        if first["type"] == "extra_forbidden":
            raise RecipeError(f"{key}: unknown key in a {name}") from error
        received = "" if first["type"] == "missing" else f", got {first['input']!r:.80}"
        message = first["msg"].removeprefix("Value error, ")
        raise RecipeError(f"{key}: {message[:1].lower()}{message[1:]}{received}") from error
