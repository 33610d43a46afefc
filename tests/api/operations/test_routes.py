"""The direct route to an operation and FastAPI's own route give the same responses."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.app import build_registry, create_app
from service.http.wrapper import RequestWrapper
from service.settings import Settings
from tests.support.fakes import open_fake_backend
from tests.support.image_files import make_png
from tests.support.problem_checks import OPERATIONS
from tests.support.servers import TLS, run_server

PNG = {"content": make_png(77), "headers": [("Content-Type", "image/png")]}
REPEATED = [("Content-Type", "image/png"), ("Accept", "image/png"), ("Accept", "application/json")]
GZIP = [("Content-Type", "image/png"), ("Content-Encoding", "gzip")]
REQUESTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "classify": ("POST", "/v1/classify?top_k=2", PNG),
    "encode": ("POST", "/v1/encode?space=vae", PNG),
    "sample": ("POST", "/v1/sample?count=3&seed=1", {}),
    "a repeated parameter": ("POST", "/v1/sample?count=x&count=2&seed=1", {}),
    "an unknown member": ("POST", "/v1/sample", {"json": {"cuont": 1}}),
    "an unknown model": ("POST", "/v1/classify?model=none", PNG),
    "a corrupt image": ("POST", "/v1/classify", PNG | {"content": make_png(77)[:-20]}),
    "an unsupported format": ("POST", "/v1/classify", PNG | {"content": b"GIF89a"}),
    "no body": ("POST", "/v1/classify", {}),
    "a repeated header": ("POST", "/v1/classify", PNG | {"headers": REPEATED}),
    "a compressed body": ("POST", "/v1/classify", PNG | {"headers": GZIP}),
    "an unsupported method": ("GET", "/v1/classify", {}),
    "HEAD": ("HEAD", "/v1/classify", {}),
    "OPTIONS": ("OPTIONS", "/v1/classify", {}),
    "a trailing slash": ("POST", "/v1/classify/", PNG),
    "an escaped path": ("POST", "/v1/%63lassify", PNG),
    "an unknown path": ("POST", "/v1/classif", PNG),
}


@pytest.fixture(scope="module")
def routed_url(settings: Settings) -> Iterator[str]:
    """The base URL of a service in which FastAPI's router finds all routes."""
    registry = build_registry(settings, open_fake_backend)
    registry.load()
    app = create_app(settings, registry)
    (wrapper,) = [layer for layer in app.user_middleware if layer.cls is RequestWrapper]
    assert wrapper.kwargs["handlers"].keys() == {f"/v1/{operation}" for operation in OPERATIONS}
    wrapper.kwargs["handlers"] = {}
    with run_server(app) as base:
        yield base


@pytest.mark.parametrize("name", REQUESTS)
def test_both_routes_give_the_same_response(name: str, url: str, routed_url: str) -> None:
    """Both routes give the same status, headers and body for a fixed request id."""
    assert read_response(url, name) == read_response(routed_url, name)


def read_response(base: str, name: str) -> tuple[int, dict[str, str], bytes]:
    """Return the status, the headers and the body of the response to a request."""
    method, path, request = REQUESTS[name]
    headers = [("X-Request-ID", "one"), *request.get("headers", [])]
    response = httpx.request(method, base + path, verify=TLS, **request | {"headers": headers})
    header_values = {header: text.replace(base, "") for header, text in response.headers.items()}
    header_values.pop("date")
    return response.status_code, header_values, response.content
