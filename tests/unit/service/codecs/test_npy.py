"""The .npy reader: the array that NumPy reads, or one of our errors, for any bytes."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.codecs.npy import read_npy, write_npy
from service.errors import MalformedInputError, RequestError, UnsupportedFormatError
from tests.support.image_files import to_npy

TYPES = st.sampled_from(["<f4", ">f4", "<f8", ">f8", "|u1"])


def make_file(header: str, data: bytes = b"", version: int = 1) -> bytes:
    """Return a .npy file with any text as its header."""
    encoded = header.encode("latin-1")
    length = len(encoded).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + encoded + data


def describe(shape: str, descr: str = "'<f4'") -> str:
    """Return the text of a header."""
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n"


@settings(deadline=None)
@given(st.data(), st.booleans())
def test_array_round_trip(data: st.DataObject, fortran: bool) -> None:
    """Arrays in any byte and memory order are read as equal arrays in native, C order."""
    array = data.draw(hnp.arrays(data.draw(TYPES), hnp.array_shapes(min_dims=0, max_dims=5)))

    read = read_npy(to_npy(np.asarray(array, order="F" if fortran else "C")))

    assert read.dtype == array.dtype.newbyteorder("=")
    assert read.flags.c_contiguous
    assert read.flags.writeable
    assert np.array_equal(read, array, equal_nan=read.dtype != np.uint8)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_rejected(content: bytes) -> None:
    """Random bytes raise one of our errors."""
    with pytest.raises(RequestError):
        read_npy(content)


@settings(deadline=None, max_examples=300)
@given(st.text(st.characters(max_codepoint=255), max_size=80), st.binary(max_size=40))
def test_random_header_is_rejected(header: str, data: bytes) -> None:
    """A random header raises one of our errors."""
    with pytest.raises(RequestError):
        read_npy(make_file(header, data))


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_changed_file_is_read_as_by_numpy(data: st.DataObject) -> None:
    """A file with one changed byte gives the array that NumPy reads, or one of our errors."""
    content = bytearray(to_npy(np.arange(6, dtype=np.float32).reshape(2, 3)))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255))

    try:
        read = read_npy(bytes(content))
    except RequestError:
        return

    assert np.array_equal(read, np.load(io.BytesIO(content)), equal_nan=True)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00",
        b"a text",
        make_file(describe("(1000000000000,)"), bytes(8)),
        make_file(describe("(-1, -1)"), bytes(4)),
        make_file(describe("(-1, -2)"), bytes(8)),
        make_file(describe("(0, 1000000000000000000000)")),
        make_file(describe("(True,)"), bytes(4)),
        make_file(describe("(1.0,)"), bytes(4)),
        make_file(describe("(1,)" * 5000), bytes(4)),
        make_file(describe("(" + "1," * 9 + ")"), bytes(4)),
        make_file("{"),
        make_file("("),
        make_file("-" * 9000 + "1"),
        make_file("[" * 500),
        make_file(describe("(1,)"), bytes(4), version=4),
        to_npy(np.zeros(9, np.float32))[:-4],
        to_npy(np.zeros(9, np.float32)) + bytes(400),
    ],
    ids=lambda content: repr(content[10:40]),
)
def test_damaged_file_is_malformed(content: bytes) -> None:
    """A file of another format, version or size than it declares is malformed."""
    with pytest.raises(MalformedInputError):
        read_npy(content)


@pytest.mark.parametrize(
    "content",
    [
        to_npy(np.zeros(3, np.complex64)),
        to_npy(np.zeros(3, [("a", "<f4")])),
        to_npy(np.array(["text"])),
        make_file(describe("(1,)", "'|O'"), bytes(8)),
        make_file(describe("(1,)", "'(2,)<f4'"), bytes(8)),
        b"PK\x03\x04 an archive",
        b"\x80\x04\x95 a pickle",
    ],
    ids=lambda content: repr(content[:30]),
)
def test_other_arrays_are_unsupported(content: bytes) -> None:
    """Other dtypes, objects, archives and pickles are unsupported."""
    with pytest.raises(UnsupportedFormatError):
        read_npy(content)


def test_numpy_reads_a_written_array() -> None:
    """A written array is a .npy file of version 1 that NumPy reads."""
    array = np.arange(12, dtype=np.float32).reshape(3, 4).T

    content = write_npy(array)

    assert content[6:8] == b"\x01\x00"
    assert np.array_equal(np.load(io.BytesIO(content)), array)
