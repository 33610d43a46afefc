"""The OpenAPI document matches the behaviour of the service."""

import json
import os
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.api.operations import OPERATIONS as TABLE
from service.http.problems import PROBLEM_TYPES
from tests.support.fakes import LATENT_SIZE
from tests.support.image_files import make_noise, to_npy
from tests.support.problem_checks import OPERATIONS

Document = dict[str, Any]

SNAPSHOT = Path(__file__).parent / "openapi.json"
RENEW = "LATENTD_RENEW_SNAPSHOT"
RESPONSE_FORMATS = {
    "encode": ["application/json", "application/x-npy"],
    "classify": ["application/json"],
}
IMAGE_RESPONSE_FORMATS = ["application/json", "image/png", "application/x-npy"]
SIGNATURES = {
    "application/json": b"{",
    "image/png": b"\x89PNG",
    "application/x-npy": b"\x93NUMPY",
}


@pytest.fixture
def document(client: httpx.Client) -> Document:
    """The OpenAPI document of the running service."""
    fetched: Document = client.get("/openapi.json").json()
    return fetched


def find_operation(document: Document, operation: str) -> Document:
    """Return the description of an operation."""
    description: Document = document["paths"][f"/v1/{operation}"]["post"]
    return description


def make_request(document: Document, operation: str, media: str) -> dict[str, Any]:
    """Return a valid request whose body has a documented content type."""
    body = find_operation(document, operation)["requestBody"]["content"][media]
    if media == "application/json":
        return {"json": body["example"]}
    if media == "multipart/form-data":
        image = ("a.png", make_noise())
        return {"files": [("images", image), ("images", image)]}
    content = make_noise(file_format="PNG" if media == "image/png" else "JPEG")
    if media == "application/x-npy":
        shape = (2, LATENT_SIZE) if operation == "decode" else (2, 1, 8, 6)
        content = to_npy(np.zeros(shape, np.float32))
    return {"content": content, "headers": {"Content-Type": media}}


def test_document_is_openapi_3_1(document: Document) -> None:
    """The document has the version 3.1, and all its references resolve."""
    text = json.dumps(document)

    assert document["openapi"].startswith("3.1.")
    models = document["components"]["schemas"]
    referred = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert referred <= models.keys()


def test_every_route_is_documented(document: Document) -> None:
    """Every route has a unique id and a summary that is a phrase, not the name of a function."""
    operations = [route for path in document["paths"].values() for route in path.values()]

    assert document["paths"].keys() >= {f"/v1/{operation}" for operation in OPERATIONS}
    assert document["paths"].keys() >= {"/v1/models", "/v1/models/{name}", "/livez", "/readyz"}
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        name = operation["operationId"].replace("_", " ")
        assert operation["summary"].lower() != name.removesuffix(" of version"), name
        assert " " in operation["summary"], name
    for operation in OPERATIONS:
        assert document["paths"][f"/v1/{operation}"]["post"]["description"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_example_succeeds_and_matches_its_schema(
    client: httpx.Client, document: Document, operation: str
) -> None:
    """Each operation's example succeeds, and the response matches the documented schema."""
    response = client.post(
        f"/v1/{operation}", **make_request(document, operation, "application/json")
    )

    assert response.status_code == 200, response.text
    success = find_operation(document, operation)["responses"]["200"]
    reference = success["content"]["application/json"]["schema"]["$ref"]
    model = next(each.response for each in TABLE if each.name == operation)
    assert reference.rpartition("/")[2] == model.__name__
    model.model_validate(response.json(), extra="forbid")
    assert all(header in response.headers for header in success["headers"])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_documented_content_type_is_accepted(
    client: httpx.Client, document: Document, operation: str
) -> None:
    """Each documented content type is accepted; interpolate rejects a single image with 422."""
    documented = find_operation(document, operation)["requestBody"]["content"]

    for media in documented:
        response = client.post(f"/v1/{operation}", **make_request(document, operation, media))
        too_few = operation == "interpolate" and media in {"image/png", "image/jpeg", "image/jpg"}
        assert response.status_code == (422 if too_few else 200), (media, response.text)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_documented_response_formats_are_available(
    client: httpx.Client, document: Document, operation: str
) -> None:
    """The documented response formats are exactly the available ones."""
    documented = find_operation(document, operation)["responses"]["200"]["content"]
    request = make_request(document, operation, "application/json")

    assert list(documented) == RESPONSE_FORMATS.get(operation, IMAGE_RESPONSE_FORMATS)
    for media in documented:
        response = client.post(f"/v1/{operation}", **request, headers={"Accept": media})
        assert response.headers["Content-Type"] == media
        assert response.content.startswith(SIGNATURES[media])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_error_status_is_documented(document: Document, operation: str) -> None:
    """Each status of an error is documented as a problem."""
    responses = find_operation(document, operation)["responses"]

    for problem in PROBLEM_TYPES.values():
        assert list(responses[str(problem.status.value)]["content"]) == ["application/problem+json"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_parameters_are_documented_as_members(document: Document, operation: str) -> None:
    """Every query parameter is documented, with a description, as a member of the JSON body."""
    description = find_operation(document, operation)
    members = description["requestBody"]["content"]["application/json"]["schema"]["properties"]

    names = {parameter["name"] for parameter in description["parameters"]}
    assert names <= members.keys()
    assert members.keys() - names <= {"images", "latents"}
    assert all(parameter["description"] for parameter in description["parameters"])


def test_document_equals_the_reviewed_snapshot(document: Document) -> None:
    """The document equals the snapshot next to this file."""
    if os.environ.get(RENEW):
        SNAPSHOT.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")

    reviewed = json.loads(SNAPSHOT.read_text())

    assert document == reviewed, (
        f"The OpenAPI document changed. If that is intended, run the test with {RENEW}=1 "
        f"and review the difference of {SNAPSHOT.name}"
    )
