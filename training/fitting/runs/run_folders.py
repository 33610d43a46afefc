"""Run folders, `<runs>/<name>/`: the settings and the state of one training run.

A run folder contains run.json (recipe, command, data root), one map per latent space,
robustness.json, quality.json, `samplers/` with one file per fitted source, `detectors/` with the
weights of the segmenter, and one folder per network with checkpoint.pt and history.json; the
folders of flows are in `samplers/`.
"""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from training.errors import RecipeError, RunError
from training.files import replace_json
from training.recipe.parsing import parse_recipe
from training.recipe.schema import NETWORKS, Recipe

RUN_FILE = "run.json"
SAMPLERS_FOLDER = "samplers"
DETECTORS_FOLDER = "detectors"
MAP_FILE = "{space}_map.safetensors"
ROBUSTNESS_FILE = "robustness.json"
QUALITY_FILE = "quality.json"


@dataclass(frozen=True, slots=True)
class Run:
    """A training run, finished or not."""

    folder: Path
    recipe: Recipe
    command: str
    """The command line that started it, without paths of the machine."""
    data_root: str
    digest: str | None = None
    """The data set's digest; None before the first read."""
    planned: Recipe | None = None
    """The recipe with what the data and the measured step times settled; None before that."""


def start_run(run: Run, *, fresh: bool) -> Run:
    """Create the folder of a new run, or resume the run in it.

    A resumed run may have further networks and other sample sources than before: they do not change
    the networks that are trained.

    Args:
        run: The requested run.
        fresh: Delete an earlier run in the same folder.

    Returns:
        The run, with the data set digest of the earlier run if it is resumed, and with its command
        if the recipe is the same.

    Raises:
        RunError: the folder belongs to another recipe, or is not a run folder.
    """
    if run.folder.exists() and any(run.folder.iterdir()):
        if not (run.folder / RUN_FILE).is_file():
            raise RunError(f"{run.folder} is neither empty nor a run folder; change --runs")
        if not fresh:
            return _resume_run(run)
        shutil.rmtree(run.folder)
    _write_run(run)
    return run


def read_run(folder: Path) -> Run:
    """Read a run folder.

    Raises:
        RunError: the folder is not a run folder.
    """
    try:
        members = json.loads((folder / RUN_FILE).read_text())
        return Run(
            folder,
            parse_recipe(members["recipe"]),
            members["command"],
            members["data_root"],
            members["digest"],
            parse_recipe(members["planned"]) if members.get("planned") else None,
        )
    except (OSError, ValueError, KeyError, TypeError, RecipeError) as error:
        raise RunError(f"{folder} is not a run folder: cannot read {RUN_FILE} in it") from error


def pin_digest(run: Run, digest: str) -> Run:
    """Record the data set's digest, or verify it against the recorded one.

    Raises:
        RunError: the run was started with other images.
    """
    if run.digest is None:
        pinned = replace(run, digest=digest)
        _write_run(pinned)
        return pinned
    if run.digest != digest:
        raise RunError(
            f"{run.folder} was trained on other images of {run.recipe.data.dataset}; "
            "start over with --fresh, or keep both runs with --name"
        )
    return run


def pin_plan(run: Run, planned: Recipe) -> Run:
    """Record the settled recipe, so that a resumed run and an export use the same networks."""
    pinned = replace(run, planned=planned)
    _write_run(pinned)
    return pinned


def _resume_run(run: Run) -> Run:
    earlier = read_run(run.folder)
    if earlier.recipe == run.recipe:
        return replace(run, digest=earlier.digest, command=earlier.command)
    before, after = _dump(earlier.recipe), _dump(run.recipe)
    additions = {"samplers.sources", *(name for name in NETWORKS if name not in before)}
    keys = [key for key in _list_differences(before, after) if key not in additions]
    if keys:
        raise RunError(
            f"{run.folder} was created with another recipe (different: {', '.join(keys)}); "
            "start over with --fresh, or keep both runs with --name"
        )
    added = {name: getattr(run.recipe, name) for name in NETWORKS if name not in before}
    added["samplers"] = run.recipe.samplers
    planned = None if earlier.planned is None else earlier.planned.model_copy(update=added)
    extended = replace(run, digest=earlier.digest, planned=planned)
    _write_run(extended)
    return extended


def _write_run(run: Run) -> None:
    members = {
        "recipe": _dump(run.recipe),
        "command": run.command,
        "data_root": run.data_root,
        "digest": run.digest,
        "planned": None if run.planned is None else _dump(run.planned),
    }
    replace_json(run.folder / RUN_FILE, members)


def _dump(recipe: Recipe) -> dict[str, Any]:
    return recipe.model_dump(mode="json", exclude_none=True)


def _list_differences(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Return the dotted keys in which two recipes differ, sorted."""
    keys = []
    for key in sorted(first.keys() | second.keys()):
        one, other = first.get(key), second.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            keys += [f"{key}.{inner}" for inner in _list_differences(one, other)]
        elif one != other:
            keys.append(key)
    return keys
