"""The playground as it is served."""

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
    """Return what a page, a module or a style sheet loads or leads to."""
    return {next(filter(None, groups)) for groups in ADDRESSES.findall(text)}


def test_the_first_page_is_the_playground(client: httpx.Client) -> None:
    """A browser that opens the service's address sees the playground, under a strict policy."""
    answer = client.get("/")

    policy = answer.headers.get_list("Content-Security-Policy")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert len(policy) == 1
    assert "default-src 'none'" in policy[0]
    assert "unsafe" not in policy[0]
    assert "<script>" not in answer.text
    assert not re.search(r"\bstyle=|\bon[a-z]+=", answer.text)


def test_every_file_is_served(client: httpx.Client) -> None:
    """Each module, style and font is there, with a type that browsers take."""
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
        answer = client.get(f"/static/playground/{path.relative_to(PLAYGROUND)}")
        assert answer.status_code == 200
        assert types[path.suffix] in answer.headers["Content-Type"]


def test_everything_loaded_is_relative_and_there() -> None:
    """No file of the page names a host or an absolute path, and what it names exists."""
    for path in PLAYGROUND.rglob("*.*"):
        if path.suffix not in {".js", ".css", ".html"}:
            continue
        addresses = find_addresses(path.read_text())
        assert not [address for address in addresses if re.match(r"[a-z]+:|/", address)]
        base = PLAYGROUND if path.suffix == ".html" else path.parent
        files = {address.removeprefix("static/playground/") for address in addresses - {"docs"}}
        assert [name for name in files if not (base / name).exists()] == []


def test_modules_are_small() -> None:
    """Each module does one thing, in under 250 lines."""
    lengths = {path.name: path.read_text().count("\n") for path in PLAYGROUND.rglob("*.js")}

    assert {name: length for name, length in lengths.items() if length >= 250} == {}


def test_it_works_below_a_prefix(settings: Settings) -> None:
    """Behind a proxy's prefix the page, its files and the API are found by relative addresses."""
    registry = build_registry(settings, open_fake_backend)
    registry.load()
    inner: FastAPI = create_app(settings, registry)
    with (
        run_server(Starlette(routes=[Mount("/tools/latentd", inner)])) as base,  # type: ignore[arg-type]
        httpx.Client(base_url=base, verify=TLS) as client,
    ):
        page = client.get("/tools/latentd/")
        files = [str(page.url.join(address)) for address in find_addresses(page.text)]
        answers = [client.get(url).status_code for url in [*files, str(page.url.join("v1/models"))]]

    assert page.status_code == 200
    assert len(answers) > 6
    assert set(answers) == {200}
