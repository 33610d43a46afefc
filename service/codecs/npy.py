"""NumPy's .npy format, read without `numpy.load`, which would also open pickles and archives."""

import io
import math

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from service.errors import MalformedInputError, UnsupportedFormatError

MEDIA_TYPE = "application/x-npy"

_HEADER_READERS = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
    (3, 0): npy.read_array_header_2_0,  # differs in the names of fields only, which are rejected
}
_DTYPES = frozenset(
    {"b1", "f2", "f4", "f8", *(f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8))}
)
_MAX_RANK = 8
_OTHER_FORMATS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def read_npy(content: bytes) -> NDArray[np.generic]:
    """Return the array of a .npy file: booleans, integers or floats, native byte order, C order.

    Raises:
        MalformedInputError: not a complete .npy file, or its header contradicts its size.
        UnsupportedFormatError: an archive, a pickle, or another dtype.
    """
    if content.startswith(_OTHER_FORMATS):
        raise UnsupportedFormatError("Expected one plain .npy array; .npz and pickle are not read.")
    stream = io.BytesIO(content)
    try:
        shape, fortran, dtype = _HEADER_READERS[npy.read_magic(stream)](stream)
    except Exception as error:  # NumPy evaluates a Python literal, which fails in many ways
        raise MalformedInputError("The body is not a .npy file of version 1 to 3.") from error
    if dtype.str[1:] not in _DTYPES:
        raise UnsupportedFormatError(
            f"Unsupported .npy dtype {dtype!s:.40}; "
            "supported: bool, integers, float16, float32, float64."
        )
    data = bytearray(memoryview(content)[stream.tell() :])  # writable: torch warns otherwise
    if len(shape) > _MAX_RANK or math.prod(shape) * dtype.itemsize != len(data):
        raise MalformedInputError("The shape in the .npy header does not match its data.")
    try:
        array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    except (ValueError, TypeError) as error:
        raise MalformedInputError("The shape in the .npy header is invalid.") from error
    return np.asarray(array, dtype=dtype.newbyteorder("="), order="C")


def write_npy(array: NDArray[np.generic]) -> bytes:
    """Return an array as a .npy file of version 1."""
    stream = io.BytesIO()
    npy.write_array(stream, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return stream.getvalue()
