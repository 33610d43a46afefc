"""Tensor files: read back as written, or rejected with an error that names the tensor."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from safetensors.numpy import load, save

from service.artifact.tensor_files import (
    Floats,
    Labels,
    TensorRecord,
    read_reference_errors,
    write_reference_errors,
)
from service.errors import ArtifactError


@dataclass(frozen=True, slots=True)
class Inner(TensorRecord):
    """A record with a required and an optional array."""

    shapes: ClassVar[Mapping[str, str]] = {"codes": "NL", "labels": "N"}

    codes: Floats
    labels: Labels | None = None


@dataclass(frozen=True, slots=True)
class Outer(TensorRecord):
    """A record with a nested record, a number and an array of fixed size."""

    shapes: ClassVar[Mapping[str, str]] = {"axes": "2L"}

    inner: Inner
    width: float
    axes: Floats

    def check(self) -> None:
        """Reject a negative width."""
        if self.width < 0:
            raise ArtifactError("negative width")


def make_tensors(**changes: Any) -> bytes:  # noqa: ANN401 - tensors of any kind
    """Return the file of an `Outer` with some tensors changed; None leaves one out."""
    tensors = {
        "codes": np.zeros((5, 3), np.float32),
        "labels": np.arange(5),
        "width": np.array([0.5]),
        "axes": np.zeros((2, 4), np.float32),
        **changes,
    }
    return bytes(save({name: tensor for name, tensor in tensors.items() if tensor is not None}))


def test_a_record_is_read_back_as_written() -> None:
    """Nested records, numbers and missing optional arrays survive their file."""
    written = Outer(Inner(np.ones((5, 3), np.float32)), 0.25, np.ones((2, 4), np.float32))

    read = Outer.from_bytes(written.to_bytes())

    assert sorted(load(written.to_bytes())) == ["axes", "codes", "width"]
    assert read.inner.labels is None
    assert read.inner.codes.tolist() == written.inner.codes.tolist()
    assert (read.width, read.axes.tolist()) == (0.25, written.axes.tolist())


def test_a_record_stores_the_declared_dtypes() -> None:
    """Arrays of other dtypes and orders are converted when they are stored."""
    codes = np.asfortranarray(np.arange(6.0).reshape(2, 3))

    stored = load(Inner(codes, np.array([1, 0], np.int32)).to_bytes())

    assert (stored["codes"].dtype, stored["labels"].dtype) == (np.float32, np.int64)
    assert stored["codes"].tolist() == codes.tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": None}, "tensor axes is missing"),
        ({"codes": None}, "tensor codes is missing"),
        ({"more": np.zeros(1)}, "unexpected tensors: more"),
        ({"codes": np.zeros((5, 3))}, "expected codes of dtype float32, got float64"),
        ({"codes": np.zeros(5, np.float32)}, r"expected codes of shape \(N, L\), got \(5,\)"),
        ({"codes": np.zeros((0, 3), np.float32)}, r"of shape \(N, L\), got \(0, 3\)"),
        ({"labels": np.arange(4)}, r"expected labels of shape \(N=5\), got \(4,\)"),
        ({"labels": np.arange(-1, 4)}, "expected labels of 0 or more, got -1"),
        ({"width": np.zeros(2)}, r"expected width of shape \(1\), got \(2,\)"),
        ({"width": np.array(0.5)}, r"expected width of shape \(1\), got \(\)"),
        ({"width": np.array([np.nan])}, "tensor width has NaN or infinity"),
        ({"width": np.array([-1.0])}, "negative width"),
        ({"axes": np.zeros((3, 4), np.float32)}, r"axes of shape \(2, L=4\), got \(3, 4\)"),
    ],
)
def test_a_rejected_file_names_the_tensor(changes: dict[str, Any], message: str) -> None:
    """The error states the tensor, the expected value and the actual one."""
    with pytest.raises(ArtifactError, match=message):
        Outer.from_bytes(make_tensors(**changes))


def test_reference_errors_are_stored_ascending() -> None:
    """Errors are sorted when they are written."""
    content = write_reference_errors(np.array([0.3, 0.1, 0.2], np.float32))

    assert read_reference_errors(content).tolist() == pytest.approx([0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    "errors", [np.array([]), np.zeros((2, 2)), np.array([np.nan]), np.array([0.2, 0.1])]
)
def test_reference_errors_are_an_ascending_vector(errors: Any) -> None:  # noqa: ANN401 - an array
    """Unsorted errors would give wrong percentiles without any other symptom."""
    with pytest.raises(ArtifactError):
        read_reference_errors(bytes(save({"errors": errors})))
