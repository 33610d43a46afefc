"""The choice of a detector: how well each separates normal images from made-up defects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from sklearn.metrics import roc_auc_score

from service.artifact.detectors import Detector, Measurement
from service.artifact.detectors.combined import resize_maps
from training.anomaly.made_up import GLOBAL, LOCAL, Floats, Mask
from training.anomaly.runner import NetworkRunner
from training.randomness import make_rng

_IMAGES, _MIN_IMAGES = 60, 10
_MAX_BYTES = 16 * 1024 * 1024
"""Images of each kind of defect, fewer if they are large."""
_PIXELS = 100_000


@dataclass(frozen=True, slots=True)
class Comparison:
    """The standard scores of held-out normal images and of made-up defects, by detector."""

    normal: Mapping[str, Floats]
    """(N,)."""
    defects: Mapping[str, Mapping[str, Measurement]]
    """By kind of defect and detector."""
    masks: Mapping[str, Mask]
    """(M, H, W) the places of each kind of defect."""

    def separate(self, names: Sequence[str]) -> float:
        """Return the AUROC of the maximum over detectors, averaged over the kinds of defects."""
        normal = np.max([self.normal[name] for name in names], axis=0)
        found = [np.max([each[n].scores for n in names], axis=0) for each in self.defects.values()]
        return float(np.mean([measure_auroc(normal, scores) for scores in found]))

    def separate_pixels(self, names: Sequence[str]) -> float | None:
        """Return the AUROC of places with local defects; None without maps or defects."""
        scores, labels = [], []
        for kind in LOCAL:
            masks = self.masks[kind]
            found = [self.defects[kind][name].maps for name in names]
            maps = [resize_maps(each, masks.shape[1:]) for each in found if each is not None]
            if not maps:
                return None
            scores.append(np.max(maps, axis=0).ravel())
            labels.append(masks.ravel())
        return measure_pixels(np.concatenate(scores), np.concatenate(labels))

    @property
    def count(self) -> int:
        """Number of images with defects."""
        return sum(len(masks) for masks in self.masks.values())

    def choose(self) -> tuple[str, ...]:
        """Return the detectors whose maximum separates best; of equally good ones the fewest."""
        names = [*self.normal]
        sets = [chosen for size in range(1, len(names) + 1) for chosen in combinations(names, size)]
        return max(sets, key=lambda chosen: (round(self.separate(chosen), 3), -len(chosen)))


def compare(
    detectors: Mapping[str, Detector],
    normal: Mapping[str, Floats],
    images: Floats,
    runner: NetworkRunner,
    seed: int,
) -> Comparison:
    """Measure made-up defects.

    Args:
        detectors: The detectors by kind.
        normal: The standard scores (N,) of the images.
        images: (N, C, H, W) held-out normal images.
        runner: Runs the networks.
        seed: The recipe's seed.
    """
    count = max(_MIN_IMAGES, min(_IMAGES, _MAX_BYTES // images[0].nbytes))
    made = make_defects(images, seed, count)
    defects = {
        kind: {name: runner.detect(each, [name], changed) for name, each in detectors.items()}
        for kind, (changed, _) in made.items()
    }
    return Comparison(normal, defects, {kind: masks for kind, (_, masks) in made.items()})


def make_defects(images: Floats, seed: int, count: int) -> dict[str, tuple[Floats, Mask]]:
    """Return some of the images (N, C, H, W) with each kind of defect.

    Returns:
        By kind of defect `count` images and the places of the defects, (count, H, W).
    """
    found = {}
    for kind, add in {**LOCAL, **GLOBAL}.items():
        rng = make_rng(seed, "made-up defects", kind)
        pairs = rng.integers(len(images), size=(count, 2))
        made = [add(rng, images[first], images[second]) for first, second in pairs]
        found[kind] = np.stack([image for image, _ in made]), np.stack([mask for _, mask in made])
    return found


def measure_auroc(normal: Floats, anomalous: Floats) -> float:
    """Return the area under the ROC curve of scores (N,) and (M,)."""
    labels = np.repeat([0, 1], [len(normal), len(anomalous)])
    return float(roc_auc_score(labels, np.concatenate([normal, anomalous])))


def measure_pixels(scores: Floats, labels: Mask) -> float | None:
    """Return the AUROC of places (N,), at most 100,000 of them; None if all are of one kind."""
    if len(labels) > _PIXELS:
        chosen = make_rng(0, "pixels").choice(len(labels), _PIXELS, replace=False)
        scores, labels = scores[chosen], labels[chosen]
    if labels.all() or not labels.any():
        return None
    return float(roc_auc_score(labels, scores))
