"""Logistic regression on principal components: the baseline of a classifier.

N images; L components; K classes.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression

from training.baseline.components import project
from training.data.splits import LabelledImages, Labels
from training.networks.principal import Floats, Subspace
from training.randomness import make_rng

_STRENGTHS = (0.003, 0.03, 0.3)  # inverse L2 penalties; validation images select one
_MAX_IMAGES = 10_000
_MAX_BYTES = 500_000_000  # of their pixels
_MAX_STEPS = 200


@dataclass(frozen=True, slots=True)
class LinearClassifier:
    """Class logits as an affine function of principal components."""

    weights: Floats
    """(K, L)."""
    biases: Floats
    """(K,)."""

    def accuracy(self, codes: Floats, labels: Labels) -> float:
        """Return the share of codes (N, L) whose class is right, in percent."""
        predicted = (codes @ self.weights.T + self.biases).argmax(axis=1)
        return 100 * float((predicted == labels).mean())


def fit_linear(
    subspace: Subspace, training: LabelledImages, validation: LabelledImages, seed: int
) -> LinearClassifier:
    """Fit classifiers of several strengths to at most 10,000 images (500 MB); return the best.

    Classes have equal weight; the accuracy on validation images selects the strength.
    """
    if training.labels is None or validation.labels is None:
        raise ValueError("fit_linear requires labels")
    rng, count = make_rng(seed, "baseline", "linear"), len(training)
    limit = min(count, _MAX_IMAGES, _MAX_BYTES // training.pixels[0].size)
    chosen = np.sort(rng.choice(count, limit, replace=False))
    codes, labels = project(subspace, training.pixels[chosen]), training.labels[chosen]
    scales = codes.std(axis=0) + np.float32(1e-6)
    held = project(subspace, validation.pixels)
    classes = int(training.labels.max()) + 1
    held_labels = validation.labels
    candidates = [
        _fit(codes / scales, labels, strength, classes, scales) for strength in _STRENGTHS
    ]
    return max(candidates, key=lambda one: one.accuracy(held, held_labels))


def _fit(
    codes: Floats, labels: Labels, strength: float, classes: int, scales: Floats
) -> LinearClassifier:
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=_MAX_STEPS, tol=1e-3)
    model.fit(codes, labels)
    weights, biases = model.coef_, model.intercept_
    if len(weights) == 1:  # two classes: scikit-learn keeps one row
        weights, biases = np.vstack([-weights, weights]) / 2, np.r_[-biases, biases] / 2
    full = np.zeros((classes, codes.shape[1]), np.float32)
    offsets = np.full(classes, -30, np.float32)  # a class that the sample lacks
    full[model.classes_] = weights / scales
    offsets[model.classes_] = biases
    return LinearClassifier(full, offsets)
