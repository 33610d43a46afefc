"""A run folder, `<runs>/<name>/`: what one training was asked for, and what it has so far.

In it lie run.json (the recipe, the command, the data root), a map of each latent space,
robustness.json, quality.json, `samplers` with a file for each source that was fitted, and a
folder for each network with its checkpoint.pt and history.json.
"""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from training.errors import RecipeError, RunError
from training.fitting.checkpoints import replace_file
from training.recipe.schema import Recipe, parse_recipe

RUN_FILE = "run.json"
SAMPLERS_FOLDER = "samplers"
MAP_FILE = "{space}_map.safetensors"
ROBUSTNESS_FILE = "robustness.json"
QUALITY_FILE = "quality.json"


@dataclass(frozen=True, slots=True)
class Run:
    """A training that was started, whether or not it was finished."""

    folder: Path
    recipe: Recipe
    command: str
    """The command line that started it, without paths of the machine."""
    data_root: str
    digest: str | None = None
    """The data set's digest; None before it was first read."""


def start_run(run: Run, *, fresh: bool) -> Run:
    """Make the folder of a new run, or go on with the one that is there.

    Args:
        run: What is wanted.
        fresh: Throw away what an earlier run left in the folder.

    Returns:
        The run with the digest of an earlier start, if there was one.

    Raises:
        RunError: the folder is another recipe's, or no run folder at all.
    """
    if run.folder.exists() and any(run.folder.iterdir()):
        if not (run.folder / RUN_FILE).is_file():
            raise RunError(f"{run.folder} is not empty and no run folder: choose another --runs")
        if not fresh:
            return _continue_run(run)
        shutil.rmtree(run.folder)
    run.folder.mkdir(parents=True, exist_ok=True)
    _write_run(run)
    return run


def read_run(folder: Path) -> Run:
    """Read a run folder.

    Raises:
        RunError: it is none.
    """
    try:
        members = json.loads((folder / RUN_FILE).read_text())
        return Run(
            folder,
            parse_recipe(members["recipe"]),
            members["command"],
            members["data_root"],
            members["digest"],
        )
    except (OSError, ValueError, KeyError, TypeError, RecipeError) as error:
        raise RunError(f"{folder} is no run folder: its {RUN_FILE} cannot be read") from error


def pin_images(run: Run, digest: str) -> Run:
    """Note which images a run uses, or check that they are still the same.

    Raises:
        RunError: the run was started with other images.
    """
    if run.digest is None:
        pinned = replace(run, digest=digest)
        _write_run(pinned)
        return pinned
    if run.digest != digest:
        raise RunError(
            f"{run.folder} was trained on other images of {run.recipe.data.dataset}: "
            "--fresh starts over, --name keeps both"
        )
    return run


def _continue_run(run: Run) -> Run:
    earlier = read_run(run.folder)
    if earlier.recipe != run.recipe:
        keys = ", ".join(_list_differences(_dump(earlier.recipe), _dump(run.recipe)))
        raise RunError(
            f"{run.folder} was made with another recipe (it differs in {keys}): "
            "--fresh starts over, --name keeps both"
        )
    return replace(run, digest=earlier.digest, command=earlier.command)


def _write_run(run: Run) -> None:
    members = {
        "recipe": _dump(run.recipe),
        "command": run.command,
        "data_root": run.data_root,
        "digest": run.digest,
    }
    text = json.dumps(members, indent=2) + "\n"
    replace_file(run.folder / RUN_FILE, lambda path: path.write_text(text))


def _dump(recipe: Recipe) -> dict[str, Any]:
    return recipe.model_dump(mode="json", exclude_none=True)


def _list_differences(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Return the dotted keys in which two recipes differ, in order."""
    keys = []
    for key in sorted(first.keys() | second.keys()):
        one, other = first.get(key), second.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            keys += [f"{key}.{inner}" for inner in _list_differences(one, other)]
        elif one != other:
            keys.append(key)
    return keys
