"""The operation `detect` over HTTP.

The fake segmenter marks every place with the mean of the image, so that the score is the mean.
"""

import base64
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

from service.api.detection import Detected
from tests.support.fakes import NORMAL_SCORES
from tests.support.image_files import make_png, read_npy, read_png, to_base64, to_npy
from tests.support.metric_series import read_series, sum_series

DARK, LIGHT = 51, 204
BODY = {"images": [to_base64(make_png(DARK)), to_base64(make_png(LIGHT))]}


def detect(client: httpx.Client, query: str = "", body: dict[str, Any] = BODY) -> Detected:
    """Send two images, and validate the response against its model."""
    response = client.post(f"/v1/detect{query}", json=body)
    assert response.status_code == 200, response.text
    return Detected.model_validate_json(response.content, extra="forbid")


def test_default_threshold_has_a_false_alarm_rate_of_one_percent(client: httpx.Client) -> None:
    """Without parameters the default detector answers, at the 1 % threshold of normal images."""
    found = detect(client)

    assert found.method == "combined"
    assert [each.score for each in found.detections] == pytest.approx([0.2, 0.8], abs=1e-4)
    assert [each.is_anomaly for each in found.detections] == [False, True]
    assert found.detections[0].percentile == pytest.approx(40, abs=2)
    assert found.detections[1].percentile == 100
    assert found.threshold == pytest.approx(NORMAL_SCORES[-1])
    assert found.heatmaps is None
    assert found.detections[0].regions is None


def test_false_alarms_have_an_interval(client: httpx.Client) -> None:
    """99 normal images without a false alarm do not exclude a rate of 3 %."""
    alarms = detect(client).false_alarms

    assert (alarms.images, alarms.rate, alarms.low) == (99, 0, pytest.approx(0, abs=1e-9))
    assert alarms.high == pytest.approx(0.0374, abs=1e-3)


def test_threshold_and_rate_are_parameters(client: httpx.Client) -> None:
    """A threshold applies as it is; a false-alarm rate selects one from the normal images."""
    by_threshold = detect(client, "?threshold=0.1")
    by_rate = detect(client, "?false_alarm_rate=0.5")

    assert [each.is_anomaly for each in by_threshold.detections] == [True, True]
    assert by_threshold.threshold == 0.1
    assert by_threshold.false_alarms.rate == pytest.approx(0.8, abs=0.02)
    assert by_rate.threshold == pytest.approx(0.25, abs=0.01)
    assert by_rate.false_alarms.rate == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("method", ["segmentation", "reconstruction", "neighbours", "combined"])
def test_every_method_answers(client: httpx.Client, method: str) -> None:
    """Each detector of a bundle can be chosen by name and finds the light image less normal."""
    found = detect(client, f"?method={method}")

    dark, light = found.detections
    assert found.method == method
    assert light.score >= dark.score


def test_heatmap_has_the_size_of_the_images(client: httpx.Client) -> None:
    """A heat map has a score for each pixel; the strong region is a box in pixels."""
    found = detect(client, "?heatmap=array")

    maps = np.array(found.heatmaps)
    assert maps.shape == (2, 1, 8, 6)
    assert maps[1] == pytest.approx(0.8, abs=1e-3)
    assert found.detections[0].regions == []
    (region,) = found.detections[1].regions or []
    assert (region.left, region.top, region.width, region.height) == (0, 0, 6, 8)


def test_heatmap_is_a_png_file(client: httpx.Client) -> None:
    """In a PNG heat map a score of 4 is white, and 0 and less are black."""
    found = detect(client, "?heatmap=png")

    first, second = found.heatmaps or []
    assert read_png(base64.b64decode(str(first))) == pytest.approx(round(0.2 / 4 * 255), abs=1)
    assert read_png(base64.b64decode(str(second))) == pytest.approx(round(0.8 / 4 * 255), abs=1)


def test_accept_selects_the_heatmap_alone(client: httpx.Client) -> None:
    """`Accept` of .npy or PNG returns the heat maps without JSON."""
    body = to_npy(np.full((1, 1, 8, 6), LIGHT, np.uint8))
    types = {"Content-Type": "application/x-npy", "Accept": "application/x-npy"}

    array = read_npy(client.post("/v1/detect", content=body, headers=types).content)
    types["Accept"] = "image/png"
    png = client.post("/v1/detect", content=body, headers=types)

    assert array.shape == (1, 1, 8, 6)
    assert array == pytest.approx(0.8, abs=1e-3)
    assert png.headers["Content-Type"] == "image/png"
    assert read_png(png.content).shape == (8, 6)


@pytest.mark.parametrize(
    ("status", "query", "reason"),
    [
        (409, "?method=none", "combined"),
        (409, "?method=neighbours&heatmap=png", "no heat map"),
        (409, "?model=bare", "full@2"),
        (422, "?threshold=0.5&false_alarm_rate=0.1", "both"),
        (422, "?false_alarm_rate=0", "greater than or equal to 0.000001"),
        (422, "?false_alarm_rate=1", "less than 1"),
        (422, "?threshold=nan", "finite"),
        (422, "?heatmap=jpeg", "'none', 'png' or 'array'"),
        (422, "?method=", "at least 1"),
    ],
)
def test_invalid_parameters_are_explained(
    expect_problem: Callable[..., dict[str, Any]], status: int, query: str, reason: str
) -> None:
    """A parameter that a model cannot meet is rejected with the accepted values."""
    problem = expect_problem(status, f"/v1/detect{query}", json=BODY)

    assert reason in f"{problem['detail']} {problem.get('errors')}"


def test_threshold_in_query_and_rate_in_body_conflict(
    expect_problem: Callable[..., dict[str, Any]],
) -> None:
    """Both parameters are rejected also if one is in the query and one in the body."""
    expect_problem(422, "/v1/detect?threshold=1", json={**BODY, "false_alarm_rate": 0.1})


def test_models_list_their_detectors(client: httpx.Client) -> None:
    """The description of a model has its detectors, the default and their quality."""
    full, bare = (client.get(f"/v1/models/{name}").json() for name in ("full", "bare"))

    assert full["default_detector"] == "combined"
    assert "detect" in full["operations"]
    assert "detect" not in bare["operations"]
    described = {each["name"]: each for each in full["detectors"]}
    assert described["combined"]["members"] == ["segmentation", "reconstruction"]
    assert described["combined"]["quality"]["validation_auroc"]["value"] == 0.9
    assert bare["detectors"] == []


def test_percentiles_are_a_metric(client: httpx.Client) -> None:
    """Every detection adds its percentile to the histogram, so that drift is visible."""
    labels = {"model": "full"}
    name = "latentd_anomaly_percentile"
    before = read_series(client)

    detect(client)

    after = read_series(client)

    def grow(series: str, **more: str) -> float:
        return sum_series(after, series, **labels, **more) - sum_series(
            before, series, **labels, **more
        )

    assert grow(f"{name}_count") == 2
    assert grow(f"{name}_bucket", le="50.0") == 1
    assert grow(f"{name}_bucket", le="100.0") == 2
