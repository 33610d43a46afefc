"""How a run came about, as its bundle and its report tell it."""

import platform
from datetime import UTC, datetime
from importlib import metadata

from service.artifact import Provenance
from training.evaluation.trained_run import Trained

_LIBRARIES = ("latentd", "torch", "torchvision", "onnx", "onnxscript", "numpy", "scikit-learn")


def describe_provenance(trained: Trained) -> Provenance:
    """Return what it takes to make a run again, as of now."""
    recipe = trained.recipe.model_dump(mode="json", exclude_none=True)
    recipe["data"]["dataset"] = trained.splits.dataset  # a folder's path is nobody's business
    return Provenance(
        created=datetime.now(UTC).replace(microsecond=0),
        command=trained.run.command,
        dataset=trained.splits.dataset,
        dataset_digest=trained.splits.digest(),
        images=trained.splits.count(),
        seed=trained.recipe.seed,
        recipe=recipe,
        epochs=trained.networks.epochs,
        libraries={
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in _LIBRARIES},
        },
    )
