"""The Open Inference Protocol, with the client `tritonclient[http]` and with raw requests."""

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
    """The unmodified public client."""
    client = triton.InferenceServerClient(url.removeprefix("http://"))
    yield client
    client.close()


def make_input(images: NDArray[np.float32], *, binary: bool) -> triton.InferInput:
    """Return an input tensor in JSON or binary form."""
    tensor = triton.InferInput("images", images.shape, "FP32")
    tensor.set_data_from_numpy(images, binary_data=binary)
    return tensor


def test_server_metadata(oip: triton.InferenceServerClient) -> None:
    """Health and metadata match the expectations of the client."""
    assert oip.is_server_live()
    assert oip.is_server_ready()
    assert oip.get_server_metadata()["name"] == "latentd"
    assert "binary_tensor_data" in oip.get_server_metadata()["extensions"]


def test_network_metadata(oip: triton.InferenceServerClient) -> None:
    """A network is a model with its graph's tensors, any batch size and the bundle's versions."""
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
def test_only_loaded_networks_are_ready(
    oip: triton.InferenceServerClient, name: str, version: str, ready: bool
) -> None:
    """Only loaded networks and versions are ready."""
    assert oip.is_model_ready(name, version) is ready


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_infer_accepts_and_returns_json_and_binary(
    oip: triton.InferenceServerClient, binary_in: bool, binary_out: bool
) -> None:
    """Inputs and outputs can be JSON or binary in any combination; the request id is returned."""
    outputs = [triton.InferRequestedOutput("latents", binary_data=binary_out)]

    inputs = [make_input(IMAGES, binary=binary_in)]

    response = oip.infer("full.encoder", inputs, outputs=outputs, request_id="r1")

    assert np.allclose(response.as_numpy("latents"), np.repeat(MEANS[:, None], LATENT_SIZE, axis=1))
    assert response.get_response()["id"] == "r1"
    assert response.get_response()["model_version"] == "2"


def test_infer_returns_mixed_outputs_of_a_version(oip: triton.InferenceServerClient) -> None:
    """One request can get a binary and a JSON output of a version, in the requested order."""
    outputs = [
        triton.InferRequestedOutput("log_variances", binary_data=True),
        triton.InferRequestedOutput("means", binary_data=False),
    ]

    response = oip.infer(
        "full.vae_encoder", [make_input(IMAGES, binary=True)], model_version="1", outputs=outputs
    )

    assert (
        response.as_numpy("means").shape
        == response.as_numpy("log_variances").shape
        == (3, LATENT_SIZE)
    )
    assert [output["name"] for output in response.get_response()["outputs"]] == [
        "log_variances",
        "means",
    ]
    assert response.get_response()["model_version"] == "1"


def test_infer_without_outputs_returns_all(client: httpx.Client) -> None:
    """A JSON request without outputs, flat or nested, gets every output as flat JSON."""
    tensor = {"name": "images", "shape": [3, 1, 8, 6], "datatype": "FP32"}
    flat, nested = (
        client.post("/v2/models/full.encoder/infer", json={"inputs": [{**tensor, "data": data}]})
        for data in (IMAGES.ravel().tolist(), IMAGES.tolist())
    )

    assert flat.json() == nested.json()
    assert flat.json()["outputs"][0]["shape"] == [3, LATENT_SIZE]
    assert np.allclose(flat.json()["outputs"][0]["data"][::LATENT_SIZE], MEANS)
    assert flat.headers["X-Model"] == "full@2"


def test_errors_reach_the_public_client(oip: triton.InferenceServerClient) -> None:
    """The public client raises its own exception with the text of the error."""
    with pytest.raises(InferenceServerException, match=r"full\.encoder"):
        oip.infer("full.nothing", [make_input(IMAGES, binary=True)])
    with pytest.raises(InferenceServerException, match=r"FP32 of shape \(N, 1, 8, 6\)"):
        oip.infer("full.encoder", [make_input(IMAGES[:, :, :4], binary=True)])


TENSOR = {"name": "images", "shape": [1, 1, 8, 6], "datatype": "FP32"}
DATA = {**TENSOR, "data": [0.5] * 48}
BYTES = {**TENSOR, "parameters": {"binary_data_size": 192}}


def make_body(*inputs: dict[str, object], **members: object) -> bytes:
    """Return the JSON part of a request."""
    return json.dumps({"inputs": inputs, **members}).encode()


INVALID: dict[str, tuple[bytes, str | None]] = {
    "no json": (b"{", None),
    "not an object": (b"[]", None),
    "no inputs": (b"{}", None),
    "empty inputs": (make_body(), None),
    "two inputs": (make_body(DATA, DATA), None),
    "unknown input": (make_body({**DATA, "name": "pixels"}), None),
    "negative dimension": (make_body({**DATA, "shape": [-1, 1, 8, 6]}), None),
    "huge dimension": (make_body({**DATA, "shape": [2**60, 1, 8, 6]}), None),
    "fractional dimension": (make_body({**DATA, "shape": [1.5, 1, 8, 6]}), None),
    "boolean dimension": (make_body({**DATA, "shape": [True, 1, 8, 6]}), None),
    "no shape": (make_body({**DATA, "shape": []}), None),
    "empty batch": (make_body({**DATA, "shape": [0, 1, 8, 6], "data": []}), None),
    "unknown datatype": (make_body({**DATA, "datatype": "F32"}), None),
    "strings": (make_body({**DATA, "datatype": "BYTES"}), None),
    "other datatype": (make_body({**DATA, "datatype": "FP64"}), None),
    "too few numbers": (make_body({**DATA, "data": [0.5] * 47}), None),
    "nested to another shape": (make_body({**DATA, "data": [[0.5] * 24] * 2}), None),
    "a string among numbers": (make_body({**DATA, "data": ["a"] * 48}), None),
    "NaN": (make_body({**DATA, "data": [float("nan")] * 48}), None),
    "over float32": (make_body({**DATA, "data": [1e39] * 48}), None),
    "neither data nor bytes": (make_body(TENSOR), None),
    "both data and bytes": (
        make_body({**DATA, **BYTES}) + bytes(192),
        str(len(make_body({**DATA, **BYTES}))),
    ),
    "bytes that are too short": (make_body(BYTES) + bytes(191), str(len(make_body(BYTES)))),
    "bytes without a tensor": (make_body(DATA) + bytes(4), str(len(make_body(DATA)))),
    "a negative size": (make_body({**TENSOR, "parameters": {"binary_data_size": -192}}), None),
    "a length over the body": (make_body(DATA), "99999999999"),
    "a negative length": (make_body(DATA), "-1"),
    "a length of 5,000 digits": (make_body(DATA), "9" * 5000),
    "a length that is not a number": (make_body(DATA), "abc"),
    "shared memory": (make_body({**TENSOR, "parameters": {"shared_memory_region": "x"}}), None),
    "unknown output": (make_body(DATA, outputs=[{"name": "x"}]), None),
    "a repeated output": (make_body(DATA, outputs=[{"name": "latents"}] * 2), None),
    "1,000 outputs": (make_body(DATA, outputs=[{"name": "latents"}] * 1_000), None),
    "an output in shared memory": (
        make_body(DATA, outputs=[{"name": "latents", "parameters": {"shared_memory_region": "x"}}]),
        None,
    ),
}


@pytest.mark.parametrize("case", INVALID)
def test_invalid_request_is_rejected_with_400(client: httpx.Client, case: str) -> None:
    """Invalid input is rejected with 400 in the protocol's format; the next request succeeds."""
    body, length = INVALID[case]
    headers = {} if length is None else {"Inference-Header-Content-Length": length}

    response = client.post("/v2/models/full.encoder/infer", content=body, headers=headers)

    assert response.status_code == 400, response.text
    assert set(response.json()) == {"error"}
    assert client.post("/v2/models/full.encoder/infer", content=make_body(DATA)).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v2/models/none.encoder",
        "/v2/models/full.encoder/versions/9",
        "/v2/models/%2e%2e",
        "/v2/systemsharedmemory/status",
    ],
)
def test_unknown_path_is_rejected_with_404(client: httpx.Client, path: str) -> None:
    """An unknown model or path is rejected with 404 in the protocol's format."""
    response = client.get(path)

    assert response.status_code == 404
    assert set(response.json()) == {"error"}
