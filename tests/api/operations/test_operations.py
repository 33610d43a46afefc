"""The operations over HTTP, with every input and output format."""

import base64

import httpx
import numpy as np
import pytest

from tests.support.fakes import LATENT_SIZE, NOISE_SIZE
from tests.support.image_files import make_png, read_npy, read_png, to_base64, to_npy

GREY = 51 / 255


def make_requests(value: int = 51) -> dict[str, dict[str, object]]:
    """Return one grey image in each input format of the operations on images."""
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


@pytest.mark.parametrize("input_format", make_requests())
def test_encode_accepts_every_input_format(client: httpx.Client, input_format: str) -> None:
    """Encode gives the same latents for every input format."""
    response = client.post("/v1/encode", **make_requests()[input_format])

    assert response.status_code == 200, response.text
    assert np.allclose(response.json()["latents"], [[GREY] * LATENT_SIZE])
    assert "log_variances" not in response.json()


def test_preprocess_returns_the_input_of_the_networks(client: httpx.Client) -> None:
    """Preprocess returns padded and inverted pixels, as PNG files, a grid or an array."""
    request = {"content": make_png(204, (4, 4)), "headers": {"Content-Type": "image/png"}}

    in_json = client.post("/v1/preprocess?invert=auto", **request)
    request["headers"] = {**request["headers"], "Accept": "application/x-npy"}
    array = read_npy(client.post("/v1/preprocess?invert=auto", **request).content)

    (png,) = in_json.json()["images"]
    assert in_json.headers["X-Model"] == "full@2"
    assert array.shape == (1, 1, 8, 6)
    assert array[0, 0, 1:7] == pytest.approx(0.2)
    assert array[0, 0, [0, 7]] == pytest.approx(0)
    assert np.array_equal(read_png(base64.b64decode(png)), np.rint(array[0, 0] * 255))


def test_encode_in_the_vae_space_returns_log_variances(client: httpx.Client) -> None:
    """Encode with `space=vae` returns means and log-variances."""
    response = client.post("/v1/encode?space=vae", **make_requests()["raw png"]).json()

    assert np.allclose(response["latents"], [[GREY] * LATENT_SIZE])
    assert response["log_variances"] == [[-2.0] * LATENT_SIZE]


def test_encode_returns_npy(client: httpx.Client) -> None:
    """`Accept: application/x-npy` returns float32 latents of shape (N, L)."""
    response = client.post(
        "/v1/encode",
        json={"images": [to_base64(make_png(51))] * 3},
        headers={"Accept": "application/x-npy"},
    )

    latents = read_npy(response.content)
    assert latents.dtype == np.float32
    assert np.allclose(latents, np.full((3, LATENT_SIZE), GREY))


def test_parameters_can_be_json_members(client: httpx.Client) -> None:
    """A member of the JSON body has the effect of the query parameter with its name."""
    body = {"images": [to_base64(make_png(51))], "space": "vae", "invert": True, "model": "full@1"}

    response = client.post("/v1/encode", json=body)

    assert np.allclose(response.json()["latents"], [[1 - GREY] * LATENT_SIZE])
    assert response.headers["X-Model"] == "full@1"


@pytest.mark.parametrize("input_format", ["raw png", "npy float32", "json numbers"])
@pytest.mark.parametrize(("invert", "expected"), [("true", 0.2), ("auto", 0.2), ("false", 0.8)])
def test_invert_turns_light_images_dark(
    client: httpx.Client, input_format: str, invert: str, expected: float
) -> None:
    """`invert=true` inverts every image, and `invert=auto` images with a light border."""
    response = client.post(f"/v1/encode?invert={invert}", **make_requests(204)[input_format])

    assert np.allclose(response.json()["latents"][0], expected)


@pytest.mark.parametrize(
    "body",
    [
        {"latents": [[0.2, 0, 0, 0], [1, 0, 0, 0]]},
        {"latents": [[0.2, 0, 0, 0], [1, 0, 0, 0]], "space": "vae"},
    ],
)
def test_decode_returns_images(client: httpx.Client, body: dict[str, object]) -> None:
    """Decode returns one PNG for each latent code."""
    images = client.post("/v1/decode", json=body).json()["images"]

    pixels = [read_png(base64.b64decode(image)) for image in images]
    assert [image.shape for image in pixels] == [(8, 6)] * 2
    assert [int(image[0, 0]) for image in pixels] == [51, 255]


def test_decode_accepts_and_returns_npy(client: httpx.Client) -> None:
    """Decode accepts a batch of latents as .npy and returns a batch of images as .npy."""
    latents = np.full((300, LATENT_SIZE), 0.25)
    headers = {"Content-Type": "application/x-npy", "Accept": "application/x-npy"}

    response = client.post("/v1/decode", content=to_npy(latents[:20]), headers=headers)

    assert read_npy(response.content).shape == (20, 1, 8, 6)
    assert np.allclose(read_npy(response.content), 0.25)


def test_reconstruct_returns_error_and_percentile(client: httpx.Client) -> None:
    """Reconstruct returns the error of each image and its percentile among the reference errors."""
    half = np.zeros((8, 6), dtype=np.float32)
    half[:4] = 1
    body = {"images": [np.full((8, 6), 0.5).tolist(), half.tolist()], "encoding": "array"}

    response = client.post("/v1/reconstruct", json=body).json()

    assert np.allclose(response["images"], 0.5)
    assert np.allclose(response["mse"], [0, 0.25])
    assert response["anomaly_percentile"] == [25.0, 100.0]


def test_denoise_returns_an_image(client: httpx.Client) -> None:
    """Denoise returns one image as a PNG body with `Accept: image/png`."""
    response = client.post(
        "/v1/denoise",
        **{
            **make_requests()["raw png"],
            "headers": {"Content-Type": "image/png", "Accept": "image/png"},
        },
    )

    assert response.headers["Content-Type"] == "image/png"
    assert read_png(response.content).shape == (8, 6)


def test_several_images_are_returned_as_a_grid(client: httpx.Client) -> None:
    """Five images form a grid of three columns and two rows with gaps of two pixels."""
    response = client.post("/v1/sample?count=5&seed=1", headers={"Accept": "image/png"})

    assert read_png(response.content).shape == (2 * 8 + 2, 3 * 6 + 2 * 2)


def test_colour_model_accepts_any_image(client: httpx.Client) -> None:
    """A colour model converts grey and colour images of any size and returns colour images."""
    body = {"images": [to_base64(make_png(51, (30, 20), "RGB")), to_base64(make_png(51, (6, 6)))]}

    response = client.post("/v1/reconstruct?model=colour&encoding=array", json=body).json()

    assert np.shape(response["images"]) == (2, 3, 6, 6)


def test_classify_returns_labels_and_probabilities(client: httpx.Client) -> None:
    """Classify returns the label, index and probability of each image, and its `top_k` classes."""
    body = {"images": [to_base64(make_png(250)), to_base64(make_png(0))], "top_k": 2}

    first, second = client.post("/v1/classify", json=body).json()["predictions"]

    assert (first["label"], first["index"], second["label"]) == ("light", 2, "dark")
    assert [entry["label"] for entry in first["top"]] == ["light", "grey"]
    assert first["probability"] == first["top"][0]["probability"] > 0.9


def test_seed_reproduces_a_sample(client: httpx.Client) -> None:
    """The seed in a response reproduces its samples."""
    first = client.post("/v1/sample", json={"count": 3}).json()

    again = client.post("/v1/sample", json={"count": 3, "seed": first["seed"]})

    assert again.json() == first
    assert again.headers["X-Seed"] == str(first["seed"])
    assert first["source"] == "kde"


@pytest.mark.parametrize(("label", "level"), [("light", 1.0), (2, 1.0), ("0", 0.0), ("grey", 0.5)])
def test_sample_of_a_class_by_label_or_index(
    client: httpx.Client, label: object, level: float
) -> None:
    """A class-conditional source samples the class given by label or index."""
    response = client.post("/v1/sample", json={"class": label, "count": 4, "seed": 0}).json()

    assert np.allclose(response["latents"], level, atol=0.02)


def test_temperature_scales_the_latents(client: httpx.Client) -> None:
    """Half the temperature halves the latents of the prior for the same seed."""
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
def test_sample_names_the_space_of_its_latents(
    client: httpx.Client, source: str, space: str, size: int
) -> None:
    """A response names the space of its latents, since a GAN's noise has a separate space."""
    response = client.post(f"/v1/sample?source={source}&count=3").json()

    assert (response["source"], response["space"]) == (source, space)
    assert np.array(response["latents"]).shape == (3, size)


def test_sample_returns_images_or_latents_as_npy(client: httpx.Client) -> None:
    """An .npy response contains images, or latents with `output=latents`."""
    headers = {"Accept": "application/x-npy"}

    images = client.post("/v1/sample?count=300&seed=1", headers=headers)
    latents = client.post("/v1/sample?count=300&seed=1&output=latents", headers=headers)

    assert read_npy(images.content).shape == (300, 1, 8, 6)
    assert read_npy(latents.content).shape == (300, LATENT_SIZE)


def test_interpolation_between_images_includes_both_ends(client: httpx.Client) -> None:
    """Five steps from black to white include both ends and go through grey."""
    body = {"images": [to_base64(make_png(0)), to_base64(make_png(255))], "steps": 5}

    response = client.post("/v1/interpolate?encoding=array", json=body).json()

    assert np.allclose(np.array(response["latents"])[:, 0], [0, 0.25, 0.5, 0.75, 1])
    assert np.allclose(np.array(response["images"])[:, 0, 0, 0], [0, 0.25, 0.5, 0.75, 1])


@pytest.mark.parametrize("ends_format", ["json", "npy"])
def test_interpolation_between_latents(client: httpx.Client, ends_format: str) -> None:
    """The ends of an interpolation can be latents, in JSON or as an array of shape (2, L)."""
    ends = np.array([[0.0] * LATENT_SIZE, [1.0] * LATENT_SIZE])
    sent = (
        {"json": {"latents": ends.tolist()}}
        if ends_format == "json"
        else {"content": to_npy(ends), "headers": {"Content-Type": "application/x-npy"}}
    )

    response = client.post("/v1/interpolate?steps=3", **sent)

    assert np.allclose(np.array(response.json()["latents"])[:, 0], [0, 0.5, 1])


def test_responses_name_the_model_and_its_digest(client: httpx.Client) -> None:
    """The headers contain the model, its version and the manifest's digest."""
    default = client.post("/v1/sample")
    pinned = client.post("/v1/sample?model=full@1")
    described = client.get("/v1/models/full@1").json()

    assert default.headers["X-Model"] == "full@2"
    assert pinned.headers["X-Model"] == "full@1"
    assert pinned.headers["X-Model-Digest"] == described["digest"]


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        ("image/*", "image/png"),
        ("image/png;q=0.5, application/x-npy;q=0.9", "application/x-npy"),
        ("application/json;q=0, */*", "image/png"),
    ],
)
def test_accept_selects_the_response_format(
    client: httpx.Client, accept: str | None, content_type: str
) -> None:
    """The response has the best accepted format, by quality and specificity."""
    client.headers.pop("Accept")
    response = client.post("/v1/sample", headers={} if accept is None else {"Accept": accept})

    assert response.headers["Content-Type"] == content_type
