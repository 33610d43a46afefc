"""Every kind of image that the client accepts, compared with the same image sent without it."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
from PIL import Image

from latentd_client import Client
from service.runtimes import open_runtime
from service.settings import Settings
from tests.support.image_files import save, to_npy
from tests.support.servers import run_service

STORE = Path(__file__).parents[3] / "models_store"
ORIENTATION = 0x0112


class Case(NamedTuple):
    """An input of the client, and the body of the plain HTTP request that must equal it."""

    images: Any
    body: dict[str, Any]


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    """Return a plain HTTP client of a service with the shipped models, run by ONNX Runtime."""
    settings = Settings(models_store=STORE, default_model="mnist")
    with run_service(settings, open_runtime) as running:
        yield running


@pytest.fixture(scope="module")
def mnist(http: httpx.Client) -> Iterator[Client]:
    """Return the Python client of the same service."""
    with Client(str(http.base_url)) as opened:
        yield opened


@pytest.fixture(scope="module")
def seven(mnist: Client) -> Image.Image:
    """Return a generated image of a 7, enlarged."""
    pixels = mnist.sample(class_="7", seed=3).images[0, 0]
    return Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).resize((112, 112))


def rotate(image: Image.Image) -> bytes:
    """Return a JPEG file whose pixels are rotated, and whose EXIF orientation undoes that."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    return save(image.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=95, exif=exif)


def send_one(content: bytes, media_type: str) -> dict[str, Any]:
    """Return a request whose whole body is one image."""
    return {"content": content, "headers": {"Content-Type": media_type}}


def send_files(*files: bytes) -> dict[str, Any]:
    """Return a request with a multipart form."""
    return {"files": [("images", ("image", file)) for file in files]}


def open_bytes(content: bytes) -> Image.Image:
    """Open an image without decoding it; unlike a file, its stream needs no closing."""
    return Image.open(io.BytesIO(content))


@pytest.fixture(scope="module")
def cases(seven: Image.Image, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """Return a case for each kind of input."""
    folder = tmp_path_factory.mktemp("images")
    files = {
        "rotated.jpg": rotate(seven),
        "photo.jpg": rotate(seven.resize((3000, 4000)).convert("RGB")),
        "cmyk.jpg": save(seven.convert("CMYK"), "JPEG"),
        "seven.png": save(seven),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    png = send_one(files["seven.png"], "image/png")
    jpeg = {name: send_one(content, "image/jpeg") for name, content in files.items()}
    palette = seven.convert("P")
    palette.info["transparency"] = 0
    deep = Image.fromarray(np.asarray(seven).astype(np.uint16) * 257)
    array = np.asarray(seven.resize((28, 28)))
    mixed = [folder / "rotated.jpg", files["seven.png"], seven.convert("CMYK")]
    rgb = save(seven.convert("CMYK").convert("RGB"))
    npy = "application/x-npy"
    return {
        "path text": Case(str(folder / "seven.png"), png),
        "path of a rotated photo": Case(folder / "rotated.jpg", jpeg["rotated.jpg"]),
        "path of a 12-megapixel photo": Case(folder / "photo.jpg", jpeg["photo.jpg"]),
        "bytes of a rotated photo": Case(files["rotated.jpg"], jpeg["rotated.jpg"]),
        "bytes of a CMYK photo": Case(files["cmyk.jpg"], jpeg["cmyk.jpg"]),
        "PIL image": Case(seven, png),
        "rotated PIL image": Case(open_bytes(files["rotated.jpg"]), jpeg["rotated.jpg"]),
        "CMYK PIL image": Case(open_bytes(files["cmyk.jpg"]), jpeg["cmyk.jpg"]),
        "transparent PIL image": Case(palette, send_one(save(palette), "image/png")),
        "16-bit PIL image": Case(deep.convert("I"), send_one(save(deep), "image/png")),
        "uint8 array": Case(array, send_one(to_npy(array), npy)),
        "float array": Case(array / 255, send_one(to_npy(array / 255), npy)),
        "arrays": Case([array, array], send_one(to_npy(np.stack([array, array])), npy)),
        "files and PIL images": Case(
            mixed, send_files(files["rotated.jpg"], files["seven.png"], rgb)
        ),
    }


@pytest.mark.parametrize(
    "name",
    [
        "path text",
        "path of a rotated photo",
        "path of a 12-megapixel photo",
        "bytes of a rotated photo",
        "bytes of a CMYK photo",
        "PIL image",
        "rotated PIL image",
        "CMYK PIL image",
        "transparent PIL image",
        "16-bit PIL image",
        "uint8 array",
        "float array",
        "arrays",
        "files and PIL images",
    ],
)
def test_the_client_gives_the_result_of_plain_http(
    mnist: Client, http: httpx.Client, cases: dict[str, Case], name: str
) -> None:
    """Each kind of input is a 7, with the same probabilities as without the client."""
    case = cases[name]

    predictions = mnist.classify(case.images, top_k=10)

    response = http.post("/v1/classify", params={"top_k": 10}, **case.body).json()
    assert {prediction.label for prediction in predictions} == {"7"}
    assert [prediction.top for prediction in predictions] == [
        {entry["label"]: entry["probability"] for entry in prediction["top"]}
        for prediction in response["predictions"]
    ]


def test_images_are_ends_of_a_line(mnist: Client, cases: dict[str, Case]) -> None:
    """Two files of different kinds are interpolated."""
    first, second = cases["path of a rotated photo"].images, cases["CMYK PIL image"].images

    line = mnist.interpolate([first, second], steps=3)

    ends = mnist.encode([first, second]).latents
    assert line.latents[[0, -1]] == pytest.approx(ends, abs=1e-5)
