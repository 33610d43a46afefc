"""Behind a reverse proxy: a stripped path prefix and forwarded headers."""

import asyncio
import json
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from service.server import serve
from service.settings import Settings
from tests.support.fakes import write_bundle
from tests.support.servers import run_service


class _Links(HTMLParser):
    """Collects the URLs of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See `HTMLParser`."""
        self.urls += [url for name, url in attrs if name in {"href", "src"} and url]


@pytest.mark.parametrize("page", ["/docs", "/redoc", "/"])
def test_pages_have_relative_urls(client: httpx.Client, page: str) -> None:
    """Behind a proxy that strips `/ml`, every URL of a page stays below `/ml` and exists."""
    links = _Links()
    links.feed(client.get(page).text)

    local = [url for url in links.urls if not urlsplit(url).scheme]
    assert local
    for url in local:
        path = urljoin(f"/ml{page}", url)
        assert path.startswith("/ml/"), url
        assert client.get(path.removeprefix("/ml")).status_code in {200, 401}, url


@pytest.fixture
def small_store(tmp_path: Path) -> Path:
    """A store with one bundle."""
    write_bundle(tmp_path, "full")
    return tmp_path


@pytest.mark.parametrize("prefix", ["", "/ml"])
def test_root_path(small_store: Path, prefix: str) -> None:
    """The document names the prefix, and paths work whether or not the proxy strips it."""
    with run_service(Settings(models_store=small_store, root_path="/ml")) as client:
        document = client.get(f"{prefix}/openapi.json").json()
        assert document["servers"] == [{"url": "/ml"}]
        assert client.get(f"{prefix}/v1/models").status_code == 200
        assert client.post(f"{prefix}/v1/sample?seed=1").status_code == 200
        assert client.get(f"{prefix}/static/favicon.png").status_code == 200


def test_keys_apply_below_the_prefix(small_store: Path) -> None:
    """A prefix in the path does not bypass the API keys."""
    keys = "ci infer " + "0" * 64
    settings = Settings(models_store=small_store, root_path="/ml", api_keys=keys)
    with run_service(settings) as client:
        for path in ("/v1/models", "/ml/v1/models", "/ml/openapi.json", "/ml/ml/v1/models"):
            assert client.get(path).status_code == 401, path
        assert client.get("/ml/livez").status_code == 200


async def show(scope: Scope, _: Receive, send: Send) -> None:
    """Answer with the client's address and the scheme."""
    body = json.dumps([scope["client"][0], scope["scheme"]]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def request_from(address: str, settings: Settings) -> list[str]:
    """Return the client and the scheme that an application sees of a forwarded request."""
    config = serve._configure(settings, show)  # type: ignore[arg-type]
    config.load()
    sent: list[bytes] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message.get("body", b""))  # type: ignore[arg-type]

    scope = {
        "type": "http",
        "client": (address, 1),
        "scheme": "http",
        "headers": [(b"x-forwarded-for", b"203.0.113.9"), (b"x-forwarded-proto", b"https")],
    }
    await config.loaded_app(scope, None, send)
    seen: list[str] = json.loads(b"".join(sent))
    return seen


@pytest.mark.parametrize(
    ("trusted", "address", "seen"),
    [
        ([], "127.0.0.1", ["127.0.0.1", "http"]),
        (["10.0.0.0/8"], "10.1.2.3", ["203.0.113.9", "https"]),
        (["10.0.0.0/8"], "192.0.2.1", ["192.0.2.1", "http"]),
        (["127.0.0.1"], "127.0.0.1", ["203.0.113.9", "https"]),
        (["*"], "192.0.2.1", ["203.0.113.9", "https"]),
    ],
)
def test_forwarded_headers(
    monkeypatch: pytest.MonkeyPatch, trusted: list[str], address: str, seen: list[str]
) -> None:
    """Forwarded headers count from trusted proxies only; by default from none."""
    monkeypatch.setattr(serve, "build_logging_config", lambda *_: None)
    settings = Settings(forwarded_allow_ips=trusted)

    assert asyncio.run(request_from(address, settings)) == seen


PREFLIGHT = {
    "Origin": "https://a.example",
    "Access-Control-Request-Method": "POST",
}


@pytest.mark.parametrize(
    "header",
    ["traceparent", "tracestate", "baggage", "x-request-id", "content-type", "x-requested-with"],
)
def test_cors_allows_common_headers(small_store: Path, header: str) -> None:
    """A page of an allowed origin may send the headers that tracing libraries add."""
    settings = Settings(models_store=small_store, cors_origins=["https://a.example"])
    with run_service(settings) as client:
        headers = {**PREFLIGHT, "Access-Control-Request-Headers": header}
        response = client.options("/v1/classify", headers=headers)

    assert response.status_code == 200
    assert header in response.headers["Access-Control-Allow-Headers"].lower()
