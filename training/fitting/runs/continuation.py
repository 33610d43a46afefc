"""Continue from an earlier run (`--from NAME`): its layers and weights, for more images."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from training.errors import RunError
from training.files import replace_file
from training.fitting.runs.checkpoints import is_finished, read_weights
from training.fitting.runs.run_folders import Run, read_run, start_run
from training.recipe.schema import Recipe

START_FILE = "start.pt"
_NETWORKS = ("autoencoder", "denoiser", "vae", "classifier")
_CPU = torch.device("cpu")


def continue_run(run: Run, origin: Path) -> Run:
    """Create the folder of a run whose networks start from those of a finished run.

    If both have the same folder, the finished run is kept as `<folder>.1`, `.2` and so on. An
    interrupted continuation resumes.

    Args:
        run: The requested run; the origin gives its layers, latent sizes and image size.
        origin: Folder of the finished run.

    Raises:
        RunError: the origin is not a finished run, or the run's folder belongs to another recipe.
    """
    earlier = read_run(origin)
    recipe = earlier.recipe if earlier.planned is None else earlier.planned
    names = [name for name in _NETWORKS if getattr(recipe, name) is not None]
    unfinished = [name for name in names if not is_finished(origin / name)]
    if origin.resolve() == run.folder.resolve():
        if unfinished:
            return replace(earlier, data_root=run.data_root)
        origin = _archive(origin)
    elif unfinished:
        raise RunError(f"{origin} is unfinished; complete it with `{earlier.command}`")
    started = start_run(replace(run, recipe=inherit(run.recipe, recipe)), fresh=False)
    for name in names:
        _copy_weights(origin / name, run.folder / name)
    return started


def inherit(recipe: Recipe, earlier: Recipe) -> Recipe:
    """Return a recipe with the networks and the image size of an earlier one."""
    changes = {name: getattr(earlier, name) for name in _NETWORKS if getattr(recipe, name)}
    sizes = {name: getattr(earlier.data, name) for name in ("channels", "height", "width")}
    data = recipe.data.model_copy(update=sizes)
    return recipe.model_copy(update={**changes, "data": data})


def load_start(network: nn.Module, folder: Path) -> bool:
    """Load the weights that `continue_run` stored for a network; return whether they fit.

    A classifier of other classes does not fit, and starts anew.
    """
    path = folder / START_FILE
    if not path.exists():
        return False
    try:
        network.load_state_dict(torch.load(path, map_location=_CPU, weights_only=True))
    except RuntimeError:
        return False
    return True


def _archive(folder: Path) -> Path:
    """Rename a run folder, and return its new path."""
    number = 1
    while (target := folder.with_name(f"{folder.name}.{number}")).exists():
        number += 1
    return folder.rename(target)


def _copy_weights(source: Path, target: Path) -> None:
    weights = read_weights(source)
    if weights is not None and not (target / START_FILE).exists():
        replace_file(target / START_FILE, lambda path: torch.save(weights, path))
