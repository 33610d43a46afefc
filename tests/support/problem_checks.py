"""Checks that hold for every error response, and valid requests to every operation."""

import re
from pathlib import Path
from typing import Any

import httpx

import service
from service.api import operations
from service.api.schemas import Problem
from tests.support.fakes import LATENT_SIZE
from tests.support.image_files import make_png, to_base64

OPERATIONS = tuple(operation.name for operation in operations.OPERATIONS)
ON_IMAGES = tuple(each.name for each in operations.OPERATIONS if "images" in each.accepts.members)

_INPUTS: dict[str, list[object]] = {
    "images": [to_base64(make_png())] * 2,
    "latents": [[0.5] * LATENT_SIZE] * 2,
}

_LEAK = re.compile(
    r"Traceback|0x[0-9a-f]{6}|BytesIO|PIL\b|numpy|pydantic|jiter|orjson|site-packages"
)


def make_body(operation: str) -> dict[str, object]:
    """Return a valid JSON body for an operation: two images, two latents or nothing."""
    (declared,) = (each for each in operations.OPERATIONS if each.name == operation)
    return {member: _INPUTS[member] for member in declared.accepts.members[:1]}


def check_problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """Check that a response is a problem of this status without internals; return it."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    Problem.model_validate(problem, extra="forbid")
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"] == f"urn:latentd:request:{response.headers['X-Request-ID']}"
    assert bool(problem.get("errors")) == (status == 422)
    assert not _LEAK.search(response.text), response.text
    assert str(Path(service.__file__).parent) not in response.text
    return problem
