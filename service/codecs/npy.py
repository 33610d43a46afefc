"""NumPy's .npy form, read without `numpy.load`, which would also open pickles and archives."""

import io
import math

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from service.errors import MalformedInputError, UnsupportedFormatError

MEDIA_TYPE = "application/x-npy"

_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_TYPES = {"u1", "f4", "f8"}
_MAX_RANK = 8
_OTHER_ARRAYS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def read_npy(content: bytes) -> NDArray[np.generic]:
    """Return the array of a .npy file: uint8, float32 or float64, native byte order, C order.

    Raises:
        MalformedInputError: not a whole .npy file, or one whose header lies about its size.
        UnsupportedFormatError: an archive, a pickle, or another type of number.
    """
    if content.startswith(_OTHER_ARRAYS):
        raise UnsupportedFormatError("send one plain .npy array; .npz and pickles are not read")
    stream = io.BytesIO(content)
    try:
        shape, fortran, dtype = _READERS[npy.read_magic(stream)](stream)
    except Exception as error:  # NumPy evaluates a Python literal, which fails in many ways
        raise MalformedInputError("the body is no .npy file of version 1 or 2") from error
    if dtype.str[1:] not in _TYPES:
        raise UnsupportedFormatError("an .npy array must be uint8, float32 or float64")
    data = bytearray(memoryview(content)[stream.tell() :])  # writable: torch warns of others
    if len(shape) > _MAX_RANK or math.prod(shape) * dtype.itemsize != len(data):
        raise MalformedInputError("the .npy header's shape does not fit the bytes that follow")
    try:
        array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    except (ValueError, TypeError) as error:
        raise MalformedInputError("the .npy header's shape is none of an array") from error
    return np.asarray(array, dtype=dtype.newbyteorder("="), order="C")


def write_npy(array: NDArray[np.generic]) -> bytes:
    """Return an array as a .npy file of version 1."""
    stream = io.BytesIO()
    npy.write_array(stream, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return stream.getvalue()
