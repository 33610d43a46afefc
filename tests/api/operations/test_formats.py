"""Input formats and batches do not change the result."""

import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from tests.support.fakes import IMAGE
from tests.support.image_files import to_npy
from tests.support.servers import TLS

Batch = NDArray[np.float32]

BATCHES = arrays.arrays(
    np.float32,
    st.integers(1, 5).map(lambda count: (count, *IMAGE.shape)),
    elements=st.floats(0, 1, width=32),
)


def read_latents(content: bytes) -> Any:  # noqa: ANN401 - an array
    """Return the array of a .npy response."""
    return np.load(io.BytesIO(content), allow_pickle=False)


def encode_json(client: httpx.Client, batch: Batch) -> bytes:
    """Send nested numbers and return the bytes of the latents."""
    response = client.post(
        "/v1/encode", json={"images": batch.tolist()}, headers={"Accept": "application/x-npy"}
    )
    return bytes(read_latents(response.content).tobytes())


def encode_npy(client: httpx.Client, batch: Batch) -> bytes:
    """Send an .npy array and return the bytes of the latents."""
    headers = {"Accept": "application/x-npy", "Content-Type": "application/x-npy"}
    response = client.post("/v1/encode", content=to_npy(batch), headers=headers)
    return bytes(read_latents(response.content).tobytes())


def encode_tensor(client: httpx.Client, batch: Batch) -> bytes:
    """Send a binary tensor by the Open Inference Protocol and return the bytes of the latents."""
    tensor = {"name": "images", "shape": batch.shape, "datatype": "FP32"}
    tensor["parameters"] = {"binary_data_size": batch.nbytes}
    message = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    head = json.dumps(message).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    path = "/v2/models/full.encoder/infer"
    response = client.post(path, content=head + batch.tobytes(), headers=headers)
    return response.content[int(response.headers["Inference-Header-Content-Length"]) :]


@pytest.fixture(scope="module")
def module_client(url: str) -> Iterator[httpx.Client]:
    """A client that all examples of a test share."""
    with httpx.Client(base_url=url, verify=TLS) as client:
        yield client


@settings(deadline=None, max_examples=50)
@given(batch=BATCHES)
def test_every_input_format_gives_identical_latents(
    module_client: httpx.Client, batch: Batch
) -> None:
    """JSON, .npy and binary tensors give bit-identical latents."""
    encoders = (encode_json, encode_npy, encode_tensor)

    results = {encode(module_client, batch) for encode in encoders}

    assert len(results) == 1


@settings(deadline=None, max_examples=50)
@given(batch=BATCHES)
def test_batch_gives_the_latents_of_single_images(
    module_client: httpx.Client, batch: Batch
) -> None:
    """An image in a batch has the same latents, bit for bit, as the image alone."""
    alone = [encode_npy(module_client, batch[index : index + 1]) for index in range(len(batch))]

    assert encode_npy(module_client, batch) == b"".join(alone)
