"""A new operation needs four declarations: parameters, response, function and table entry."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Response
from pydantic import BaseModel, Field

from service.api import schemas
from service.api.operation import Call, Operation
from service.api.operations import OPERATIONS
from service.app import build_registry, create_app
from service.codecs.request_body import IMAGES
from service.codecs.responses import JSON_ONLY, respond_json
from service.inference.operations import Steps
from service.settings import Settings
from tests.support.fakes import LATENT_SIZE, open_fake_backend
from tests.support.image_files import make_png, to_base64
from tests.support.metric_series import read_series, sum_series
from tests.support.problem_checks import check_problem
from tests.support.servers import TLS, run_server, wait_until


class AverageParameters(schemas.ImageParameters):
    """Parameters of `average`."""

    scale: Annotated[float, Field(gt=0, description="Factor on the latent.")] = 1.0


class Averaged(BaseModel):
    """The average latent of all images."""

    latents: schemas.Latents


def average(call: Call[AverageParameters]) -> Steps[Response]:
    """Encode images and return their average latent."""
    images = call.body.to_images(call.model.manifest.image, call.parameters.invert)
    (latents,) = yield "encoder", images
    mean = latents.mean(axis=0, keepdims=True)
    return respond_json({"latents": call.parameters.scale * mean})


AVERAGE = Operation(
    name="average",
    summary="Average the latents of images",
    description="Returns one latent for all images.",
    parameters=AverageParameters,
    accepts=IMAGES,
    offers=JSON_ONLY,
    response=Averaged,
    networks=lambda _, __: ("encoder",),
    run=average,
    example={"scale": 2.0},
)


@pytest.fixture(scope="module")
def new_client(store: Path) -> Iterator[httpx.Client]:
    """A client of a service with one operation more."""
    settings = Settings(models_store=store, default_model="full")
    registry = build_registry(settings, open_fake_backend)
    registry.load()
    app = create_app(settings, registry, operations=(*OPERATIONS, AVERAGE))
    with run_server(app) as base, httpx.Client(base_url=base, verify=TLS) as client:
        yield client


DARK, LIGHT = make_png(0), make_png(102)
REQUESTS: dict[str, dict[str, Any]] = {
    "json": {"json": {"images": [to_base64(DARK), to_base64(LIGHT)]}},
    "multipart": {"files": [("images", ("a.png", content)) for content in (DARK, LIGHT)]},
    "file": {"content": make_png(51), "headers": {"Content-Type": "image/png"}},
}


@pytest.mark.parametrize("body", REQUESTS)
def test_operation_accepts_every_body(new_client: httpx.Client, body: str) -> None:
    """The operation responds to each body format, and names the model."""
    response = new_client.post("/v1/average", **REQUESTS[body])

    averaged = Averaged.model_validate(response.json(), extra="forbid")
    assert averaged.latents == [pytest.approx([0.2] * LATENT_SIZE)]
    assert response.headers["X-Model"] == "full@2"


def test_parameters_are_in_the_query_and_the_body(new_client: httpx.Client) -> None:
    """Its parameters are accepted in the query and in the JSON body, which has precedence."""
    body = REQUESTS["json"]["json"]

    in_query = new_client.post("/v1/average?scale=2", json=body).json()
    in_body = new_client.post("/v1/average?scale=9", json={**body, "scale": 3.0}).json()

    assert in_query["latents"] == [pytest.approx([0.4] * LATENT_SIZE)]
    assert in_body["latents"] == [pytest.approx([0.6] * LATENT_SIZE)]


@pytest.mark.parametrize(
    ("status", "method", "request_"),
    [
        (405, "GET", {}),
        (415, "POST", {"content": b"x"}),
        (406, "POST", {**REQUESTS["json"], "headers": {"Accept": "image/png"}}),
        (422, "POST", {"json": {"images": []}}),
        (422, "POST", {**REQUESTS["file"], "params": {"scale": 0}}),
        (404, "POST", {**REQUESTS["file"], "params": {"model": "none"}}),
    ],
)
def test_errors_are_those_of_every_operation(
    new_client: httpx.Client, status: int, method: str, request_: dict[str, Any]
) -> None:
    """Invalid requests to it are rejected as for every operation."""
    check_problem(new_client.request(method, "/v1/average", **request_), status)


def test_operation_is_documented(new_client: httpx.Client) -> None:
    """The OpenAPI document has its summary, parameters, body, response and a working example."""
    document = new_client.get("/openapi.json").json()

    post = document["paths"]["/v1/average"]["post"]
    content = post["requestBody"]["content"]
    example = content["application/json"]["example"]
    assert (post["summary"], post["operationId"]) == (AVERAGE.summary, "average")
    assert {parameter["name"] for parameter in post["parameters"]} == {"model", "invert", "scale"}
    assert list(content) == list(IMAGES.media_types)
    assert "Averaged" in document["components"]["schemas"]
    assert example["scale"] == 2
    response = new_client.post("/v1/average", json=example)
    Averaged.model_validate(response.json(), extra="forbid")


def test_operation_is_listed_for_models_that_have_its_networks(new_client: httpx.Client) -> None:
    """It is among the operations of every model with an encoder."""
    models = new_client.get("/v1/models").json()["models"]

    assert all("average" in model["operations"] for model in models)


def test_operation_is_counted_and_logged(
    new_client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Metrics and the access log have its name and its route."""
    caplog.set_level(logging.INFO)
    before = read_series(new_client)
    caplog.clear()

    new_client.post("/v1/average", **REQUESTS["json"])

    wait_until(lambda: caplog.records)
    entries = [record for record in caplog.records if record.name == "service.access"]
    assert [entry.fields["route"] for entry in entries] == ["/v1/average"]  # type: ignore[attr-defined]
    after = read_series(new_client)
    for name, labels, count in (
        ("latentd_requests_total", {"operation": "average", "status": 200}, 1),
        ("latentd_images_total", {"operation": "average", "model": "full"}, 2),
    ):
        assert sum_series(after, name, **labels) == sum_series(before, name, **labels) + count
