"""TOML files that come with the package, found by bare name, beside those of the user."""

import tomllib
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from training.errors import RecipeError


def read_packaged(folder: Traversable, source: str, kind: str) -> dict[str, Any]:
    """Return the members of a packaged file (a bare name) or of a TOML file (a path).

    Args:
        folder: The packaged folder whose TOML files have bare names.
        source: A bare name or a path.
        kind: What such a file is called, for the person who asked for it.

    Raises:
        RecipeError: there is no such file, or it is no TOML.
    """
    packaged = folder / f"{source}.toml"
    try:
        is_packaged = "/" not in source and packaged.is_file()
        text = (packaged if is_packaged else Path(source)).read_text(encoding="utf-8")
        return tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        names = ", ".join(list_packaged(folder))
        raise RecipeError(f"no {kind} {source!r}: give one of {names}, or a .toml file") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{kind} {source}: {error}") from error


def list_packaged(folder: Traversable) -> list[str]:
    """Return the bare names of a folder's TOML files, in order."""
    names = (entry.name for entry in folder.iterdir())
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))
