"""The routes that list and describe what is served."""

import httpx
import pytest
from fakes import CLASSES, LATENT_SIZE
from pictures import make_png, to_base64

from service.api.schemas import ModelInfo, ModelList


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
    assert {(source.name, source.class_conditional) for source in info.sources} == {
        ("kde", True),
        ("prior", False),
    }
    assert info.default_source == "kde"
    assert info.metrics["reconstruction_mse"].value == 0.01
    assert info.provenance["seed"] == 0


def test_every_stored_form_has_its_checksum(client: httpx.Client) -> None:
    """Each network tells its tensors, and of each format the file, its size and its sha256."""
    networks = client.get("/v1/models/full").json()["networks"]

    assert networks["encoder"]["input"] == {"name": "images", "shape": [1, 8, 6]}
    assert networks["vae_encoder"]["outputs"][1]["name"] == "log_variances"
    forms = [form for network in networks.values() for form in network["formats"].values()]
    assert len(forms) == 12
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
