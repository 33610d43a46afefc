"""The model repository extension, by the public client and by hand, and the watch behind it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tritonclient import http as triton
from tritonclient.utils import InferenceServerException

from service.artifact import ImageSpec
from service.settings import Settings
from tests.support.fakes import write_bundle
from tests.support.image_files import make_png, to_base64
from tests.support.servers import run_service, wait_until

ENCODE = {"images": [to_base64(make_png(77))]}


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that lacks most; not to be changed."""
    folder = tmp_path_factory.mktemp("published")
    write_bundle(folder, "bare", without=frozenset({"denoiser", "classes", "vae", "gan"}))
    return folder


@pytest.fixture
def store(published: Path, tmp_path: Path) -> Path:
    """A copy of the published bundle."""
    return shutil.copytree(published, tmp_path / "store")


@pytest.fixture
def controlled(store: Path) -> Iterator[httpx.Client]:
    """A client of a service whose models may be loaded and unloaded, and are not watched."""
    settings = Settings(models_store=store, repository_control=True, watch_seconds=0)
    with run_service(settings) as client:
        yield client


@pytest.fixture(scope="module")
def steady(published: Path) -> Iterator[httpx.Client]:
    """A client of such a service, for what changes nothing."""
    settings = Settings(models_store=published, repository_control=True, watch_seconds=0)
    with run_service(settings) as client:
        yield client


@pytest.fixture
def watched(store: Path) -> Iterator[httpx.Client]:
    """A client of a service that looks at its store all the time."""
    with run_service(Settings(models_store=store, watch_seconds=0.02)) as client:
        yield client


def connect(client: httpx.Client) -> triton.InferenceServerClient:
    """Return the public client, unmodified."""
    return triton.InferenceServerClient(f"{client.base_url.host}:{client.base_url.port}")


def spoil(store: Path, version: int) -> None:
    """Put a version into the store that must not be served."""
    folder = shutil.copytree(store / "bare" / "1", store / "bare" / str(version))
    (folder / "encoder.onnx").write_bytes(b"changed")


def index(client: httpx.Client, **body: object) -> list[dict[str, Any]]:
    """Return the repository's index."""
    listed: list[dict[str, Any]] = client.post("/v2/repository/index", json=body).json()
    return listed


def test_the_public_client_controls_the_repository(controlled: httpx.Client, store: Path) -> None:
    """`get_model_repository_index`, `load_model` and `unload_model` do what they say."""
    client = connect(controlled)
    assert "model_repository" in client.get_server_metadata()["extensions"]
    assert client.get_model_repository_index() == [
        {"name": f"bare.{network}", "version": "1", "state": "READY", "reason": ""}
        for network in ("encoder", "decoder")
    ]

    write_bundle(store, "bare")
    client.load_model("bare")
    assert client.is_model_ready("bare.denoiser", "2")

    client.unload_model("bare.encoder")
    assert not client.is_model_ready("bare.encoder")
    assert {entry["state"] for entry in client.get_model_repository_index()} == {"UNAVAILABLE"}
    assert controlled.post("/v1/encode", json=ENCODE).status_code == 404

    client.load_model("bare.encoder")
    assert client.is_model_ready("bare.encoder", "2")
    client.close()


def test_the_index_of_the_ready(controlled: httpx.Client, store: Path) -> None:
    """A refused version is listed with the reason, and left out where only the ready are wanted."""
    spoil(store, 2)
    refused = controlled.post("/v2/repository/models/bare/load")

    assert refused.status_code == 400
    assert refused.json()["error"].startswith("bare@2: encoder.onnx")
    (bad,) = {(one["state"], one["reason"]) for one in index(controlled) if one["version"] == "2"}
    assert bad == ("UNAVAILABLE", refused.json()["error"])
    assert {one["version"] for one in index(controlled, ready=True)} == {"1"}
    assert controlled.post("/v1/encode", json=ENCODE).headers["X-Model"] == "bare@1"
    assert controlled.get("/readyz").status_code == 200


def test_a_bundle_that_never_was_good_stands_under_its_name(
    controlled: httpx.Client, store: Path
) -> None:
    """Where no network is known the index names the bundle."""
    (store / "new" / "1").mkdir(parents=True)

    assert controlled.post("/v2/repository/models/new/load").status_code == 400
    assert [(one["name"], one["state"]) for one in index(controlled)][-1] == ("new", "UNAVAILABLE")


@pytest.mark.parametrize("name", ["other", "other.encoder", "%2e%2e", "a%2fb", "bare@1", "a" * 300])
@pytest.mark.parametrize("action", ["load", "unload"])
def test_unknown_bundles(steady: httpx.Client, name: str, action: str) -> None:
    """A name that the store does not hold is 404, whatever it looks like."""
    answer = steady.post(f"/v2/repository/models/{name}/{action}")

    assert answer.status_code == 404
    assert set(answer.json()) == {"error"}


@pytest.mark.parametrize(
    "body",
    [
        {"url": "http://127.0.0.1:9/"},
        {"model_url": "http://127.0.0.1:9/"},
        {"path": "/etc"},
        {"uri": "file:///etc"},
        {"parameters": {"config": "{}"}},
        {"parameters": {"file:1/model.onnx": "AA=="}},
        {"parameters": {"url": "http://127.0.0.1:9/"}},
        {"parameters": []},
        [],
    ],
)
def test_nothing_is_loaded_from_elsewhere(steady: httpx.Client, body: object) -> None:
    """Addresses, paths, files and configurations are refused."""
    answer = steady.post("/v2/repository/models/bare/load", json=body)

    assert answer.status_code == 400
    assert set(answer.json()) == {"error"}


def test_nothing_is_loaded_from_elsewhere_by_the_query(steady: httpx.Client) -> None:
    """Query parameters are refused, too."""
    answer = steady.post("/v2/repository/models/bare/load?url=http://127.0.0.1:9/")

    assert answer.status_code == 400


def test_overrides_of_the_public_client_are_refused(steady: httpx.Client) -> None:
    """A configuration that the client would override is an error that it raises."""
    client = connect(steady)

    with pytest.raises(InferenceServerException, match=r"parameters\.config"):
        client.load_model("bare", config="{}")
    client.close()


@pytest.mark.parametrize("action", ["load", "unload"])
def test_control_is_off_by_default(watched: httpx.Client, action: str) -> None:
    """Without the setting there is no such path."""
    assert watched.post(f"/v2/repository/models/bare/{action}").status_code == 404
    assert len(index(watched)) == 2


def test_a_store_that_cannot_be_read(controlled: httpx.Client, store: Path) -> None:
    """A load from a lost store is 503 without its path; what is loaded serves on."""
    store.rename(store.with_name("moved"))

    answer = controlled.post("/v2/repository/models/bare/load")

    assert answer.status_code == 503
    assert answer.json() == {"error": "the models store cannot be read"}
    assert controlled.get("/readyz").json() == {
        "status": "ready",
        "missing": [],
        "store": "degraded",
    }
    assert controlled.post("/v1/encode", json=ENCODE).status_code == 200


def test_a_published_version_is_served_soon(watched: httpx.Client, store: Path) -> None:
    """What is published into the store answers without a restart."""
    write_bundle(store, "bare")

    wait_until(lambda: watched.post("/v1/encode", json=ENCODE).headers["X-Model"] == "bare@2")
    assert watched.get("/v1/models/bare").json()["versions"] == [2, 1]


def test_examples_follow_the_default_model(watched: httpx.Client, store: Path) -> None:
    """The OpenAPI document's examples fit the default model, also when its shape changes."""

    def get_example() -> dict[str, Any]:
        paths = watched.get("/openapi.json").json()["paths"]
        example: dict[str, Any] = paths["/v1/reconstruct"]["post"]["requestBody"]["content"][
            "application/json"
        ]["example"]
        return example

    before = get_example()
    write_bundle(store, "bare", image=ImageSpec(channels=1, height=9, width=9))

    wait_until(lambda: get_example() != before)
    answer = watched.post("/v1/reconstruct?encoding=array", json=get_example())
    assert len(answer.json()["images"][0][0]) == 9
