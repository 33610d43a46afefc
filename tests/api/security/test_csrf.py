"""Requests from other origins to a service that allows loading and unloading models."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tritonclient import http as triton

from service.http.api_keys import ADMIN, make_key
from service.settings import Settings
from tests.support.fakes import write_bundle
from tests.support.servers import run_service

TEXT, KEY = make_key("ops", frozenset({ADMIN}))
LOAD = "/v2/repository/models/bare/load"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one bundle."""
    folder = tmp_path_factory.mktemp("store")
    write_bundle(
        folder, "bare", without=frozenset({"denoiser", "classes", "vae", "gan", "detectors"})
    )
    return folder


@pytest.fixture(scope="module")
def control_client(store: Path) -> Iterator[httpx.Client]:
    """A client of a service without API keys that allows loading models."""
    settings = Settings(
        models_store=store,
        repository_control=True,
        watch_seconds=0,
        cors_origins=["https://a.example"],
    )
    with run_service(settings) as client:
        yield client


def get_origin(client: httpx.Client) -> str:
    """Return the origin of the service."""
    return str(client.base_url).rstrip("/")


@pytest.mark.parametrize("action", ["load", "unload"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://evil.example:8000", "Host": "evil.example:8000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_foreign_origin_cannot_change_models(
    control_client: httpx.Client, action: str, headers: dict[str, str]
) -> None:
    """Load and unload requests from another origin are rejected with 403 and change no model."""
    response = control_client.post(f"/v2/repository/models/bare/{action}", headers=headers)

    assert (response.status_code, [*response.json()]) == (403, ["error"])
    assert control_client.get("/v2/models/bare.encoder/ready").status_code == 200


def test_same_and_configured_origins_may_change_models(control_client: httpx.Client) -> None:
    """Pages of the service and of configured origins may load models."""
    same_origin = {"Origin": get_origin(control_client), "Sec-Fetch-Site": "same-origin"}
    allowed = {"Origin": "https://a.example", "Sec-Fetch-Site": "cross-site"}

    assert control_client.post(LOAD, headers=same_origin).status_code == 200
    assert control_client.post(LOAD, headers=allowed).status_code == 200


def test_request_without_origin_is_accepted(control_client: httpx.Client) -> None:
    """A client that is not a browser sends no origin and may load models."""
    client = triton.InferenceServerClient(
        f"{control_client.base_url.host}:{control_client.base_url.port}"
    )

    client.load_model("bare")
    client.close()


def test_foreign_origin_may_read_the_index(control_client: httpx.Client) -> None:
    """Another origin may read the index, since that changes nothing."""
    response = control_client.post(
        "/v2/repository/index", headers={"Origin": "https://evil.example"}
    )

    assert response.status_code == 200


def test_host_name_is_accepted_with_api_keys(store: Path) -> None:
    """With API keys, pages under the service's host name may load models; other origins may not."""
    settings = Settings(models_store=store, repository_control=True, api_keys=KEY.to_line())
    named = {"Host": "models.example", "X-API-Key": TEXT}
    with run_service(settings) as client:
        accepted = client.post(LOAD, headers={"Origin": "https://models.example", **named})
        rejected = client.post(LOAD, headers={"Origin": "https://evil.example", **named})

    assert (accepted.status_code, rejected.status_code) == (200, 403)
