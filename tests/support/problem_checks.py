"""What every refusal must be, whatever was refused."""

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


def check_refusal(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Check that an answer is a problem of this status that gives nothing away; return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    Problem.model_validate(problem, extra="forbid")
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"] == f"urn:latentd:request:{answer.headers['X-Request-ID']}"
    assert bool(problem.get("errors")) == (status == 422)
    assert not _LEAK.search(answer.text), answer.text
    assert str(Path(service.__file__).parent) not in answer.text
    return problem
