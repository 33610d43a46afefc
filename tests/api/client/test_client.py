"""The Python client against the running service."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np
import pytest
from PIL import Image

from latentd_client import AsyncClient, Client, ServiceError
from service.app import create_app
from service.http.api_keys import INFER, make_key
from service.settings import Settings
from tests.support.fakes import CLASSES, LATENT_SIZE
from tests.support.servers import run_service

GREY = np.full((2, 1, 8, 6), 0.5, np.float32)
CALLS: dict[str, tuple[Any, ...]] = {
    "list_models": (),
    "get_model": ("full",),
    "get_map": ("full",),
    "get_examples": ("full",),
    "preprocess": (GREY,),
    "encode": (GREY,),
    "decode": (np.full((2, LATENT_SIZE), 0.5),),
    "reconstruct": (GREY,),
    "detect": (GREY,),
    "denoise": (GREY,),
    "classify": (GREY,),
    "sample": (3,),
    "interpolate": (GREY,),
}
INPUTS = {"self", "images", "latents", "ends"}
FORMAT_PARAMETERS = {"encoding", "output"}
"""Parameters that choose the format of a response; the client reads one format."""


@pytest.fixture(scope="module")
def latentd(url: str) -> Iterator[Client]:
    """Return a client of the running service."""
    with Client(url, model="full@2") as opened:
        yield opened


def test_every_operation_accepts_and_returns_arrays(latentd: Client) -> None:
    """The results have the shapes and numbers of the model."""
    encoded = latentd.encode(GREY)
    variational = latentd.encode(GREY, space="vae")
    reconstructed = latentd.reconstruct(GREY)

    assert encoded.latents == pytest.approx(np.full((2, LATENT_SIZE), 0.5))
    assert encoded.log_variances is None
    assert variational.log_variances == pytest.approx(np.full((2, LATENT_SIZE), -2))
    assert latentd.decode(encoded.latents) == pytest.approx(GREY)
    assert latentd.denoise(GREY) == pytest.approx(GREY)
    assert latentd.preprocess(GREY, invert=True) == pytest.approx(1 - GREY)
    assert reconstructed.images == pytest.approx(GREY)
    assert reconstructed.mse == pytest.approx(np.zeros(2))
    assert reconstructed.anomaly_percentile.shape == (2,)


def test_detection_has_scores_and_heatmaps(latentd: Client) -> None:
    """Scores, decisions and, on request, the score of each place and the regions are arrays."""
    images = np.stack([np.full((1, 8, 6), value, np.float32) for value in (0.2, 0.8)])

    plain = latentd.detect(images)
    found = latentd.detect(images, method="segmentation", threshold=0.3, heatmap="array")

    assert plain.scores == pytest.approx([0.2, 0.8], abs=1e-4)
    assert plain.is_anomaly.tolist() == [False, True]
    assert (plain.heatmaps, plain.regions) == (None, None)
    assert found.heatmaps is not None
    assert found.heatmaps.shape == (2, 1, 8, 6)
    assert (found.threshold, found.method) == (0.3, "segmentation")
    assert [len(regions) for regions in found.regions or ()] == [0, 1]


def test_pil_images_are_converted_by_the_service(latentd: Client) -> None:
    """Mode and size of an image need not be those of the model."""
    light = Image.new("RGBA", (60, 80), (255, 255, 255, 255))

    (prediction,) = latentd.classify(light, top_k=2)
    (inverted,) = latentd.classify([light], invert=True)
    (inverted_by_border,) = latentd.classify(light, invert="auto")

    assert (prediction.label, prediction.index) == (CLASSES[2], 2)
    assert [*prediction.top] == [CLASSES[2], CLASSES[1]]
    assert prediction.probability == prediction.top[prediction.label]
    assert inverted.label == inverted_by_border.label == CLASSES[0]


def test_a_seed_reproduces_samples(latentd: Client) -> None:
    """The seed of a result gives the same latents and images, of the same class."""
    first = latentd.sample(4, class_=CLASSES[1], temperature=0.5)
    again = latentd.sample(4, class_=1, seed=first.seed, temperature=0.5)

    assert first.images.shape == (4, 1, 8, 6)
    assert (first.source, first.space) == ("kde", "autoencoder")
    assert (first.latents == again.latents).all()
    assert (first.images == again.images).all()


def test_interpolation_includes_both_ends(latentd: Client) -> None:
    """The line between two latents has as many images as `steps`."""
    line = latentd.interpolate([[0.0] * LATENT_SIZE, [1.0] * LATENT_SIZE], steps=5)

    assert line.images[:, 0, 0, 0] == pytest.approx(np.linspace(0, 1, 5))


@pytest.mark.parametrize(("name", "channels"), [("full", 1), ("colour", 3)])
def test_examples_are_what_the_networks_receive(latentd: Client, name: str, channels: int) -> None:
    """The images can be sent to any operation, and have labels."""
    examples = latentd.get_examples(name)

    assert examples.images.shape[:2] == (3, channels)
    assert latentd.preprocess(examples.images, model=name) == pytest.approx(examples.images)
    assert examples.labels is not None
    assert examples.labels.tolist() == [0, 1, 2]


def test_models_and_maps_are_described(latentd: Client) -> None:
    """Models are listed and described, and a map has coordinates for each latent code."""
    latent_map = latentd.get_map("full", "vae")

    assert "colour" in {model["name"] for model in latentd.list_models()}
    assert latentd.get_model("full@1")["version"] == 1
    assert latent_map.projections["pca"].shape == (len(latent_map.latents), 2)
    assert latent_map.labels is not None
    assert len(latent_map.labels) == len(latent_map.latents)


def test_an_error_has_the_problem_details_of_the_service(latentd: Client) -> None:
    """The error has the status, the detail and the pointer to the invalid member."""
    with pytest.raises(ServiceError, match=r"^HTTP 413: .*300") as limit:
        latentd.sample(10_000)
    with pytest.raises(ServiceError) as shape:
        latentd.encode(np.zeros((1, 1, 3, 3), np.float32))

    assert (limit.value.status, limit.value.retry_after) == (413, None)
    assert shape.value.problem["errors"][0]["pointer"] == "/images"


def test_the_api_key_opens_the_service(settings: Settings) -> None:
    """A service with keys accepts the client's key and rejects a client without one."""
    text, key = make_key("ci", frozenset({INFER}))
    closed = Settings(models_store=settings.models_store, api_keys=key.to_line())
    with run_service(closed) as running:
        url = str(running.base_url)
        with Client(url) as anonymous, pytest.raises(ServiceError, match=r"^HTTP 401"):
            anonymous.list_models()
        with Client(url, api_key=text) as authorized:
            assert authorized.list_models()


@pytest.mark.parametrize("name", CALLS)
def test_both_clients_return_the_same(latentd: Client, url: str, name: str) -> None:
    """Each coroutine of the asynchronous client returns what the blocking method returns."""
    options = {"seed": 5} if name == "sample" else {}

    async def call() -> Any:  # noqa: ANN401 - whatever the method returns
        async with AsyncClient(url, model="full@2") as client:
            return await getattr(client, name)(*CALLS[name], **options)

    result = asyncio.run(call())

    expected = getattr(latentd, name)(*CALLS[name], **options)
    np.testing.assert_equal(to_dict(result), to_dict(expected))


def to_dict(result: Any) -> object:  # noqa: ANN401 - whatever a method returns
    """Return a result as plain values, which can be compared although they hold arrays."""
    if isinstance(result, list):
        return [to_dict(item) for item in result]
    return asdict(result) if is_dataclass(result) else result  # type: ignore[arg-type]


def test_the_client_has_every_operation_and_parameter(settings: Settings) -> None:
    """The methods have the names, parameters and defaults of the OpenAPI document.

    Parameters for the format of a response are excluded: the client reads one format.
    """
    paths = create_app(settings).openapi()["paths"]
    operations = {
        path.removeprefix("/v1/"): item["post"]
        for path, item in paths.items()
        if path.startswith("/v1/") and "post" in item
    }
    documented = {
        name: {
            parameter["name"]: parameter["schema"].get("default")
            for parameter in operation["parameters"]
            if parameter["name"] not in FORMAT_PARAMETERS
        }
        for name, operation in operations.items()
    }

    assert len(documented) >= 7
    assert {name: list_parameters(getattr(Client, name, None)) for name in documented} == documented
    assert {*CALLS} == {
        name for name, _ in inspect.getmembers(Client, inspect.isfunction) if name[0] != "_"
    } - {"close"}


def list_parameters(method: Callable[..., object] | None) -> dict[str, object]:
    """Return a method's parameters with their defaults, as the OpenAPI document spells them."""
    if method is None:
        return {}
    return {
        name.rstrip("_"): "false" if parameter.default is False else parameter.default
        for name, parameter in inspect.signature(method).parameters.items()
        if name not in INPUTS
    }
