"""The OpenAPI document: what it says is taken and answered, is."""

import json
import os
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.api import schemas
from service.http.problems import KINDS
from tests.support.fakes import LATENT_SIZE
from tests.support.image_files import make_noise, to_npy
from tests.support.problem_checks import OPERATIONS

Document = dict[str, Any]

SNAPSHOT = Path(__file__).parent / "openapi.json"
RENEW = "LATENTD_RENEW_SNAPSHOT"
FORMS = {
    "encode": ["application/json", "application/x-npy"],
    "classify": ["application/json"],
}
IMAGE_FORMS = ["application/json", "image/png", "application/x-npy"]
SIGNATURES = {
    "application/json": b"{",
    "image/png": b"\x89PNG",
    "application/x-npy": b"\x93NUMPY",
}


@pytest.fixture
def document(client: httpx.Client) -> Document:
    """The OpenAPI document of the running service."""
    answer: Document = client.get("/openapi.json").json()
    return answer


def find_operation(document: Document, operation: str) -> Document:
    """Return the documented operation."""
    found: Document = document["paths"][f"/v1/{operation}"]["post"]
    return found


def make_request(document: Document, operation: str, media: str) -> dict[str, Any]:
    """Return a good request whose body has a documented content type."""
    body = find_operation(document, operation)["requestBody"]["content"][media]
    if media == "application/json":
        return {"json": body["example"]}
    if media == "multipart/form-data":
        picture = ("a.png", make_noise())
        return {"files": [("images", picture), ("images", picture)]}
    content = make_noise(form="PNG" if media == "image/png" else "JPEG")
    if media == "application/x-npy":
        shape = (2, LATENT_SIZE) if operation == "decode" else (2, 1, 8, 6)
        content = to_npy(np.zeros(shape, np.float32))
    return {"content": content, "headers": {"Content-Type": media}}


def test_the_document_is_openapi_3_1(document: Document) -> None:
    """The document says its version, and every reference in it leads somewhere."""
    text = json.dumps(document)

    assert document["openapi"].startswith("3.1.")
    models = document["components"]["schemas"]
    referred = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert referred <= models.keys()


def test_every_route_is_documented(document: Document) -> None:
    """All operations, the models and the health routes are there, each with its own id."""
    operations = [route for path in document["paths"].values() for route in path.values()]

    assert document["paths"].keys() >= {f"/v1/{operation}" for operation in OPERATIONS}
    assert document["paths"].keys() >= {"/v1/models", "/v1/models/{name}", "/livez", "/readyz"}
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert all(operation.get("description") for operation in operations)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_example_works_as_it_stands(
    client: httpx.Client, document: Document, operation: str
) -> None:
    """Sent as it stands, each operation's example is answered as its schema says."""
    answer = client.post(
        f"/v1/{operation}", **make_request(document, operation, "application/json")
    )

    assert answer.status_code == 200, answer.text
    success = find_operation(document, operation)["responses"]["200"]
    reference = success["content"]["application/json"]["schema"]["$ref"]
    model = getattr(schemas, reference.rpartition("/")[2])
    model.model_validate(answer.json(), extra="forbid")
    assert all(header in answer.headers for header in success["headers"])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_documented_content_type_is_taken(
    client: httpx.Client, document: Document, operation: str
) -> None:
    """Each way in that the document lists is read; where one picture is too few, it says so."""
    documented = find_operation(document, operation)["requestBody"]["content"]

    for media in documented:
        answer = client.post(f"/v1/{operation}", **make_request(document, operation, media))
        too_few = operation == "interpolate" and media in {"image/png", "image/jpeg", "image/jpg"}
        assert answer.status_code == (422 if too_few else 200), (media, answer.text)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_form_is_documented_and_given(
    client: httpx.Client, document: Document, operation: str
) -> None:
    """The forms that the document lists are the forms that are given."""
    documented = find_operation(document, operation)["responses"]["200"]["content"]
    request = make_request(document, operation, "application/json")

    assert list(documented) == FORMS.get(operation, IMAGE_FORMS)
    for form in documented:
        answer = client.post(f"/v1/{operation}", **request, headers={"Accept": form})
        assert answer.headers["Content-Type"] == form
        assert answer.content.startswith(SIGNATURES[form])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_status_is_documented(document: Document, operation: str) -> None:
    """Each status that an error can have is documented, as a problem."""
    responses = find_operation(document, operation)["responses"]

    for kind in KINDS.values():
        assert list(responses[str(kind.status.value)]["content"]) == ["application/problem+json"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_parameters_are_members_too(document: Document, operation: str) -> None:
    """Every query parameter is documented as a member of the JSON body, and described."""
    described = find_operation(document, operation)
    members = described["requestBody"]["content"]["application/json"]["schema"]["properties"]

    names = {parameter["name"] for parameter in described["parameters"]}
    assert names <= members.keys()
    assert members.keys() - names <= {"images", "latents"}
    assert all(parameter["description"] for parameter in described["parameters"])


def test_the_document_is_the_reviewed_one(document: Document) -> None:
    """A change of the contract shows in a change of the snapshot beside this file."""
    if os.environ.get(RENEW):
        SNAPSHOT.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")

    reviewed = json.loads(SNAPSHOT.read_text())

    assert document == reviewed, (
        f"the OpenAPI document changed; if it should, run the test with {RENEW}=1 "
        f"and review the difference of {SNAPSHOT.name}"
    )
