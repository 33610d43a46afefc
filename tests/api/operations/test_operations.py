"""The operations over HTTP: every way in, every way out."""

import base64

import httpx
import numpy as np
import pytest

from tests.support.fakes import LATENT_SIZE, NOISE_SIZE
from tests.support.image_files import make_png, read_npy, read_png, to_base64, to_npy

GREY = 51 / 255


def ways_in(value: int = 51) -> dict[str, dict[str, object]]:
    """Return one grey image in each form that operations on images take."""
    png = make_png(value)
    array = np.full((1, 1, 8, 6), value, dtype=np.uint8)
    return {
        "json base64": {"json": {"images": [to_base64(png)]}},
        "json data url": {"json": {"images": [f"data:image/png;base64,{to_base64(png)}"]}},
        "json numbers": {"json": {"images": [(array[0, 0] / 255).tolist()]}},
        "json numbers with channels": {"json": {"images": [(array[0] / 255).tolist()]}},
        "multipart": {"files": {"images": ("a.png", png, "image/png")}},
        "multipart image": {"files": {"image": ("a.png", png)}},
        "raw png": {"content": png, "headers": {"Content-Type": "image/png"}},
        "npy uint8": {"content": to_npy(array), "headers": {"Content-Type": "application/x-npy"}},
        "npy float32": {
            "content": to_npy((array[0] / 255).astype(np.float32)),
            "headers": {"Content-Type": "application/x-npy"},
        },
        "npy big-endian": {
            "content": to_npy((array[0, 0] / 255).astype(">f8")),
            "headers": {"Content-Type": "application/x-npy"},
        },
        "npy Fortran order": {
            "content": to_npy(np.asfortranarray(array / 255)),
            "headers": {"Content-Type": "application/x-npy"},
        },
    }


@pytest.mark.parametrize("way", ways_in())
def test_encode_takes_every_way_in(client: httpx.Client, way: str) -> None:
    """The same image gives the same latents, however it is sent."""
    answer = client.post("/v1/encode", **ways_in()[way])

    assert answer.status_code == 200, answer.text
    assert np.allclose(answer.json()["latents"], [[GREY] * LATENT_SIZE])
    assert "log_variances" not in answer.json()


def test_encode_in_the_vae_space_gives_log_variances(client: httpx.Client) -> None:
    """`space=vae` gives means and log-variances."""
    answer = client.post("/v1/encode?space=vae", **ways_in()["raw png"]).json()

    assert np.allclose(answer["latents"], [[GREY] * LATENT_SIZE])
    assert answer["log_variances"] == [[-2.0] * LATENT_SIZE]


def test_encode_gives_npy(client: httpx.Client) -> None:
    """`Accept: application/x-npy` gives float32 latents of N x L."""
    answer = client.post(
        "/v1/encode",
        json={"images": [to_base64(make_png(51))] * 3},
        headers={"Accept": "application/x-npy"},
    )

    latents = read_npy(answer.content)
    assert latents.dtype == np.float32
    assert np.allclose(latents, np.full((3, LATENT_SIZE), GREY))


def test_parameters_are_json_members_too(client: httpx.Client) -> None:
    """A parameter in the JSON body does what it does in the query string."""
    body = {"images": [to_base64(make_png(51))], "space": "vae", "invert": True, "model": "full@1"}

    answer = client.post("/v1/encode", json=body)

    assert np.allclose(answer.json()["latents"], [[1 - GREY] * LATENT_SIZE])
    assert answer.headers["X-Model"] == "full@1"


@pytest.mark.parametrize("way", ["raw png", "npy float32", "json numbers"])
@pytest.mark.parametrize(("invert", "expected"), [("true", 0.2), ("auto", 0.2), ("false", 0.8)])
def test_invert(client: httpx.Client, way: str, invert: str, expected: float) -> None:
    """`invert` turns light images dark: always with `true`, by the border with `auto`."""
    answer = client.post(f"/v1/encode?invert={invert}", **ways_in(204)[way])

    assert np.allclose(answer.json()["latents"][0], expected)


@pytest.mark.parametrize(
    "body",
    [
        {"latents": [[0.2, 0, 0, 0], [1, 0, 0, 0]]},
        {"latents": [[0.2, 0, 0, 0], [1, 0, 0, 0]], "space": "vae"},
    ],
)
def test_decode_gives_images(client: httpx.Client, body: dict[str, object]) -> None:
    """Latents come back as one PNG each."""
    images = client.post("/v1/decode", json=body).json()["images"]

    pixels = [read_png(base64.b64decode(image)) for image in images]
    assert [picture.shape for picture in pixels] == [(8, 6)] * 2
    assert [int(picture[0, 0]) for picture in pixels] == [51, 255]


def test_decode_takes_npy_and_gives_npy(client: httpx.Client) -> None:
    """A whole batch goes in and out as .npy."""
    latents = np.full((300, LATENT_SIZE), 0.25)
    headers = {"Content-Type": "application/x-npy", "Accept": "application/x-npy"}

    answer = client.post("/v1/decode", content=to_npy(latents[:20]), headers=headers)

    assert read_npy(answer.content).shape == (20, 1, 8, 6)
    assert np.allclose(read_npy(answer.content), 0.25)


def test_reconstruct_gives_error_and_percentile(client: httpx.Client) -> None:
    """A flat image comes back as it is; a half-and-half one is as odd as the oddest quarter."""
    half = np.zeros((8, 6), dtype=np.float32)
    half[:4] = 1
    body = {"images": [np.full((8, 6), 0.5).tolist(), half.tolist()], "encoding": "array"}

    answer = client.post("/v1/reconstruct", json=body).json()

    assert np.allclose(answer["images"], 0.5)
    assert np.allclose(answer["mse"], [0, 0.25])
    assert answer["anomaly_percentile"] == [25.0, 100.0]


def test_denoise_gives_a_picture(client: httpx.Client) -> None:
    """One image comes back as it is with `Accept: image/png`."""
    answer = client.post(
        "/v1/denoise",
        **{**ways_in()["raw png"], "headers": {"Content-Type": "image/png", "Accept": "image/png"}},
    )

    assert answer.headers["Content-Type"] == "image/png"
    assert read_png(answer.content).shape == (8, 6)


def test_several_images_come_as_a_grid(client: httpx.Client) -> None:
    """Five images make a grid of three columns and two rows with gaps of two pixels."""
    answer = client.post("/v1/sample?count=5&seed=1", headers={"Accept": "image/png"})

    assert read_png(answer.content).shape == (2 * 8 + 2, 3 * 6 + 2 * 2)


def test_colour_images(client: httpx.Client) -> None:
    """A colour bundle takes grey and colour pictures of any size and gives colour ones."""
    body = {"images": [to_base64(make_png(51, (30, 20), "RGB")), to_base64(make_png(51, (6, 6)))]}

    answer = client.post("/v1/reconstruct?model=colour&encoding=array", json=body).json()

    assert np.shape(answer["images"]) == (2, 3, 6, 6)


def test_classify_names_the_class(client: httpx.Client) -> None:
    """Each image gets its label, index and probability, and the top_k of them in order."""
    body = {"images": [to_base64(make_png(250)), to_base64(make_png(0))], "top_k": 2}

    first, second = client.post("/v1/classify", json=body).json()["predictions"]

    assert (first["label"], first["index"], second["label"]) == ("light", 2, "dark")
    assert [entry["label"] for entry in first["top"]] == ["light", "grey"]
    assert first["probability"] == first["top"][0]["probability"] > 0.9


def test_sample_is_reproduced_by_its_seed(client: httpx.Client) -> None:
    """The seed that the service picked and told gives the same images again."""
    first = client.post("/v1/sample", json={"count": 3}).json()

    again = client.post("/v1/sample", json={"count": 3, "seed": first["seed"]})

    assert again.json() == first
    assert again.headers["X-Seed"] == str(first["seed"])
    assert first["source"] == "kde"


@pytest.mark.parametrize(("wanted", "level"), [("light", 1.0), (2, 1.0), ("0", 0.0), ("grey", 0.5)])
def test_sample_of_a_class(client: httpx.Client, wanted: object, level: float) -> None:
    """A class-conditional source draws from the class given by label or index."""
    answer = client.post("/v1/sample", json={"class": wanted, "count": 4, "seed": 0}).json()

    assert np.allclose(answer["latents"], level, atol=0.02)


def test_temperature_scales_the_spread(client: httpx.Client) -> None:
    """The prior at half the temperature draws the same latents at half the size."""
    full, half = (
        client.post(f"/v1/sample?source=prior&seed=3&count=9&temperature={t}").json()["latents"]
        for t in (1, 0.5)
    )

    assert np.allclose(np.array(full) / 2, half)


@pytest.mark.parametrize(
    ("source", "space", "size"),
    [
        ("kde", "autoencoder", LATENT_SIZE),
        ("prior", "vae", LATENT_SIZE),
        ("gan", "gan", NOISE_SIZE),
        ("gan-filtered", "autoencoder", LATENT_SIZE),
    ],
)
def test_sample_tells_where_its_latents_lie(
    client: httpx.Client, source: str, space: str, size: int
) -> None:
    """A client that would decode or encode on knows the space; a GAN's noise has its own."""
    answer = client.post(f"/v1/sample?source={source}&count=3").json()

    assert (answer["source"], answer["space"]) == (source, space)
    assert np.array(answer["latents"]).shape == (3, size)


def test_sample_gives_latents_as_npy(client: httpx.Client) -> None:
    """`output=latents` chooses what an .npy answer holds; images otherwise."""
    headers = {"Accept": "application/x-npy"}

    images = client.post("/v1/sample?count=300&seed=1", headers=headers)
    latents = client.post("/v1/sample?count=300&seed=1&output=latents", headers=headers)

    assert read_npy(images.content).shape == (300, 1, 8, 6)
    assert read_npy(latents.content).shape == (300, LATENT_SIZE)


def test_interpolate_between_images(client: httpx.Client) -> None:
    """Five steps from black to white go through grey, ends included."""
    body = {"images": [to_base64(make_png(0)), to_base64(make_png(255))], "steps": 5}

    answer = client.post("/v1/interpolate?encoding=array", json=body).json()

    assert np.allclose(np.array(answer["latents"])[:, 0], [0, 0.25, 0.5, 0.75, 1])
    assert np.allclose(np.array(answer["images"])[:, 0, 0, 0], [0, 0.25, 0.5, 0.75, 1])


@pytest.mark.parametrize("form", ["json", "npy"])
def test_interpolate_between_latents(client: httpx.Client, form: str) -> None:
    """The ends can be latents, in JSON or as a 2 x L array."""
    ends = np.array([[0.0] * LATENT_SIZE, [1.0] * LATENT_SIZE])
    sent = (
        {"json": {"latents": ends.tolist()}}
        if form == "json"
        else {"content": to_npy(ends), "headers": {"Content-Type": "application/x-npy"}}
    )

    answer = client.post("/v1/interpolate?steps=3", **sent)

    assert np.allclose(np.array(answer.json()["latents"])[:, 0], [0, 0.5, 1])


def test_answers_name_what_made_them(client: httpx.Client) -> None:
    """Model, version and the manifest's digest are in the headers; pinned versions too."""
    default = client.post("/v1/sample")
    pinned = client.post("/v1/sample?model=full@1")
    described = client.get("/v1/models/full@1").json()

    assert default.headers["X-Model"] == "full@2"
    assert pinned.headers["X-Model"] == "full@1"
    assert pinned.headers["X-Model-Digest"] == described["digest"]


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        ("image/*", "image/png"),
        ("image/png;q=0.5, application/x-npy;q=0.9", "application/x-npy"),
        ("application/json;q=0, */*", "image/png"),
    ],
)
def test_accept_chooses_the_form(client: httpx.Client, accept: str | None, given: str) -> None:
    """The best accepted form is given, by quality and specificity."""
    client.headers.pop("Accept")
    answer = client.post("/v1/sample", headers={} if accept is None else {"Accept": accept})

    assert answer.headers["Content-Type"] == given
