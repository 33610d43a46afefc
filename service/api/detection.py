"""The operation `detect`: parameters, response, declaration in the operation table."""

from dataclasses import asdict
from typing import Annotated, Literal, TypeAlias

import numpy as np
from fastapi import Response
from pydantic import Field

from service.api import schemas
from service.api.operation import Call, Operation
from service.artifact import Manifest
from service.artifact.detectors.calibration import DEFAULT_RATE, Calibration
from service.artifact.detectors.combined import resize_maps
from service.artifact.specs import NetworkName
from service.artifact.tensor_files import Floats
from service.codecs.request_body import IMAGES
from service.codecs.responses import (
    IMAGE_TYPES,
    JSON,
    PNG,
    encode_images,
    respond_images,
    respond_json,
)
from service.errors import InvalidInputError, UnsupportedOperationError, Violation
from service.inference import operations
from service.inference.model import Model
from service.inference.operations import Steps
from service.inference.regions import find_regions
from service.inference.yielding import yield_to_loop
from service.observability.metrics import observe_percentiles

Heatmap: TypeAlias = Literal["none", "png", "array"]
_WHITE_SCORE = 4.0
"""The standard score that is white in a PNG heat map; 0 and less are black."""


class DetectParameters(schemas.ImageParameters):
    """Parameters of `detect`."""

    method: Annotated[str, Field(min_length=1)] | None = None
    """A detector of the model; omitted, the default."""
    threshold: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """The score over which an image is an anomaly; not together with `false_alarm_rate`."""
    false_alarm_rate: Annotated[float, Field(ge=1e-6, lt=1)] | None = None
    """Share of normal images over the threshold, from 1e-6; omitted, 0.01."""
    heatmap: Heatmap = "none"
    """Also returns the scores of all places: PNG files (black 0, white 4) or 1 x H x W floats."""


class Region(schemas.Schema):
    """A box around connected places over the threshold, in pixels of the model's images."""

    left: int
    top: int
    width: int
    height: int
    score: float
    """The largest score in it."""


class Detection(schemas.Schema):
    """The anomaly of one image."""

    score: float
    """0 for a typical normal image, 1 at the threshold of a false-alarm rate of 1 %."""
    is_anomaly: bool
    """Whether the score is over the threshold."""
    percentile: Annotated[float, Field(ge=0, le=100)]
    """Percentage of held-out normal images with at most this score."""
    regions: list[Region] | None = None
    """With a heat map: the strongest regions, at most five."""


class FalseAlarms(schemas.Schema):
    """The false alarms of a threshold among the held-out normal images."""

    images: int
    """Their number."""
    rate: float
    """Share over the threshold."""
    low: float
    """Lower end of the 95 % interval of the rate."""
    high: float
    """Upper end of the interval."""


class Detected(schemas.Schema):
    """One detection for each image."""

    detections: list[Detection]
    method: str
    threshold: float
    false_alarms: FalseAlarms
    heatmaps: list[schemas.ImageOut] | None = None
    """The scores of all places of each image, H x W."""


def _choose_method(manifest: Manifest, parameters: DetectParameters) -> str:
    """Return the requested detector, or the default one."""
    method = parameters.method or manifest.default_detector
    if method is None or method not in manifest.detectors:
        known = f" (it has: {', '.join(manifest.detectors) or 'none'})"
        raise UnsupportedOperationError(
            f"detector {method!r:.80}{known}" if method else "detector of anomalies"
        )
    return method


def _list_networks(manifest: Manifest, parameters: DetectParameters) -> tuple[NetworkName, ...]:
    return manifest.list_detector_networks(_choose_method(manifest, parameters))


def _detect(call: Call[DetectParameters]) -> Steps[Response]:
    model, parameters = call.model, call.parameters
    method = _choose_method(model.manifest, parameters)
    images = call.body.to_images(model.manifest.image, parameters.invert)
    calibration = model.detectors[method].calibration
    threshold = _find_threshold(parameters, calibration)
    found = yield from operations.detect(model, images, method)
    percentiles = calibration.rank(found.scores)
    observe_percentiles(model.bundle.name, percentiles)
    if call.media_type != JSON:
        heatmaps = _draw_heatmaps(model, method, found.maps)
        shown = _to_levels(heatmaps) if call.media_type == PNG else heatmaps
        return respond_images(shown, call.media_type, "png")
    members: list[dict[str, object]] = [
        {"score": score, "is_anomaly": score > threshold, "percentile": percentile}
        for score, percentile in zip(found.scores.tolist(), percentiles.tolist(), strict=True)
    ]
    content: dict[str, object] = {
        "detections": members,
        "method": method,
        "threshold": threshold,
        "false_alarms": asdict(calibration.count_false_alarms(threshold)),
    }
    if parameters.heatmap != "none":
        heatmaps = _draw_heatmaps(model, method, found.maps)
        for member, places in zip(members, heatmaps[:, 0], strict=True):
            member["regions"] = [asdict(region) for region in find_regions(places, threshold)]
            yield_to_loop()
        is_png = parameters.heatmap == "png"
        shown = _to_levels(heatmaps) if is_png else heatmaps
        content["heatmaps"] = encode_images(shown, "png" if is_png else "array")
    return respond_json(content)


def _find_threshold(parameters: DetectParameters, calibration: Calibration) -> float:
    """Return the requested threshold, or that of the requested or default false-alarm rate.

    Raises:
        InvalidInputError: the request has both.
    """
    if parameters.threshold is None:
        return calibration.find_threshold(parameters.false_alarm_rate or DEFAULT_RATE)
    if parameters.false_alarm_rate is not None:
        detail = "Expected threshold or false_alarm_rate, got both; leave one out."
        raise InvalidInputError(Violation("/threshold", detail))
    return parameters.threshold


def _draw_heatmaps(model: Model, method: str, maps: Floats | None) -> Floats:
    """Return anomaly maps at the size of the model's images, (N, 1, H, W).

    Raises:
        UnsupportedOperationError: the detector has none.
    """
    if maps is None:
        raise UnsupportedOperationError(
            f"The method {method!r} of {model.reference} has no heat map; expected a method with "
            f"one, such as {model.manifest.default_detector!r}."
        )
    return resize_maps(maps, model.manifest.image.shape[1:])[:, None]


def _to_levels(scores: Floats) -> Floats:
    """Return standard scores as grey levels in [0, 1]."""
    levels: Floats = np.clip(scores / _WHITE_SCORE, 0, 1)
    return levels


DETECT = Operation(
    name="detect",
    summary="Detect anomalies",
    description="Measures how unlike the training images each image is, as a score with a "
    "threshold that was calibrated on held-out normal images, and where.",
    parameters=DetectParameters,
    accepts=IMAGES,
    offers=IMAGE_TYPES,
    response=Detected,
    networks=_list_networks,
    run=_detect,
    example={"heatmap": "png"},
)
