"""Plots of the default detector: heat maps, and curves if the images have real defects."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from service.artifact.detectors.calibration import DEFAULT_RATE
from service.artifact.detectors.combined import resize_maps
from training.anomaly.choice import make_defects
from training.anomaly.detectors import to_floats
from training.data.splits import Pixels
from training.report.context import Floats, Plot, ReportContext, make_plot
from training.report.plots.curves import draw_separation
from training.report.plots.image_grids import draw_image_grid

_SHOWN = 12
_WHITE_SCORE = 4.0
_SCORE = "Below each column: the score; 1 is the threshold of 1 % false alarms. "
_HEAT = "The heat map is black at a score of 0 and white at 4."


def draw_detection(context: ReportContext) -> list[Plot]:
    """Return the plots of the bundle's default detector."""
    trained = context.trained
    defects = trained.splits.defects
    if defects is None and not context.shows_images:
        return []
    if defects is None:
        made = make_defects(to_floats(trained.splits.test.pixels[:_SHOWN]), trained.recipe.seed, 2)
        images = np.concatenate([found for found, _ in made.values()])[:_SHOWN]
        kinds = [kind for kind in made for _ in range(2)][:_SHOWN]
        pixels = np.rint(255 * images).astype(np.uint8)
        title, text = "Made-up defects", "Test images with defects that were made up. "
        return [_draw_heat(context, title, text, pixels, kinds)]
    scores = trained.detectors.score(trained.detectors.default, defects.pixels)
    curves = _draw_curves(context, scores)
    if not context.shows_images:
        return [curves]
    weakest = np.argsort(scores)[:_SHOWN]
    kinds = [defects.kinds[index] for index in weakest]
    title, text = "Weakest detections", "The defects with the lowest scores. "
    worst = _draw_heat(context, title, text, defects.pixels[weakest], kinds)
    return [curves, worst]


def _draw_heat(
    context: ReportContext, title: str, text: str, pixels: Pixels, kinds: list[str]
) -> Plot:
    """Plot images (N, C, H, W) uint8 above their heat maps."""
    detectors, images = context.trained.detectors, to_floats(pixels)
    found = detectors.detect(detectors.default, pixels)
    rows = {"image": images}
    if found.maps is not None:
        heat = resize_maps(found.maps, images.shape[2:])[:, None] / _WHITE_SCORE
        rows["heat map"] = np.broadcast_to(heat.clip(0, 1), images.shape).astype(np.float32)
    notes = [f"{score:.2f}" for score in found.scores]
    return make_plot(
        draw_image_grid(np.stack([*rows.values()]), [*rows], kinds, notes),
        title.lower().replace(" ", "_").replace("-", "_"),
        title,
        f"{text}Detector: {detectors.default}. {_SCORE}{_HEAT if found.maps is not None else ''}",
        f"Rows of images: {', '.join(rows)}, with the kind of defect and the score of each.",
    )


def _draw_curves(context: ReportContext, anomalous: Floats) -> Plot:
    """Plot the ROC and the precision-recall curve of test images against real defects."""
    detectors, test = context.trained.detectors, context.trained.splits.test
    normal = detectors.score(detectors.default, test.pixels)
    labels = np.repeat([0, 1], [len(normal), len(anomalous)])
    scores = np.concatenate([normal, anomalous])
    threshold = detectors.detectors[detectors.default].calibration.find_threshold(DEFAULT_RATE)
    point = _count_at(labels, scores > threshold)
    rates = roc_curve(labels, scores)[:2]
    precision, recall = precision_recall_curve(labels, scores)[:2]
    return make_plot(
        draw_separation(rates, (recall, precision), point),
        "detection",
        "Detection of defects",
        f"Test images against real defects, by the detector {detectors.default}. The dot is the "
        "threshold of 1 % false alarms, calibrated on validation images.",
        "Two charts: the ROC curve, and precision against recall.",
    )


def _count_at(labels: NDArray[np.int64], is_found: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Return the false-alarm rate, the recall and the precision of a threshold."""
    false_alarms = float(is_found[labels == 0].mean())
    recall = float(is_found[labels == 1].mean())
    precision = float(labels[is_found].mean()) if is_found.any() else 1.0
    return false_alarms, recall, precision
