"""Foreign pages in a browser of this machine, where models may be loaded and unloaded."""

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
    write_bundle(folder, "bare", without=frozenset({"denoiser", "classes", "vae", "gan"}))
    return folder


@pytest.fixture(scope="module")
def opened(store: Path) -> Iterator[httpx.Client]:
    """A client of a service without keys that lets models be loaded."""
    settings = Settings(
        models_store=store,
        repository_control=True,
        watch_seconds=0,
        cors_origins=["https://a.example"],
    )
    with run_service(settings) as client:
        yield client


def own(client: httpx.Client) -> str:
    """Return the service's own origin."""
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
def test_a_foreign_page_changes_nothing(
    opened: httpx.Client, action: str, headers: dict[str, str]
) -> None:
    """What a browser sends from a page elsewhere is 403, in the protocol's form; models stay."""
    answer = opened.post(f"/v2/repository/models/bare/{action}", headers=headers)

    assert (answer.status_code, [*answer.json()]) == (403, ["error"])
    assert opened.get("/v2/models/bare.encoder/ready").status_code == 200


def test_own_and_allowed_pages_pass(opened: httpx.Client) -> None:
    """The service's own pages may load models, and those of origins that are set."""
    same = {"Origin": own(opened), "Sec-Fetch-Site": "same-origin"}
    allowed = {"Origin": "https://a.example", "Sec-Fetch-Site": "cross-site"}

    assert opened.post(LOAD, headers=same).status_code == 200
    assert opened.post(LOAD, headers=allowed).status_code == 200


def test_the_public_client_passes(opened: httpx.Client) -> None:
    """Who is no browser says nothing of pages, and is not asked."""
    client = triton.InferenceServerClient(f"{opened.base_url.host}:{opened.base_url.port}")

    client.load_model("bare")
    client.close()


def test_foreign_pages_may_look(opened: httpx.Client) -> None:
    """Only what changes is closed to them: the index is a question."""
    answer = opened.post("/v2/repository/index", headers={"Origin": "https://evil.example"})

    assert answer.status_code == 200


def test_with_keys_a_name_is_good_enough(store: Path) -> None:
    """Behind a name the service's own pages pass with a key, foreign ones do not even so."""
    settings = Settings(models_store=store, repository_control=True, api_keys=KEY.to_line())
    named = {"Host": "models.example", "X-API-Key": TEXT}
    with run_service(settings) as client:
        passed = client.post(LOAD, headers={"Origin": "https://models.example", **named})
        refused = client.post(LOAD, headers={"Origin": "https://evil.example", **named})

    assert (passed.status_code, refused.status_code) == (200, 403)
