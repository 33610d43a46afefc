"""The routes that list and describe the loaded models."""

import base64
from collections.abc import Callable

import httpx
import numpy as np
import pytest

from service.api.model_info import ExampleList, MapInfo, ModelInfo, ModelList, SpaceInfo
from service.api.models import _round
from tests.support.fakes import CLASSES, LATENT_SIZE, REPORT, make_map
from tests.support.image_files import make_png, read_png, to_base64
from tests.support.problem_checks import OPERATIONS


def test_list_has_the_highest_version_of_each_model(client: httpx.Client) -> None:
    """The list is sorted by name; an entry has the highest version and all loaded versions."""
    listed = ModelList.model_validate_json(client.get("/v1/models").content).models

    assert [(info.name, info.version) for info in listed] == [
        ("bare", 1),
        ("colour", 1),
        ("full", 2),
    ]
    assert listed[2].versions == [2, 1]


def test_exactly_one_model_is_the_default(client: httpx.Client) -> None:
    """Only the default model is marked as the default."""
    listed = client.get("/v1/models").json()["models"]

    assert [info["name"] for info in listed if info["default"]] == ["full"]


def test_description_has_spaces_sources_and_metrics(client: httpx.Client) -> None:
    """A description contains the information that a client needs for its requests."""
    info = ModelInfo.model_validate_json(client.get("/v1/models/full").content)

    assert info.image.shape == (1, 8, 6)
    assert info.classes == list(CLASSES)
    assert info.spaces == {
        "autoencoder": SpaceInfo(latent_size=LATENT_SIZE, shape=(LATENT_SIZE,)),
        "vae": SpaceInfo(latent_size=LATENT_SIZE, shape=(LATENT_SIZE,)),
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


def test_description_has_tensors_and_checksums(client: httpx.Client) -> None:
    """A description lists each network's tensors and the name, size and SHA-256 of each file."""
    networks = client.get("/v1/models/full").json()["networks"]

    assert networks["encoder"]["input"] == {"name": "images", "shape": [1, 8, 6]}
    assert networks["vae_encoder"]["outputs"][1]["name"] == "log_variances"
    files = [file for network in networks.values() for file in network["formats"].values()]
    assert len(files) == 16
    assert all(len(file["sha256"]) == 64 and file["bytes"] > 0 for file in files)


@pytest.mark.parametrize(
    ("model", "missing"),
    [("full", set()), ("colour", set()), ("bare", {"denoise", "classify", "detect"})],
)
def test_listed_operations_are_the_available_ones(
    client: httpx.Client, model: str, missing: set[str]
) -> None:
    """A listed operation succeeds; an operation that is not listed is rejected with 409."""
    listed = set(client.get(f"/v1/models/{model}").json()["operations"])
    body = {"images": [to_base64(make_png())]}

    assert set(OPERATIONS) - listed == missing
    for operation in ("denoise", "classify"):
        response = client.post(f"/v1/{operation}?model={model}", json=body)
        assert response.status_code == (409 if operation in missing else 200)


def test_version_has_its_own_description(client: httpx.Client) -> None:
    """`name@version` describes that version, with the digest from its responses."""
    first = client.get("/v1/models/full@1").json()
    second = client.get("/v1/models/full@2").json()

    assert (first["version"], second["version"]) == (1, 2)
    response = client.post("/v1/sample?model=full@2")
    assert response.headers["X-Model-Digest"] == second["digest"]


def test_description_lists_maps_and_the_report(client: httpx.Client) -> None:
    """A description lists the spaces with a map and the path of the report; both are optional."""
    full, bare = (client.get(f"/v1/models/{name}").json() for name in ("full", "bare"))

    assert full["maps"] == ["autoencoder", "vae"]
    assert full["report"] == "/v1/models/full@2/report"
    assert (bare["maps"], bare["report"]) == ([], None)


@pytest.mark.parametrize("model", ["full", "full@1"])
def test_map_has_latents_labels_and_projections(client: httpx.Client, model: str) -> None:
    """A map contains latents, labels, two projections and the PCA plane."""
    response = client.get(f"/v1/models/{model}/maps/vae")

    latent_map = MapInfo.model_validate(response.json(), extra="forbid")
    stored = make_map()
    assert latent_map.space == "vae"
    assert latent_map.labels == [0, 1, 2]
    np.testing.assert_allclose(latent_map.latents, stored.codes, atol=1e-3)
    np.testing.assert_allclose(latent_map.projections.pca, stored.pca, atol=1e-3)
    np.testing.assert_allclose(latent_map.projections.tsne, stored.tsne, atol=1e-3)
    np.testing.assert_allclose(latent_map.pca.mean, stored.mean)
    np.testing.assert_allclose(latent_map.pca.components, stored.components)
    assert response.headers["X-Model"] == ("full@1" if "@" in model else "full@2")


def test_examples_are_test_images(client: httpx.Client) -> None:
    """The examples are PNG files of the bundle's size with their class indices."""
    response = client.get(client.get("/v1/models/full").json()["examples"])

    examples = ExampleList.model_validate(response.json(), extra="forbid")
    levels = [read_png(base64.b64decode(str(image))) for image in examples.images]
    assert examples.labels == [0, 1, 2]
    assert [(level.shape, level.max()) for level in levels] == [
        ((8, 6), 0),
        ((8, 6), 128),
        ((8, 6), 255),
    ]
    assert client.get("/v1/models/bare").json()["examples"] is None


def test_coordinates_are_rounded_by_column() -> None:
    """Coordinates keep four significant digits of the largest value in their column."""
    points = np.array([[123.456, 0.00123456, 0], [1.23456, 0.0000123456, 0]], np.float32)

    rounded = _round(points)

    assert rounded.tolist() == np.array([[123.5, 0.001235, 0], [1.2, 0.000012, 0]], "f4").tolist()


def test_report_page_has_a_strict_policy(client: httpx.Client) -> None:
    """The report is a sandboxed page whose policy allows embedded images and no script."""
    response = client.get(client.get("/v1/models/full").json()["report"])

    assert response.content == REPORT
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline';")
    assert "sandbox" in policy.split("; ")
    assert "script" not in policy


@pytest.mark.parametrize("extra", ["maps/autoencoder", "report", "examples"])
def test_matching_etag_gets_304(client: httpx.Client, extra: str) -> None:
    """A request with the current ETag gets 304 with the same headers and no body."""
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
    ("path", "status", "expected"),
    [
        ("none/maps/vae", 404, "full@2"),
        ("none/report", 404, "full@2"),
        ("full@9/maps/vae", 404, "full@2"),
        ("bare/maps/autoencoder", 409, "full@2"),
        ("full/maps/nowhere", 409, "have it: none"),
        ("bare/report", 409, "colour@1, full@2, full@1"),
        ("bare/examples", 409, "colour@1, full@2, full@1"),
    ],
)
def test_missing_map_or_report_is_rejected(
    expect_problem: Callable[..., dict[str, str]], path: str, status: int, expected: str
) -> None:
    """An unknown model is rejected with 404, and a missing map or report with 409."""
    assert expected in expect_problem(status, f"/v1/models/{path}", "GET")["detail"]
