"""Fixtures: the whole application on a fake backend, behind a real server."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app import build_registry, create_app
from service.artifact import ImageSpec
from service.settings import Settings
from tests.support.fakes import IMAGE, open_fake_backend, write_bundle
from tests.support.image_files import make_png, to_base64
from tests.support.problem_checks import check_problem
from tests.support.servers import TLS, run_server

COLOUR = ImageSpec(channels=3, height=6, width=6, background=(0.0, 0.0, 0.0))


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a full bundle in two versions, a colour bundle and a minimal bundle."""
    folder = tmp_path_factory.mktemp("store")
    write_bundle(folder, "full", image=IMAGE)
    write_bundle(folder, "full", image=IMAGE)
    write_bundle(folder, "colour", image=COLOUR)
    write_bundle(
        folder,
        "bare",
        without=frozenset({"denoiser", "classes", "vae", "gan", "extras", "detectors"}),
    )
    return folder


@pytest.fixture(scope="session")
def settings(store: Path) -> Settings:
    """Low limits that tests can exceed."""
    return Settings(
        models_store=store,
        default_model="full",
        max_body_bytes=100_000,
        max_images=20,
        max_pixels=40_000,
        max_samples=300,
    )


@pytest.fixture(scope="session")
def url(settings: Settings) -> Iterator[str]:
    """The base URL of the running service."""
    registry = build_registry(settings, open_fake_backend)
    registry.load()
    with run_server(create_app(settings, registry)) as base:
        yield base


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    """A client of the running service."""
    with httpx.Client(base_url=url, verify=TLS) as opened:
        yield opened


@pytest.fixture
def expect_problem(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> Iterator[Callable[..., dict[str, Any]]]:
    """Return a function that sends a request and checks that its response is a problem.

    After the test the service must be alive, have logged no traceback and respond as before.
    """
    valid = {"json": {"images": [to_base64(make_png(77))], "encoding": "array"}}
    before = client.post("/v1/reconstruct", **valid).content

    def send(status: int, path: str, method: str = "POST", **request: Any) -> dict[str, Any]:  # noqa: ANN401 - as httpx
        return check_problem(client.request(method, path, **request), status)

    yield send

    assert client.get("/livez").status_code == 200
    assert client.post("/v1/reconstruct", **valid).content == before
    assert [record for record in caplog.records if record.exc_info] == []
