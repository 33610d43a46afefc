"""Arrays of a bundle as safetensors files: plain tensors with a header, nothing executable."""

from collections.abc import Container, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from service.errors import ArtifactError

Floats: TypeAlias = NDArray[np.float32]
Doubles: TypeAlias = NDArray[np.float64]
Labels: TypeAlias = NDArray[np.int64]
"""Class indices, 0 or more."""
Pixels: TypeAlias = NDArray[np.uint8]
Tensors: TypeAlias = dict[str, NDArray[Any]]

_DTYPES: Mapping[Any, str] = {
    Floats: "<f4",
    Doubles: "<f8",
    Doubles | None: "<f8",
    float: "<f8",
    Pixels: "|u1",
    Labels: "<i8",
    Labels | None: "<i8",
}
"""The stored dtype of each annotation that a field of a `TensorRecord` may have."""


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """Base of dataclasses that are stored as one safetensors file, with a tensor for each field.

    A field with a default is optional; a `float` is stored with shape (1,); the tensors of a
    field that is itself a record are stored beside the others.
    """

    shapes: ClassVar[Mapping[str, str]] = {}
    """Dimensions of each array: a digit is a size, a letter the same size in all arrays."""

    def check(self) -> None:
        """Check the values; dtypes, shapes and finiteness are already checked.

        Raises:
            ArtifactError: a value is out of range.
        """

    def to_bytes(self, omit: Container[str] = ()) -> bytes:
        """Return the safetensors file, without the tensors in `omit`."""
        tensors = self.to_tensors()
        return bytes(save({name: tensors[name] for name in tensors if name not in omit}))

    @classmethod
    def from_bytes(cls, content: bytes, shared: Tensors | None = None) -> Self:
        """Read a safetensors file, with tensors of another file that this one omits.

        Raises:
            ArtifactError: the file is unreadable, or a tensor is missing, unknown, not finite, of
                another dtype or shape, or out of range.
        """
        tensors = {**(shared or {}), **read_tensors(content)}
        record = cls.from_tensors(tensors)
        if tensors:
            raise ArtifactError(f"unexpected tensors: {', '.join(sorted(tensors))}")
        return record

    def to_tensors(self) -> Tensors:
        """Return the tensors to store, by name."""
        tensors: Tensors = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, TensorRecord):
                tensors |= value.to_tensors()
            elif value is not None:
                tensors[field.name] = np.ascontiguousarray(value, _DTYPES[field.type])
        return tensors

    @classmethod
    def from_tensors(cls, tensors: Tensors) -> Self:
        """Build a record and remove its tensors from `tensors`."""
        values: dict[str, Any] = {}
        sizes: dict[str, int] = {}
        for field in fields(cls):
            name = field.name
            if isinstance(field.type, type) and issubclass(field.type, TensorRecord):
                values[name] = field.type.from_tensors(tensors)
            elif name in tensors:
                tensor = tensors.pop(name)
                _check_tensor(name, tensor, _DTYPES[field.type], cls.shapes.get(name, "1"), sizes)
                values[name] = tensor.item() if field.type is float else tensor
            elif field.default is MISSING:
                raise ArtifactError(f"tensor {name} is missing")
        record = cls(**values)
        record.check()
        return record


def _check_tensor(
    name: str, tensor: NDArray[Any], dtype: str, dimensions: str, sizes: dict[str, int]
) -> None:
    """Check a tensor's dtype and shape; add the sizes of new letters in `dimensions` to `sizes`."""
    if tensor.dtype != dtype:
        raise ArtifactError(f"expected {name} of dtype {np.dtype(dtype)}, got {tensor.dtype}")
    if tensor.ndim == len(dimensions) and tensor.size > 0:
        for dimension, size in zip(dimensions, tensor.shape, strict=True):
            sizes.setdefault(dimension, int(dimension) if dimension.isdecimal() else size)
    if tensor.shape != tuple(sizes.get(dimension) for dimension in dimensions):
        known = {letter: f"{letter}={size}" for letter, size in sizes.items() if letter.isalpha()}
        shape = ", ".join(known.get(dimension, dimension) for dimension in dimensions)
        raise ArtifactError(f"expected {name} of shape ({shape}), got {tensor.shape}")
    if np.issubdtype(tensor.dtype, np.integer) and tensor.min() < 0:
        raise ArtifactError(f"expected {name} of 0 or more, got {tensor.min()}")


def write_reference_errors(errors: Floats) -> bytes:
    """Return the safetensors file of a test set's reconstruction errors, (N,) in any order."""
    return bytes(save({"errors": np.sort(np.asarray(errors, dtype="<f4"))}))


def read_reference_errors(content: bytes) -> Floats:
    """Return a test set's reconstruction errors: (N,) float32, ascending.

    Raises:
        ArtifactError: the file is unreadable, or its errors are not an ascending vector.
    """
    errors: Floats = read_tensors(content, "errors")["errors"]
    if errors.ndim != 1 or not errors.size or (np.diff(errors) < 0).any():
        raise ArtifactError(f"expected ascending errors of shape (N,), got shape {errors.shape}")
    return errors


def read_tensors(content: bytes, *required: str) -> Tensors:
    """Read a safetensors file.

    Raises:
        ArtifactError: the file is unreadable, lacks a `required` tensor or has NaN or infinity.
    """
    try:
        tensors: Tensors = load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ArtifactError(f"not a readable safetensors file: {error}") from error
    if missing := set(required) - tensors.keys():
        raise ArtifactError(f"tensors are missing: {', '.join(sorted(missing))}")
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ArtifactError(f"tensor {name} has NaN or infinity")
    return tensors
