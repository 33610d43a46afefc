"""Health routes and documentation pages."""

import re
from pathlib import Path

import httpx
import pytest

from service.settings import Settings
from tests.support.fakes import write_bundle
from tests.support.servers import run_service

URLS = re.compile(r"""(?:src|href)=["']([^"']+)["']|url: ["']([^"']+)["']|spec-url=["']([^"']+)""")


def test_livez_reports_alive(client: httpx.Client) -> None:
    """A running process reports that it is alive."""
    response = client.get("/livez")

    assert (response.status_code, response.json()) == (200, {"status": "alive"})


def test_readyz_reports_ready(client: httpx.Client) -> None:
    """The service is ready when every model is loaded."""
    response = client.get("/readyz")

    expected = {"status": "ready", "missing": [], "store": "ok"}
    assert (response.status_code, response.json()) == (200, expected)


@pytest.fixture
def spoiled_store(tmp_path: Path) -> Path:
    """A store with a valid bundle and a bundle with a changed file."""
    write_bundle(tmp_path, "good")
    spoiled = write_bundle(tmp_path, "spoiled")
    (spoiled.folder / "encoder.onnx").write_bytes(b"changed")
    return tmp_path


def test_readyz_names_missing_models(spoiled_store: Path) -> None:
    """With `skip_broken_models` valid models respond, and `/readyz` is 503 with the missing one."""
    with run_service(Settings(models_store=spoiled_store, skip_broken_models=True)) as client:
        ready = client.get("/readyz")
        sample = client.post("/v1/sample")
        rejected = client.post("/v1/sample?model=spoiled")

    assert ready.status_code == 503
    assert ready.headers["Retry-After"] == "1"
    assert ready.json()["status"] == "not ready"
    assert [text.split(":")[0] for text in ready.json()["missing"]] == ["spoiled@1"]
    assert "encoder.onnx" in ready.json()["missing"][0]
    assert str(spoiled_store) not in ready.text
    assert sample.headers["X-Model"] == "good@1"
    assert rejected.status_code == 404


def test_broken_default_model_is_not_replaced(spoiled_store: Path) -> None:
    """No other model replaces a default model that failed to load."""
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
def test_documentation_pages_work_offline(client: httpx.Client, page: str) -> None:
    """Every address in a documentation page belongs to the service and exists."""
    response = client.get(page)

    urls = {next(filter(None, groups)) for groups in URLS.findall(response.text)}
    assert response.headers["Content-Type"].startswith("text/html")
    assert "openapi.json" in urls
    assert len(urls) >= 3
    assert not re.search(r"https?://", response.text)
    assert [client.get(url).status_code for url in urls] == [200] * len(urls)


def test_static_files_have_their_content_types(client: httpx.Client) -> None:
    """Scripts and style sheets have the content types that browsers require."""
    types = {
        name: client.get(f"/static/{name}").headers["Content-Type"].partition(";")[0]
        for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")
    }

    assert types["swagger-ui-bundle.js"] in {"text/javascript", "application/javascript"}
    assert (types["swagger-ui.css"], types["favicon.png"]) == ("text/css", "image/png")
