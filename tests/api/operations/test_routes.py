"""Two ways lead to an operation: the short one, and FastAPI's own where a service is traced."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.api.router import Switch
from service.app import build_registry, create_app
from service.settings import Settings
from tests.support.fakes import open_fake_backend
from tests.support.image_files import make_png
from tests.support.servers import TLS, run_server

PNG = {"content": make_png(77), "headers": [("Content-Type", "image/png")]}
TWICE = [("Content-Type", "image/png"), ("Accept", "image/png"), ("Accept", "application/json")]
GZIP = [("Content-Type", "image/png"), ("Content-Encoding", "gzip")]
REQUESTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "classify": ("POST", "/v1/classify?top_k=2", PNG),
    "encode": ("POST", "/v1/encode?space=vae", PNG),
    "sample": ("POST", "/v1/sample?count=3&seed=1", {}),
    "a parameter twice": ("POST", "/v1/sample?count=x&count=2&seed=1", {}),
    "an empty parameter": ("POST", "/v1/sample?count=", {}),
    "an unknown parameter": ("POST", "/v1/classify?topk=2", PNG),
    "a wrong parameter": ("POST", "/v1/classify?top_k=x", PNG),
    "an unknown member": ("POST", "/v1/sample", {"json": {"cuont": 1}}),
    "an unknown model": ("POST", "/v1/classify?model=none", PNG),
    "a broken picture": ("POST", "/v1/classify", PNG | {"content": make_png(77)[:-20]}),
    "another format": ("POST", "/v1/classify", PNG | {"content": b"GIF89a"}),
    "no body": ("POST", "/v1/classify", {}),
    "a header twice": ("POST", "/v1/classify", PNG | {"headers": TWICE}),
    "a compressed body": ("POST", "/v1/classify", PNG | {"headers": GZIP}),
    "another method": ("GET", "/v1/classify", {}),
    "the head only": ("HEAD", "/v1/classify", {}),
    "the options": ("OPTIONS", "/v1/classify", {}),
    "a slash too many": ("POST", "/v1/classify/", PNG),
    "a path that is escaped": ("POST", "/v1/%63lassify", PNG),
    "an unknown path": ("POST", "/v1/classif", PNG),
}


@pytest.fixture(scope="module")
def long_way(settings: Settings) -> Iterator[str]:
    """The base URL of a service in which FastAPI finds all routes itself."""
    registry = build_registry(settings, open_fake_backend)
    registry.load()
    app = create_app(settings, registry)
    (short,) = [layer for layer in app.user_middleware if layer.cls is Switch]
    paths = {getattr(route, "path", None) for route in short.kwargs["routes"]}
    assert {"/v1/classify", "/v1/encode", "/v1/sample"} <= paths
    app.user_middleware.remove(short)
    with run_server(app) as base:
        yield base


@pytest.mark.parametrize("name", REQUESTS)
def test_both_ways_lead_to_the_same_answer(name: str, url: str, long_way: str) -> None:
    """Status, headers and body, to a client that gives its request the same id."""
    assert ask(url, name) == ask(long_way, name)


def ask(base: str, name: str) -> tuple[int, dict[str, str], bytes]:
    """Return the status, the headers and the body of an answer."""
    method, path, request = REQUESTS[name]
    headers = [("X-Request-ID", "one"), *request.get("headers", [])]
    answer = httpx.request(method, base + path, verify=TLS, **request | {"headers": headers})
    told = {header: text.replace(base, "") for header, text in answer.headers.items()}
    told.pop("date")
    return answer.status_code, told, answer.content
