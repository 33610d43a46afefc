"""The files of the playground as the service serves them."""

import re
from pathlib import Path

import httpx
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from service.app import build_registry, create_app
from service.settings import Settings
from tests.support.fakes import open_fake_backend
from tests.support.servers import TLS, run_server

PLAYGROUND = Path(__file__).parents[3] / "service" / "playground"
ADDRESSES = re.compile(
    r'(?:src|href|from|import) ?= ?"([^"#]+)"|(?:from|import) "([^"]+)"|url\("([^"]+)"\)'
)


def find_addresses(text: str) -> set[str]:
    """Return the addresses that a page, a module or a style sheet loads or links to."""
    return {next(filter(None, groups)) for groups in ADDRESSES.findall(text)}


def test_root_page_is_the_playground(client: httpx.Client) -> None:
    """The service's root address returns the playground under a strict policy."""
    response = client.get("/")

    policy = response.headers.get_list("Content-Security-Policy")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-cache"
    assert len(policy) == 1
    assert "default-src 'none'" in policy[0]
    assert "unsafe" not in policy[0]
    assert "<script>" not in response.text
    assert not re.search(r"\bstyle=|\bon[a-z]+=", response.text)


def test_every_file_is_served_with_its_type(client: httpx.Client) -> None:
    """Each module, style sheet and font is served with the content type that browsers require."""
    types = {
        ".js": "javascript",
        ".css": "text/css",
        ".svg": "image/svg+xml",
        ".woff2": "font/woff2",
        ".html": "text/html",
    }
    files = [path for path in PLAYGROUND.rglob("*.*") if path.suffix in types]

    assert len(files) > 20
    for path in files:
        response = client.get(f"/static/playground/{path.relative_to(PLAYGROUND)}")
        assert response.status_code == 200
        assert types[path.suffix] in response.headers["Content-Type"]


def test_addresses_are_relative_and_exist() -> None:
    """The playground's files contain only relative addresses of existing files."""
    for path in PLAYGROUND.rglob("*.*"):
        if path.suffix not in {".js", ".css", ".html"}:
            continue
        addresses = find_addresses(path.read_text())
        assert not [address for address in addresses if re.match(r"[a-z]+:|/", address)]
        base = PLAYGROUND if path.suffix == ".html" else path.parent
        files = {address.removeprefix("static/playground/") for address in addresses - {"docs"}}
        assert [name for name in files if not (base / name).exists()] == []


def test_modules_have_under_250_lines() -> None:
    """Each JavaScript module has under 250 lines."""
    lengths = {path.name: path.read_text().count("\n") for path in PLAYGROUND.rglob("*.js")}

    assert {name: length for name, length in lengths.items() if length >= 250} == {}


def test_page_loads_below_a_path_prefix(settings: Settings) -> None:
    """Behind a path prefix the page, its files and the API have valid relative addresses."""
    registry = build_registry(settings, open_fake_backend)
    registry.load()
    inner: FastAPI = create_app(settings, registry)
    with (
        run_server(Starlette(routes=[Mount("/tools/latentd", inner)])) as base,  # type: ignore[arg-type]
        httpx.Client(base_url=base, verify=TLS) as client,
    ):
        page = client.get("/tools/latentd/")
        files = [str(page.url.join(address)) for address in find_addresses(page.text)]
        statuses = [
            client.get(url).status_code for url in [*files, str(page.url.join("v1/models"))]
        ]

    assert page.status_code == 200
    assert len(statuses) > 6
    assert set(statuses) == {200}
