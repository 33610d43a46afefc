"""Detectors on the test images: false alarms, and real defects if the images have them."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from service.artifact import DetectorSpec, Metric
from service.artifact.detectors.calibration import DEFAULT_RATE
from training.anomaly.detectors import FittedDetectors
from training.data.splits import Splits


def measure_detectors(fitted: FittedDetectors, splits: Splits) -> FittedDetectors:
    """Add the quality on the test images to the detectors; it chooses nothing.

    - `test_false_alarms`: percent of normal test images over the threshold of 1 %.
    - `test_auroc`, `test_average_precision`, `test_f1`: against `splits.defects`, at the threshold
      for F1.
    """
    specs = {name: _measure(name, fitted, splits) for name in fitted.specs}
    return replace(fitted, specs=specs)


def _measure(name: str, fitted: FittedDetectors, splits: Splits) -> DetectorSpec:
    threshold = fitted.detectors[name].calibration.find_threshold(DEFAULT_RATE)
    scores = fitted.score(name, splits.test.pixels)
    values: dict[str, tuple[float, str]] = {
        "test_false_alarms": (100 * float((scores > threshold).mean()), "percent")
    }
    count = len(scores)
    if splits.defects is not None:
        anomalous = fitted.score(name, splits.defects.pixels)
        labels = np.repeat([0, 1], [len(scores), len(anomalous)])
        scores = np.concatenate([scores, anomalous])
        values |= {
            "test_auroc": (float(roc_auc_score(labels, scores)), "AUROC"),
            "test_average_precision": (float(average_precision_score(labels, scores)), "AP"),
            "test_f1": (float(f1_score(labels, scores > threshold)), "F1"),
        }
    quality = fitted.specs[name].quality | _describe(values, count, len(scores))
    return fitted.specs[name].model_copy(update={"quality": quality})


def _describe(
    values: Mapping[str, tuple[float, str]], normal: int, images: int
) -> dict[str, Metric]:
    counts = {"test_false_alarms": normal}
    return {
        name: Metric(value=value, unit=unit, split="test", count=counts.get(name, images))
        for name, (value, unit) in values.items()
    }


def describe_detection(fitted: FittedDetectors) -> list[str]:
    """Return how well the default detector finds real defects; empty without any."""
    quality = fitted.specs[fitted.default].quality
    if "test_auroc" not in quality:
        return []
    auroc, f1, alarms = (quality[f"test_{name}"] for name in ("auroc", "f1", "false_alarms"))
    sentence = (
        f"The detector {fitted.default} separates {auroc.count - alarms.count} defects from "
        f"{alarms.count} test images with an AUROC of {auroc.value:.3f}; at its threshold F1 is "
        f"{f1.value:.2f} with {alarms.value:.0f} % false alarms."
    )
    return [sentence]
