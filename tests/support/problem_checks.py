"""Checks that hold for every error response, and the names of the operations."""

import re
from pathlib import Path
from typing import Any

import httpx

import service
from service.api.schemas import Problem

OPERATIONS = ("encode", "decode", "reconstruct", "denoise", "classify", "sample", "interpolate")
ON_IMAGES = ("encode", "reconstruct", "denoise", "classify", "interpolate")

_LEAK = re.compile(
    r"Traceback|0x[0-9a-f]{6}|BytesIO|PIL\b|numpy|pydantic|jiter|orjson|site-packages"
)


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
