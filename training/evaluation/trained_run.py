"""What a finished run has: all that its bundle and its report are made of."""

from dataclasses import dataclass

from service.artifact.manifest import SpaceName
from service.artifact.maps import LatentMap
from training.data.splits import Splits
from training.evaluation.metrics import Measures
from training.evaluation.robustness import Robustness
from training.fitting.network_set import Networks
from training.fitting.run_folders import Run
from training.recipe.schema import Recipe
from training.sampling.judging import Quality
from training.sampling.samplers import FittedSampler


@dataclass(frozen=True, slots=True)
class Trained:
    """Everything a bundle is made of."""

    run: Run
    recipe: Recipe
    """The run's, without networks that its images do not allow."""
    splits: Splits
    networks: Networks
    samplers: dict[str, FittedSampler]
    measures: Measures
    maps: dict[SpaceName, LatentMap]
    robustness: Robustness
    quality: dict[str, Quality]
    """What the judge found of each source; empty where the recipe has no judge."""
