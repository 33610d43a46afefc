"""The Open Inference Protocol's bytes: whatever comes is a batch, or one of our errors."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.artifact import GraphFile, NetworkSpec, TensorSpec
from service.artifact.manifest import parse_manifest
from service.errors import ArtifactError, RequestError
from service.http.limits import Limits
from service.oip.tensors import read_inference

LIMITS = Limits(
    body_bytes=100_000, images=20, pixels=40_000, samples=300, json_bytes=50_000, json_values=10_000
)
SPEC = NetworkSpec(
    input=TensorSpec(name="images", shape=(1, 2, 3)),
    outputs=(TensorSpec(name="latents", shape=(4,)),),
    formats={"onnx": GraphFile(file="encoder.onnx", parity=0.0)},
)
FLOATS = st.lists(st.floats(-10, 10, width=32), min_size=6, max_size=6)


def write_binary(batch: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> tuple[bytes, str]:
    """Return a request with its tensor as bytes, and the length of its JSON part."""
    tensor = {"name": "images", "shape": batch.shape, "datatype": "FP32"}
    tensor["parameters"] = {"binary_data_size": batch.nbytes}
    head = json.dumps({"inputs": [tensor]}).encode()
    return head + batch.tobytes(), str(len(head))


def is_answered(body: bytes, length: str | None) -> bool:
    """Tell whether a body is understood or refused; another error is a failure of the test."""
    try:
        inference = read_inference(body, length, SPEC, LIMITS)
    except RequestError as error:
        return bool(str(error))
    return inference.batch.shape[1:] == (1, 2, 3) and bool(np.isfinite(inference.batch).all())


@settings(deadline=None, max_examples=300)
@given(st.binary(), st.none() | st.text(max_size=8) | st.integers(-2, 300).map(str))
def test_any_bytes(body: bytes, length: str | None) -> None:
    """Any bytes with any header are understood or refused."""
    assert is_answered(body, length)


@settings(deadline=None, max_examples=400)
@given(FLOATS, st.data())
def test_any_change_of_a_good_body(values: list[float], data: st.DataObject) -> None:
    """A good request of which some bytes were changed, cut or added is understood or refused."""
    good, length = write_binary(np.array(values, "<f4").reshape(1, 1, 2, 3))
    body = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))

    assert is_answered(bytes(body), length)


@settings(deadline=None)
@given(st.lists(FLOATS, min_size=1, max_size=4))
def test_both_forms_are_the_same(values: list[list[float]]) -> None:
    """Numbers in JSON and as bytes give the same batch, bit for bit."""
    batch = np.array(values, "<f4").reshape(-1, 1, 2, 3)
    tensor = {"name": "images", "shape": batch.shape, "datatype": "FP32", "data": batch.tolist()}
    in_json = json.dumps({"inputs": [tensor]}).encode()

    read = [
        read_inference(body, length, SPEC, LIMITS).batch
        for body, length in ((in_json, None), write_binary(batch))
    ]

    assert [one.tobytes() for one in read] == [batch.tobytes()] * 2


@settings(deadline=None)
@given(st.binary() | st.dictionaries(st.text(), st.integers()).map(json.dumps).map(str.encode))
def test_any_bytes_are_no_manifest(content: bytes) -> None:
    """What is no manifest is refused as one."""
    with pytest.raises(ArtifactError):
        parse_manifest(content)
