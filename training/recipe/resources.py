"""TOML files: packaged ones, found by bare name, and the user's, found by path."""

import tomllib
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from training.errors import RecipeError


def read_resource(folder: Traversable, source: str, kind: str) -> dict[str, Any]:
    """Return the content of a packaged TOML file (a bare name) or of any TOML file (a path).

    Args:
        folder: The packaged folder.
        source: A bare name or a path.
        kind: The word for such a file in error messages, such as "recipe".

    Raises:
        RecipeError: the file does not exist or contains invalid TOML.
    """
    packaged = folder / f"{source}.toml"
    try:
        is_packaged = "/" not in source and packaged.is_file()
        text = (packaged if is_packaged else Path(source)).read_text(encoding="utf-8")
        return tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        names = ", ".join(list_resources(folder))
        raise RecipeError(
            f"Cannot read {kind} {source!r}: expected one of {names}, or a .toml file"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{kind} {source}: invalid TOML: {error}") from error


def list_resources(folder: Traversable) -> list[str]:
    """Return the bare names of a packaged folder's TOML files, sorted."""
    names = (entry.name for entry in folder.iterdir())
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))
