"""The model repository extension, called by the public client and directly, and the watch."""

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
    """A read-only store with one bundle that has few networks."""
    folder = tmp_path_factory.mktemp("published")
    write_bundle(
        folder, "bare", without=frozenset({"denoiser", "classes", "vae", "gan", "detectors"})
    )
    return folder


@pytest.fixture
def store(published: Path, tmp_path: Path) -> Path:
    """A copy of the published store."""
    return shutil.copytree(published, tmp_path / "store")


@pytest.fixture
def controlled(store: Path) -> Iterator[httpx.Client]:
    """A client of a service with repository control and without a watch."""
    settings = Settings(models_store=store, repository_control=True, watch_seconds=0)
    with run_service(settings) as client:
        yield client


@pytest.fixture(scope="module")
def steady(published: Path) -> Iterator[httpx.Client]:
    """A client of the same kind of service, for requests that change nothing."""
    settings = Settings(models_store=published, repository_control=True, watch_seconds=0)
    with run_service(settings) as client:
        yield client


@pytest.fixture
def watched(store: Path) -> Iterator[httpx.Client]:
    """A client of a service that checks its store every 20 ms."""
    with run_service(Settings(models_store=store, watch_seconds=0.02)) as client:
        yield client


def connect(client: httpx.Client) -> triton.InferenceServerClient:
    """Return the public Triton client, unmodified."""
    return triton.InferenceServerClient(f"{client.base_url.host}:{client.base_url.port}")


def publish_broken(store: Path, version: int) -> None:
    """Publish a version with a damaged file."""
    folder = shutil.copytree(store / "bare" / "1", store / "bare" / str(version))
    (folder / "encoder.onnx").write_bytes(b"changed")


def index(client: httpx.Client, **body: object) -> list[dict[str, Any]]:
    """Return the repository's index."""
    listed: list[dict[str, Any]] = client.post("/v2/repository/index", json=body).json()
    return listed


def test_public_client_controls_the_repository(controlled: httpx.Client, store: Path) -> None:
    """`get_model_repository_index`, `load_model` and `unload_model` work with the service."""
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


def test_rejected_version_in_the_index(controlled: httpx.Client, store: Path) -> None:
    """The index lists a rejected version with the reason; `ready` excludes it."""
    publish_broken(store, 2)
    rejected = controlled.post("/v2/repository/models/bare/load")

    assert rejected.status_code == 400
    assert rejected.json()["error"].startswith("bare@2: encoder.onnx")
    states = {entry["version"]: (entry["state"], entry["reason"]) for entry in index(controlled)}
    assert states["2"] == ("UNAVAILABLE", rejected.json()["error"])
    assert {entry["version"] for entry in index(controlled, ready=True)} == {"1"}
    assert controlled.post("/v1/encode", json=ENCODE).headers["X-Model"] == "bare@1"
    assert controlled.get("/readyz").status_code == 200


def test_bundle_without_known_networks_in_the_index(controlled: httpx.Client, store: Path) -> None:
    """The index lists a bundle that has never been loaded by the bundle's name."""
    (store / "new" / "1").mkdir(parents=True)

    assert controlled.post("/v2/repository/models/new/load").status_code == 400
    assert [(entry["name"], entry["state"]) for entry in index(controlled)][-1] == (
        "new",
        "UNAVAILABLE",
    )


@pytest.mark.parametrize("name", ["other", "other.encoder", "%2e%2e", "a%2fb", "bare@1", "a" * 300])
@pytest.mark.parametrize("action", ["load", "unload"])
def test_unknown_bundles(steady: httpx.Client, name: str, action: str) -> None:
    """A name that is not in the store is 404, including names that look like paths."""
    response = steady.post(f"/v2/repository/models/{name}/{action}")

    assert response.status_code == 404
    assert set(response.json()) == {"error"}


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
def test_load_rejects_other_locations(steady: httpx.Client, body: object) -> None:
    """A load rejects URLs, paths, files and configurations in its body."""
    response = steady.post("/v2/repository/models/bare/load", json=body)

    assert response.status_code == 400
    assert set(response.json()) == {"error"}


def test_load_rejects_query_parameters(steady: httpx.Client) -> None:
    """A load rejects query parameters."""
    response = steady.post("/v2/repository/models/bare/load?url=http://127.0.0.1:9/")

    assert response.status_code == 400


def test_load_rejects_overrides_of_the_public_client(steady: httpx.Client) -> None:
    """The public client raises the error for a configuration override."""
    client = connect(steady)

    with pytest.raises(InferenceServerException, match=r"parameters\.config"):
        client.load_model("bare", config="{}")
    client.close()


@pytest.mark.parametrize("action", ["load", "unload"])
def test_control_is_disabled_by_default(watched: httpx.Client, action: str) -> None:
    """Without `repository_control`, load and unload are 404 and the index works."""
    assert watched.post(f"/v2/repository/models/bare/{action}").status_code == 404
    assert len(index(watched)) == 2


def test_unreadable_store(controlled: httpx.Client, store: Path) -> None:
    """A load is 503, without the store's path; loaded models still work."""
    store.rename(store.with_name("moved"))

    response = controlled.post("/v2/repository/models/bare/load")

    assert response.status_code == 503
    assert response.json() == {"error": "The models store cannot be read or is empty."}
    assert controlled.get("/readyz").json() == {
        "status": "ready",
        "missing": [],
        "store": "degraded",
    }
    assert controlled.post("/v1/encode", json=ENCODE).status_code == 200


def test_watch_loads_a_published_version(watched: httpx.Client, store: Path) -> None:
    """A version that is published into the store is loaded without a restart."""
    write_bundle(store, "bare")

    wait_until(lambda: watched.post("/v1/encode", json=ENCODE).headers["X-Model"] == "bare@2")
    assert watched.get("/v1/models/bare").json()["versions"] == [2, 1]


def test_openapi_examples_match_the_default_model(watched: httpx.Client, store: Path) -> None:
    """The OpenAPI examples follow a change of the default model's image size."""

    def get_example() -> dict[str, Any]:
        paths = watched.get("/openapi.json").json()["paths"]
        example: dict[str, Any] = paths["/v1/reconstruct"]["post"]["requestBody"]["content"][
            "application/json"
        ]["example"]
        return example

    before = get_example()
    write_bundle(store, "bare", image=ImageSpec(channels=1, height=9, width=9))

    wait_until(lambda: get_example() != before)
    response = watched.post("/v1/reconstruct?encoding=array", json=get_example())
    assert len(response.json()["images"][0][0]) == 9


def test_lost_file_of_a_loaded_version_in_the_index(watched: httpx.Client, store: Path) -> None:
    """A loaded version that loses a file stays READY, and the index shows the reason."""
    (store / "bare" / "1" / "encoder.onnx").unlink()

    wait_until(lambda: all(entry["reason"] for entry in index(watched)))
    assert {(entry["state"], entry["reason"]) for entry in index(watched)} == {
        ("READY", "bare@1: encoder.onnx cannot be read: No such file or directory")
    }
    assert watched.post("/v1/encode", json=ENCODE).status_code == 200


@pytest.mark.parametrize("file", ["maps/autoencoder", "report"])
def test_extras_of_a_removed_version(controlled: httpx.Client, store: Path, file: str) -> None:
    """The map and the report of a loaded version are 409 after it is removed from the store."""
    path = f"/v1/models/bare/{file}"
    before = controlled.get(path)
    shutil.rmtree(store / "bare" / "1")

    after = controlled.get(path)

    assert (before.status_code, after.status_code) == (200, 409)
    assert "bare@1 is loaded, but the models store no longer has its" in after.json()["detail"]
    assert str(store) not in after.text
