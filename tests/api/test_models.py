"""The routes that list and describe what is served."""

from collections.abc import Callable

import httpx
import numpy as np
import pytest

from service.api.model_info import MapInfo, ModelInfo, ModelList
from service.api.models import _round
from tests.support.fakes import CLASSES, LATENT_SIZE, REPORT, make_map
from tests.support.image_files import make_png, to_base64


def test_the_highest_version_of_each_model_is_listed(client: httpx.Client) -> None:
    """Names come in order, each with its highest version and all versions that are served."""
    listed = ModelList.model_validate_json(client.get("/v1/models").content).models

    assert [(info.name, info.version) for info in listed] == [
        ("bare", 1),
        ("colour", 1),
        ("full", 2),
    ]
    assert listed[2].versions == [2, 1]


def test_one_model_is_the_default(client: httpx.Client) -> None:
    """Exactly the model that answers when none is named says so."""
    listed = client.get("/v1/models").json()["models"]

    assert [info["name"] for info in listed if info["default"]] == ["full"]


def test_a_model_is_described(client: httpx.Client) -> None:
    """A description holds what a client needs to make and read requests."""
    info = ModelInfo.model_validate_json(client.get("/v1/models/full").content)

    assert info.image.shape == (1, 8, 6)
    assert info.classes == list(CLASSES)
    assert info.spaces == {
        "autoencoder": {"latent_size": LATENT_SIZE},
        "vae": {"latent_size": LATENT_SIZE},
    }
    assert {(source.name, source.space, source.class_conditional) for source in info.sources} == {
        ("kde", "autoencoder", True),
        ("prior", "vae", False),
        ("gan", "gan", False),
        ("gan-filtered", "autoencoder", False),
    }
    assert {source.name for source in info.sources if source.quality} == {"kde"}
    assert info.sources[0].quality["recognisable"].value == 92
    assert info.default_source == "kde"
    assert info.metrics["reconstruction_mse"].value == 0.01
    assert info.provenance["seed"] == 0


def test_every_stored_form_has_its_checksum(client: httpx.Client) -> None:
    """Each network tells its tensors, and of each format the file, its size and its sha256."""
    networks = client.get("/v1/models/full").json()["networks"]

    assert networks["encoder"]["input"] == {"name": "images", "shape": [1, 8, 6]}
    assert networks["vae_encoder"]["outputs"][1]["name"] == "log_variances"
    forms = [form for network in networks.values() for form in network["formats"].values()]
    assert len(forms) == 14
    assert all(len(form["sha256"]) == 64 and form["bytes"] > 0 for form in forms)


@pytest.mark.parametrize(
    ("model", "missing"),
    [("full", set()), ("colour", set()), ("bare", {"denoise", "classify"})],
)
def test_the_operations_are_those_that_work(
    client: httpx.Client, model: str, missing: set[str]
) -> None:
    """What is listed is answered, and what is not listed is 409."""
    listed = set(client.get(f"/v1/models/{model}").json()["operations"])
    body = {"images": [to_base64(make_png())]}

    every = {"encode", "decode", "reconstruct", "denoise", "classify", "sample", "interpolate"}
    assert every - listed == missing
    for operation in ("denoise", "classify"):
        answer = client.post(f"/v1/{operation}?model={model}", json=body)
        assert answer.status_code == (409 if operation in missing else 200)


def test_a_version_is_described_on_its_own(client: httpx.Client) -> None:
    """`name@version` describes that version; its digest is the one that answers carry."""
    first = client.get("/v1/models/full@1").json()
    second = client.get("/v1/models/full@2").json()

    assert (first["version"], second["version"]) == (1, 2)
    answer = client.post("/v1/sample?model=full@2")
    assert answer.headers["X-Model-Digest"] == second["digest"]


def test_maps_and_the_report_are_named(client: httpx.Client) -> None:
    """A description lists the spaces that have a map and the path of the report, both optional."""
    full, bare = (client.get(f"/v1/models/{name}").json() for name in ("full", "bare"))

    assert full["maps"] == ["autoencoder", "vae"]
    assert full["report"] == "/v1/models/full@2/report"
    assert (bare["maps"], bare["report"]) == ([], None)


@pytest.mark.parametrize("model", ["full", "full@1"])
def test_a_map_is_given(client: httpx.Client, model: str) -> None:
    """A map holds codes with labels, two projections, and the plane of the first."""
    answer = client.get(f"/v1/models/{model}/maps/vae")

    found = MapInfo.model_validate(answer.json(), extra="forbid")
    stored = make_map()
    assert found.space == "vae"
    assert found.labels == [0, 1, 2]
    np.testing.assert_allclose(found.latents, stored.codes, atol=1e-3)
    np.testing.assert_allclose(found.projections.pca, stored.pca, atol=1e-3)
    np.testing.assert_allclose(found.projections.tsne, stored.tsne, atol=1e-3)
    np.testing.assert_allclose(found.pca.mean, stored.mean)
    np.testing.assert_allclose(found.pca.components, stored.components)
    assert answer.headers["X-Model"] == ("full@1" if "@" in model else "full@2")


def test_points_have_four_digits_of_their_columns_largest() -> None:
    """Each column is as precise as its own scale asks for; zeros stay zeros."""
    points = np.array([[123.456, 0.00123456, 0], [1.23456, 0.0000123456, 0]], np.float32)

    rounded = _round(points)

    assert rounded.tolist() == np.array([[123.5, 0.001235, 0], [1.2, 0.000012, 0]], "f4").tolist()


def test_the_report_is_a_page_that_may_load_nothing(client: httpx.Client) -> None:
    """The report comes as HTML that may show pictures of its own and run no script."""
    answer = client.get(client.get("/v1/models/full").json()["report"])

    assert answer.content == REPORT
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline';")
    assert "script" not in policy


@pytest.mark.parametrize("extra", ["maps/autoencoder", "report"])
def test_what_a_client_has_is_not_sent_again(client: httpx.Client, extra: str) -> None:
    """The tag stands for the bundle: 304 with the same headers as long as it is served."""
    first = client.get(f"/v1/models/full/{extra}")
    tag = first.headers["ETag"]
    assert tag == f'"{client.get("/v1/models/full").json()["digest"]}"'

    again = client.get(f"/v1/models/full/{extra}", headers={"If-None-Match": f'"x", W/{tag}'})
    other = client.get(f"/v1/models/full/{extra}", headers={"If-None-Match": '"x"'})

    assert (again.status_code, again.content) == (304, b"")
    for header in ("ETag", "Cache-Control", "Content-Security-Policy"):
        assert again.headers[header] == first.headers[header]
    assert first.headers["Cache-Control"] == "private, no-cache"
    assert other.content == first.content


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("none/maps/vae", 404, "full@2"),
        ("none/report", 404, "full@2"),
        ("full@9/maps/vae", 404, "full@2"),
        ("bare/maps/autoencoder", 409, "full@2"),
        ("full/maps/nowhere", 409, "have it: none"),
        ("bare/report", 409, "colour@1, full@2, full@1"),
    ],
)
def test_an_extra_that_is_not_there_is_told(
    refuse: Callable[..., dict[str, str]], path: str, status: int, told: str
) -> None:
    """404 for an unknown model, 409 for one that lacks it, with those that have it."""
    assert told in refuse(status, f"/v1/models/{path}", "GET")["detail"]
