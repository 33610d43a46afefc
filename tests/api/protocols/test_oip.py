"""The Open Inference Protocol, by the public client `tritonclient[http]` and by hand."""

import json
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from tritonclient import http as triton
from tritonclient.utils import InferenceServerException

from tests.support.fakes import LATENT_SIZE

IMAGES = np.linspace(0, 1, 3 * 48, dtype=np.float32).reshape(3, 1, 8, 6)
MEANS = IMAGES.reshape(3, -1).mean(axis=1)


@pytest.fixture
def oip(url: str) -> Iterator[triton.InferenceServerClient]:
    """The public client, unmodified."""
    client = triton.InferenceServerClient(url.removeprefix("http://"))
    yield client
    client.close()


def take(images: NDArray[np.float32], *, binary: bool) -> triton.InferInput:
    """Return an input tensor in one of its two wire forms."""
    tensor = triton.InferInput("images", images.shape, "FP32")
    tensor.set_data_from_numpy(images, binary_data=binary)
    return tensor


def test_server_is_described(oip: triton.InferenceServerClient) -> None:
    """Health and metadata are what the client expects."""
    assert oip.is_server_live()
    assert oip.is_server_ready()
    assert oip.get_server_metadata()["name"] == "latentd"
    assert "binary_tensor_data" in oip.get_server_metadata()["extensions"]


def test_network_is_described(oip: triton.InferenceServerClient) -> None:
    """A network is a model with its graph's tensors, a free batch and the bundle's versions."""
    metadata = oip.get_model_metadata("full.vae_encoder")
    config = oip.get_model_config("full.vae_encoder", "1")

    assert metadata["versions"] == ["1", "2"]
    assert metadata["inputs"] == [{"name": "images", "datatype": "FP32", "shape": [-1, 1, 8, 6]}]
    assert [output["name"] for output in metadata["outputs"]] == ["means", "log_variances"]
    assert config["input"] == [{"name": "images", "data_type": "TYPE_FP32", "dims": [1, 8, 6]}]


@pytest.mark.parametrize(
    ("name", "version", "ready"),
    [
        ("full.encoder", "", True),
        ("full.encoder", "1", True),
        ("full.encoder", "9", False),
        ("full", "", False),
        ("bare.denoiser", "", False),
    ],
)
def test_readiness_of_a_network(
    oip: triton.InferenceServerClient, name: str, version: str, ready: bool
) -> None:
    """Only networks and versions that are served are ready."""
    assert oip.is_model_ready(name, version) is ready


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_infer_in_every_form(
    oip: triton.InferenceServerClient, binary_in: bool, binary_out: bool
) -> None:
    """Tensors go in and out as JSON or as bytes, in any mix, with the request's id."""
    outputs = [triton.InferRequestedOutput("latents", binary_data=binary_out)]

    inputs = [take(IMAGES, binary=binary_in)]

    answer = oip.infer("full.encoder", inputs, outputs=outputs, request_id="r1")

    assert np.allclose(answer.as_numpy("latents"), np.repeat(MEANS[:, None], LATENT_SIZE, axis=1))
    assert answer.get_response()["id"] == "r1"
    assert answer.get_response()["model_version"] == "2"


def test_infer_gives_mixed_outputs_of_a_version(oip: triton.InferenceServerClient) -> None:
    """One output as bytes and one as JSON, of a pinned version, in the order asked for."""
    outputs = [
        triton.InferRequestedOutput("log_variances", binary_data=True),
        triton.InferRequestedOutput("means", binary_data=False),
    ]

    answer = oip.infer(
        "full.vae_encoder", [take(IMAGES, binary=True)], model_version="1", outputs=outputs
    )

    assert (
        answer.as_numpy("means").shape == answer.as_numpy("log_variances").shape == (3, LATENT_SIZE)
    )
    assert [output["name"] for output in answer.get_response()["outputs"]] == [
        "log_variances",
        "means",
    ]
    assert answer.get_response()["model_version"] == "1"


def test_infer_without_outputs_gives_all(client: httpx.Client) -> None:
    """Plain JSON, flat or nested, is answered with every output as flat JSON."""
    tensor = {"name": "images", "shape": [3, 1, 8, 6], "datatype": "FP32"}
    flat, nested = (
        client.post("/v2/models/full.encoder/infer", json={"inputs": [{**tensor, "data": data}]})
        for data in (IMAGES.ravel().tolist(), IMAGES.tolist())
    )

    assert flat.json() == nested.json()
    assert flat.json()["outputs"][0]["shape"] == [3, LATENT_SIZE]
    assert np.allclose(flat.json()["outputs"][0]["data"][::LATENT_SIZE], MEANS)
    assert flat.headers["X-Model"] == "full@2"


def test_errors_reach_the_client(oip: triton.InferenceServerClient) -> None:
    """The client raises the protocol's own error with its text."""
    with pytest.raises(InferenceServerException, match="there are full"):
        oip.infer("full.nothing", [take(IMAGES, binary=True)])
    with pytest.raises(InferenceServerException, match="FP32 of N x 1 x 8 x 6"):
        oip.infer("full.encoder", [take(IMAGES[:, :, :4], binary=True)])


TENSOR = {"name": "images", "shape": [1, 1, 8, 6], "datatype": "FP32"}
DATA = {**TENSOR, "data": [0.5] * 48}
BYTES = {**TENSOR, "parameters": {"binary_data_size": 192}}


def body_of(*inputs: dict[str, object], **members: object) -> bytes:
    """Return the JSON part of a request."""
    return json.dumps({"inputs": inputs, **members}).encode()


BAD: dict[str, tuple[bytes, str | None]] = {
    "no json": (b"{", None),
    "not an object": (b"[]", None),
    "no inputs": (b"{}", None),
    "empty inputs": (body_of(), None),
    "two inputs": (body_of(DATA, DATA), None),
    "unknown input": (body_of({**DATA, "name": "pixels"}), None),
    "negative dimension": (body_of({**DATA, "shape": [-1, 1, 8, 6]}), None),
    "huge dimension": (body_of({**DATA, "shape": [2**60, 1, 8, 6]}), None),
    "fractional dimension": (body_of({**DATA, "shape": [1.5, 1, 8, 6]}), None),
    "boolean dimension": (body_of({**DATA, "shape": [True, 1, 8, 6]}), None),
    "no shape": (body_of({**DATA, "shape": []}), None),
    "empty batch": (body_of({**DATA, "shape": [0, 1, 8, 6], "data": []}), None),
    "unknown datatype": (body_of({**DATA, "datatype": "F32"}), None),
    "strings": (body_of({**DATA, "datatype": "BYTES"}), None),
    "other datatype": (body_of({**DATA, "datatype": "FP64"}), None),
    "too few numbers": (body_of({**DATA, "data": [0.5] * 47}), None),
    "nested to another shape": (body_of({**DATA, "data": [[0.5] * 24] * 2}), None),
    "a string among numbers": (body_of({**DATA, "data": ["a"] * 48}), None),
    "NaN": (body_of({**DATA, "data": [float("nan")] * 48}), None),
    "over float32": (body_of({**DATA, "data": [1e39] * 48}), None),
    "neither data nor bytes": (body_of(TENSOR), None),
    "both data and bytes": (
        body_of({**DATA, **BYTES}) + bytes(192),
        str(len(body_of({**DATA, **BYTES}))),
    ),
    "bytes that are too short": (body_of(BYTES) + bytes(191), str(len(body_of(BYTES)))),
    "bytes that nobody claims": (body_of(DATA) + bytes(4), str(len(body_of(DATA)))),
    "a negative size": (body_of({**TENSOR, "parameters": {"binary_data_size": -192}}), None),
    "a length over the body": (body_of(DATA), "99999999999"),
    "a negative length": (body_of(DATA), "-1"),
    "a length that is no number": (body_of(DATA), "abc"),
    "shared memory": (body_of({**TENSOR, "parameters": {"shared_memory_region": "x"}}), None),
    "unknown output": (body_of(DATA, outputs=[{"name": "x"}]), None),
    "an output twice": (body_of(DATA, outputs=[{"name": "latents"}] * 2), None),
    "very many outputs": (body_of(DATA, outputs=[{"name": "latents"}] * 1_000), None),
    "an output in shared memory": (
        body_of(DATA, outputs=[{"name": "latents", "parameters": {"shared_memory_region": "x"}}]),
        None,
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_requests(client: httpx.Client, case: str) -> None:
    """Bad input is 400 in the protocol's own form, and the next request is answered."""
    body, length = BAD[case]
    headers = {} if length is None else {"Inference-Header-Content-Length": length}

    answer = client.post("/v2/models/full.encoder/infer", content=body, headers=headers)

    assert answer.status_code == 400, answer.text
    assert set(answer.json()) == {"error"}
    assert client.post("/v2/models/full.encoder/infer", content=body_of(DATA)).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v2/models/none.encoder",
        "/v2/models/full.encoder/versions/9",
        "/v2/models/%2e%2e",
        "/v2/systemsharedmemory/status",
    ],
)
def test_unknown_paths(client: httpx.Client, path: str) -> None:
    """What is not served is 404, in the protocol's own form."""
    answer = client.get(path)

    assert answer.status_code == 404
    assert set(answer.json()) == {"error"}
