"""The Python client against the running service."""

import asyncio
import inspect
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.client import AsyncClient, Client, RefusedError, calls
from service.client.answers import Generated, Reconstructed
from service.http.api_keys import INFER, make_key
from service.settings import Settings
from tests.support.fakes import CLASSES, LATENT_SIZE
from tests.support.servers import run_service

GREY = np.full((2, 1, 8, 6), 0.5, np.float32)
OPERATIONS = {
    "list_models": (),
    "describe": ("full",),
    "fetch_map": ("full",),
    "encode": (GREY,),
    "decode": (np.full((2, LATENT_SIZE), 0.5),),
    "reconstruct": (GREY,),
    "denoise": (GREY,),
    "classify": (GREY,),
    "sample": (3,),
    "interpolate": (GREY,),
}


@pytest.fixture(scope="module")
def latentd(url: str) -> Iterator[Client]:
    """A client of the running service."""
    with Client(url, model="full@2") as opened:
        yield opened


def test_every_operation_has_arrays_in_and_out(latentd: Client) -> None:
    """Arrays go in and come out with the shapes and numbers of the model."""
    encoded = latentd.encode(GREY)
    variational = latentd.encode(GREY, space="vae")
    rebuilt = latentd.reconstruct(GREY)

    assert encoded.latents == pytest.approx(np.full((2, LATENT_SIZE), 0.5))
    assert encoded.log_variances is None
    assert variational.log_variances == pytest.approx(np.full((2, LATENT_SIZE), -2))
    assert latentd.decode(encoded.latents) == pytest.approx(GREY)
    assert latentd.denoise(GREY) == pytest.approx(GREY)
    assert isinstance(rebuilt, Reconstructed)
    assert rebuilt.images == pytest.approx(GREY)
    assert rebuilt.mse == pytest.approx(np.zeros(2))
    assert rebuilt.anomaly_percentile.shape == (2,)


def test_pictures_are_taken(latentd: Client) -> None:
    """Pictures of any mode and size are converted by the service."""
    light = Image.new("RGBA", (60, 80), (255, 255, 255, 255))

    (found,) = latentd.classify(light, top_k=2)
    (turned,) = latentd.classify([light], invert="true")

    assert (found.label, found.index) == (CLASSES[2], 2)
    assert [*found.top] == [CLASSES[2], CLASSES[1]]
    assert found.probability == found.top[found.label]
    assert turned.label == CLASSES[0]


def test_samples_are_reproduced_by_their_seed(latentd: Client) -> None:
    """The seed that is told makes the same latents and images again, of the class asked for."""
    first = latentd.sample(4, class_=CLASSES[1], temperature=0.5)
    again = latentd.sample(4, class_=1, seed=first.seed, temperature=0.5)

    assert isinstance(first, Generated)
    assert first.images.shape == (4, 1, 8, 6)
    assert (first.latents == again.latents).all()
    assert (first.images == again.images).all()


def test_a_line(latentd: Client) -> None:
    """Between two latents lie as many images as asked, the ends included."""
    line = latentd.interpolate(np.array([[0.0] * LATENT_SIZE, [1.0] * LATENT_SIZE]), steps=5)

    assert line.images[:, 0, 0, 0] == pytest.approx(np.linspace(0, 1, 5))
    assert line.seed is None


def test_what_is_served(latentd: Client) -> None:
    """Models are listed and described, and a map has a place for each code."""
    found = latentd.fetch_map("full", "vae")

    assert "colour" in {model["name"] for model in latentd.list_models()}
    assert latentd.describe("full@1")["version"] == 1
    assert found.projections["pca"].shape == (len(found.latents), 2)
    assert found.labels is not None
    assert len(found.labels) == len(found.latents)


def test_refusals_are_raised_in_the_services_words(latentd: Client) -> None:
    """A refusal is an exception with the status, the detail and what was wrong where."""
    with pytest.raises(RefusedError, match=r"at most 300 are allowed") as limit:
        latentd.sample(10_000)
    with pytest.raises(RefusedError, match=r"wanted") as shape:
        latentd.encode(np.zeros((1, 1, 3, 3), np.float32))

    assert limit.value.status == 413
    assert shape.value.problem["errors"][0]["pointer"] == "/images"


def test_a_key_is_brought(settings: Settings) -> None:
    """Where keys are set the client brings its own."""
    text, key = make_key("ci", frozenset({INFER}))
    closed = Settings(models_store=settings.models_store, api_keys=key.to_line())
    with run_service(closed) as running:
        url = str(running.base_url)
        with Client(url) as stranger, pytest.raises(RefusedError, match="no key was given"):
            stranger.list_models()
        with Client(url, key=text) as friend:
            assert friend.list_models()


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_asynchronous_client_answers_the_same(latentd: Client, url: str, name: str) -> None:
    """Each method of one client is a method of the other, with the same signature and answer."""
    given = {"seed": 5} if name == "sample" else {}

    async def ask() -> Any:  # noqa: ANN401 - whatever the method answers
        async with AsyncClient(url, model="full@2") as client:
            return await getattr(client, name)(*OPERATIONS[name], **given)

    expected = getattr(latentd, name)(*OPERATIONS[name], **given)

    np.testing.assert_equal(_flatten(asyncio.run(ask())), _flatten(expected))
    assert inspect.signature(getattr(latentd, name)).parameters == (
        inspect.signature(getattr(calls, name)).parameters
    )
    assert getattr(AsyncClient, name).__doc__ == getattr(calls, name).__doc__


def _flatten(answer: Any) -> object:  # noqa: ANN401 - whatever a method answers
    slots = getattr(answer, "__slots__", None)
    return answer if slots is None else {slot: getattr(answer, slot) for slot in slots}


def test_the_service_needs_no_httpx() -> None:
    """The package httpx is the client's extra: serving does not load it."""
    script = "import sys, service.app; sys.exit('httpx' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
