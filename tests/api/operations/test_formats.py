"""The same images give the same answer, whichever way they come and whoever comes with them."""

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
    """Return the array of a .npy answer."""
    return np.load(io.BytesIO(content), allow_pickle=False)


def encode_json(client: httpx.Client, batch: Batch) -> bytes:
    """Send nested numbers; return the latents' bytes."""
    answer = client.post(
        "/v1/encode", json={"images": batch.tolist()}, headers={"Accept": "application/x-npy"}
    )
    return bytes(read_latents(answer.content).tobytes())


def encode_npy(client: httpx.Client, batch: Batch) -> bytes:
    """Send an .npy array; return the latents' bytes."""
    headers = {"Accept": "application/x-npy", "Content-Type": "application/x-npy"}
    answer = client.post("/v1/encode", content=to_npy(batch), headers=headers)
    return bytes(read_latents(answer.content).tobytes())


def encode_tensor(client: httpx.Client, batch: Batch) -> bytes:
    """Send a tensor as bytes by the Open Inference Protocol; return the latents' bytes."""
    tensor = {"name": "images", "shape": batch.shape, "datatype": "FP32"}
    tensor["parameters"] = {"binary_data_size": batch.nbytes}
    form = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    head = json.dumps(form).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    path = "/v2/models/full.encoder/infer"
    answer = client.post(path, content=head + batch.tobytes(), headers=headers)
    return answer.content[int(answer.headers["Inference-Header-Content-Length"]) :]


@pytest.fixture(scope="module")
def agreed(url: str) -> Iterator[httpx.Client]:
    """A client for tests of many examples."""
    with httpx.Client(base_url=url, verify=TLS) as client:
        yield client


@settings(deadline=None, max_examples=50)
@given(batch=BATCHES)
def test_every_way_in_is_the_same(agreed: httpx.Client, batch: Batch) -> None:
    """JSON, .npy and tensors as bytes give the same latents, bit for bit."""
    ways = (encode_json, encode_npy, encode_tensor)

    answers = {way(agreed, batch) for way in ways}

    assert len(answers) == 1


@settings(deadline=None, max_examples=50)
@given(batch=BATCHES)
def test_neighbours_change_nothing(agreed: httpx.Client, batch: Batch) -> None:
    """An image in a batch is answered as if it had come alone."""
    alone = [encode_npy(agreed, batch[index : index + 1]) for index in range(len(batch))]

    assert encode_npy(agreed, batch) == b"".join(alone)
