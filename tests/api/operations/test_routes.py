"""Requests find an operation by its exact path and method."""

import codecs
from typing import Any

import httpx
import pytest

from tests.support.image_files import make_png

PNG = {"content": make_png(77), "headers": [("Content-Type", "image/png")]}
REPEATED = [("Content-Type", "image/png"), ("Accept", "image/png"), ("Accept", "application/json")]


@pytest.mark.parametrize(
    ("method", "path", "status", "request_options"),
    [
        ("POST", "/v1/classify?top_k=2", 200, PNG),
        ("POST", "/v1/classify?", 200, PNG),
        ("POST", "/v1/classify", 200, PNG | {"headers": REPEATED}),
        ("POST", "/v1/sample?count=x&count=2&seed=1", 200, {}),
        ("POST", "/v1/%63lassify", 200, PNG),
        ("GET", "/v1/classify", 405, {}),
        ("HEAD", "/v1/classify", 405, {}),
        ("OPTIONS", "/v1/classify", 405, {}),
        ("POST", "/v1/classify/", 404, PNG),
        ("POST", "/v1/classif", 404, PNG),
        ("POST", "/V1/classify", 404, PNG),
    ],
)
def test_route(
    client: httpx.Client, method: str, path: str, status: int, request_options: dict[str, Any]
) -> None:
    """A path and a method give this status; a 405 names the allowed method."""
    response = client.request(method, path, **request_options)

    assert response.status_code == status
    assert (response.headers.get("Allow") == "POST") == (status == 405)


def test_json_may_begin_with_a_byte_order_mark(client: httpx.Client) -> None:
    """A UTF-8 byte order mark before JSON, as some editors and clients write it, is skipped."""
    headers = {"Content-Type": "application/json"}
    body = b'{"count": 2, "seed": 1}'

    plain, marked = (
        client.post("/v1/sample", content=start + body, headers=headers)
        for start in (b"", codecs.BOM_UTF8)
    )

    assert marked.status_code == 200
    assert marked.content == plain.content
