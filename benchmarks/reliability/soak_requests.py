"""Requests of the soak test: all operations and formats, large ones, and invalid ones."""

import io
import itertools
import json
import random
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.http_load import OK, Client, Request
from benchmarks.reliability.attack_inputs import encode, make_numbers, make_photo, make_tensor

_INVALID_SHARE = 0.05
_SEED = 1
_NPY = "application/x-npy"

INVALID = {
    Request("broken JSON", "/v1/encode", b'{"images": ['): 400,
    Request("not an image", "/v1/encode", b'{"images": ["aGVsbG8="]}'): 422,
    Request("wrong shape", "/v1/denoise", b'{"images": [[[0.5, 0.5], [0.5, 0.5]]]}'): 422,
    Request("truncated", "/v1/classify", b"\x89PNG\r\n\x1a\n" + bytes(20), "image/png"): 400,
    Request("too many", "/v1/sample", b'{"count": 1000000000}'): 413,
    Request("unknown model", "/v1/decode?model=nothing", b'{"latents": [[0.5]]}'): 404,
    Request("empty npy", "/v1/encode", b"\x93NUMPY\x01\x00\x76\x00" + b" " * 118, _NPY): 400,
    Request("pickle", "/v1/encode", b"\x80\x04N.", _NPY): 415,
    Request("broken tensor", "/v2/models/mnist.encoder/infer", b'{"inputs": []}'): 400,
}
"""Expected status by invalid request."""


def _write_npy(array: NDArray[np.float64]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array.astype(np.float32))
    return stream.getvalue()


async def make_valid(client: Client) -> list[Request]:
    """Return valid requests for all operations and formats, with images from the service.

    Raises:
        RuntimeError: The service returns no images.
    """
    response = await client.send(Request("images", "/v1/sample", b'{"count": 8, "seed": 3}'))
    if response.status != OK:
        raise RuntimeError(f"Expected status {OK} for samples, got {response.status}.")
    samples = json.loads(response.body)
    one = json.dumps({"images": samples["images"][:1]}).encode()
    many = json.dumps({"images": samples["images"]}).encode()
    pair = json.dumps({"images": samples["images"][:2], "steps": 6}).encode()
    latents = json.dumps({"latents": samples["latents"]}).encode()
    array = _write_npy(np.random.default_rng(_SEED).random((16, 28, 28)))
    return [
        *(Request(name, f"/v1/{name}", one) for name in ("encode", "reconstruct", "denoise")),
        Request("classify", "/v1/classify?model=mnist", many),
        Request("reconstruct 8", "/v1/reconstruct", many),
        Request("encode npy", "/v1/encode?space=vae", array, _NPY),
        Request("denoise npy", "/v1/denoise?encoding=array", array, _NPY),
        Request("decode", "/v1/decode", latents),
        Request("sample", "/v1/sample?source=prior", b'{"seed": 5}'),
        Request("sample 32", "/v1/sample", b'{"count": 32, "seed": 6}'),
        Request("interpolate", "/v1/interpolate", pair),
        _make_tensor_request(),
        *make_large(),
    ]


def make_large() -> list[Request]:
    """Return requests with a photograph of 12 megapixels, and with long bodies and responses."""
    array = _write_npy(np.random.default_rng(_SEED).random((1024, 28, 28)))
    return [
        encode("photograph", make_photo(), "image/jpeg"),
        Request("encode 1,024", "/v1/encode", array, _NPY),
        make_numbers(128),
        make_tensor(64),
        Request("sample 256", "/v1/sample", b'{"count": 256, "encoding": "array", "seed": 7}'),
    ]


def _make_tensor_request() -> Request:
    data = [0.25] * 784
    tensor = {"name": "images", "shape": [1, 1, 28, 28], "datatype": "FP32", "data": data}
    body = json.dumps({"inputs": [tensor]}).encode()
    return Request("infer", "/v2/models/mnist.encoder/infer", body)


def mix(valid: Sequence[Request], rng: random.Random) -> Iterator[Request]:
    """Yield requests without end: all valid ones equally often, and one in twenty invalid."""
    invalid = list(INVALID)
    for number in itertools.count():
        if rng.random() < _INVALID_SHARE:
            yield rng.choice(invalid)
        else:
            yield valid[number % len(valid)]
