"""Health, and the documentation pages."""

import re
from pathlib import Path

import httpx
import pytest

from service.settings import Settings
from tests.support.fakes import write_bundle
from tests.support.servers import run_service

URLS = re.compile(r"""(?:src|href)=["']([^"']+)["']|url: ["']([^"']+)["']|spec-url=["']([^"']+)""")


def test_livez(client: httpx.Client) -> None:
    """A process that answers is alive."""
    answer = client.get("/livez")

    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


def test_readyz(client: httpx.Client) -> None:
    """With every model loaded the service is ready."""
    answer = client.get("/readyz")

    told = {"status": "ready", "missing": [], "store": "ok"}
    assert (answer.status_code, answer.json()) == (200, told)


@pytest.fixture
def spoiled_store(tmp_path: Path) -> Path:
    """A store with a good bundle and one of which a file was changed."""
    write_bundle(tmp_path, "good")
    spoiled = write_bundle(tmp_path, "spoiled")
    (spoiled.folder / "encoder.onnx").write_bytes(b"changed")
    return tmp_path


def test_readyz_names_what_is_missing(spoiled_store: Path) -> None:
    """With skip_broken_models the other models answer, and 503 names the one left out and why."""
    with run_service(Settings(models_store=spoiled_store, skip_broken_models=True)) as client:
        ready = client.get("/readyz")
        sample = client.post("/v1/sample")
        refused = client.post("/v1/sample?model=spoiled")

    assert ready.status_code == 503
    assert ready.headers["Retry-After"] == "1"
    assert ready.json()["status"] == "not ready"
    assert [text.split(":")[0] for text in ready.json()["missing"]] == ["spoiled@1"]
    assert "encoder.onnx" in ready.json()["missing"][0]
    assert str(spoiled_store) not in ready.text
    assert sample.headers["X-Model"] == "good@1"
    assert refused.status_code == 404


def test_a_default_that_is_left_out_is_not_replaced(spoiled_store: Path) -> None:
    """Where the default model itself is broken no other answers in its name."""
    settings = Settings(
        models_store=spoiled_store, skip_broken_models=True, default_model="spoiled"
    )
    with run_service(settings) as client:
        unnamed = client.post("/v1/sample")
        named = client.post("/v1/sample?model=good")
        document = client.get("/openapi.json")

    assert unnamed.status_code == 404
    assert "'spoiled'" in unnamed.json()["detail"]
    assert named.status_code == 200
    assert document.status_code == 200
    assert '"example"' not in document.text


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_documentation_needs_no_internet(client: httpx.Client, page: str) -> None:
    """Every address in a documentation page is the service's own, and answers."""
    answer = client.get(page)

    urls = {next(filter(None, groups)) for groups in URLS.findall(answer.text)}
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "/openapi.json" in urls
    assert len(urls) >= 3
    assert not re.search(r"https?://", answer.text)
    assert [client.get(url).status_code for url in urls] == [200] * len(urls)


def test_static_files_are_named_by_their_types(client: httpx.Client) -> None:
    """Scripts and styles come with types that browsers run."""
    types = {
        name: client.get(f"/static/{name}").headers["Content-Type"].partition(";")[0]
        for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")
    }

    assert types["swagger-ui-bundle.js"] in {"text/javascript", "application/javascript"}
    assert (types["swagger-ui.css"], types["favicon.png"]) == ("text/css", "image/png")
