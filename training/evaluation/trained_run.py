"""A trained run: its networks, samplers and measurements. Bundles and reports are made from it."""

import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata

from service.artifact import Provenance
from service.artifact.maps import LatentMap
from service.artifact.specs import SpaceName
from training.anomaly.detectors import FittedDetectors
from training.data.splits import Splits
from training.evaluation.detectors import describe_detection
from training.evaluation.metrics import Evaluation
from training.evaluation.robustness import Robustness
from training.evaluation.verdict import describe_verdict
from training.fitting.network_set import NetworkSet
from training.fitting.runs.run_folders import Run
from training.networks.residual import is_plain
from training.recipe.schema import Recipe
from training.sampling.reference_images import Quality
from training.sampling.samplers import FittedSampler

_LIBRARIES = ("latentd", "torch", "torchvision", "onnx", "onnxscript", "numpy", "scikit-learn")


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """A complete training run."""

    run: Run
    recipe: Recipe
    """The run's recipe, without the networks that its images do not allow."""
    splits: Splits
    networks: NetworkSet
    samplers: dict[str, FittedSampler]
    detectors: FittedDetectors
    evaluation: Evaluation
    maps: dict[SpaceName, LatentMap]
    robustness: Robustness
    quality: dict[str, Quality]
    """Sample quality of each source; empty without a judge."""
    imported: dict[str, object] | None = None
    """Where imported networks come from, in place of a recipe; None for trained networks."""

    def describe_verdict(self) -> list[str]:
        """Return what was reached in plain words: networks against the baseline, and defects.

        Imported networks have no baseline.
        """
        sentences = []
        if "pca_mse" in self.evaluation.metrics:
            sentences = describe_verdict(
                self.evaluation.metrics,
                self.recipe,
                len(self.splits.train),
                is_pca=is_plain(self.networks.autoencoder.decoder),
            )
        return [*sentences, *describe_detection(self.detectors)]

    def describe_provenance(self) -> Provenance:
        """Return the information needed to repeat the run."""
        recipe = self.recipe.model_dump(mode="json", exclude_none=True)
        recipe["data"]["dataset"] = self.splits.dataset  # the name: a path would be private
        return Provenance(
            created=datetime.now(UTC).replace(microsecond=0),
            command=self.run.command,
            dataset=self.splits.dataset,
            dataset_digest=self.splits.digest(),
            images=self.splits.count(),
            seed=self.recipe.seed,
            recipe=recipe if self.imported is None else self.imported,
            epochs=self.networks.epochs,
            libraries={
                "python": platform.python_version(),
                **{name: metadata.version(name) for name in _LIBRARIES},
            },
        )
