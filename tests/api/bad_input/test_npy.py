""".npy bodies that are malformed or have the wrong type, shape or range."""

import io
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.fakes import LATENT_SIZE
from tests.support.image_files import to_npy

ExpectProblem = Callable[..., dict[str, Any]]

NPY = {"Content-Type": "application/x-npy"}
GREY = np.full((2, 1, 8, 6), 0.5, np.float32)


def forge_npy(shape: str, data: bytes = b"", descr: str = "<f4") -> bytes:
    """Return a .npy file with an arbitrary header."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


def pack_archive() -> bytes:
    """Return a .npz archive."""
    stream = io.BytesIO()
    np.savez_compressed(stream, images=GREY)
    return stream.getvalue()


MALFORMED = {
    "empty": b"",
    "three bytes": b"\x93NU",
    "magic only": b"\x93NUMPY",
    "text": b"0.5 0.5 0.5",
    "JSON": b'{"images": []}',
    "short by four bytes": to_npy(GREY)[:-4],
    "400 bytes too long": to_npy(GREY) + bytes(400),
    "a trillion numbers": forge_npy("(1000000000000,)", bytes(4)),
    "negative sizes": forge_npy("(-1, -2)", bytes(8)),
    "huge and empty": forge_npy("(0, 1000000000000000000000)"),
    "boolean size": forge_npy("(True,)", bytes(4)),
    "9 dimensions": to_npy(np.zeros((1,) * 9, np.float32)),
    "header of minus signs": b"\x93NUMPY\x01\x00\x28\x23" + b"-" * 9000,
    "header of 60 KB": b"\x93NUMPY\x01\x00\x60\xea" + b" " * 60_000,
    "unfinished header": b"\x93NUMPY\x01\x00\x01\x00{",
    "future version": b"\x93NUMPY\x09" + to_npy(GREY)[7:],
}
UNSUPPORTED = {
    "objects": forge_npy("(1,)", b"\x80\x04N.", "|O"),
    "pickle": b"\x80\x04\x95\x10" + bytes(20),
    "archive": pack_archive(),
    "complex": to_npy(GREY.astype(np.complex64)),
    "structured": to_npy(np.zeros(3, [("a", "<f4")])),
    "text numbers": to_npy(np.array(["0.5"])),
    "dates": to_npy(np.zeros(3, "datetime64[s]")),
}


@pytest.mark.parametrize("operation", ["encode", "decode", "interpolate"])
@pytest.mark.parametrize("fault", MALFORMED)
def test_malformed_npy_is_rejected_with_400(
    expect_problem: ExpectProblem, fault: str, operation: str
) -> None:
    """A malformed .npy file, or one with a false header, is rejected with 400."""
    expect_problem(400, f"/v1/{operation}", content=MALFORMED[fault], headers=NPY)


@pytest.mark.parametrize("operation", ["encode", "decode", "interpolate"])
@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_unsupported_array_type_is_rejected_with_415(
    expect_problem: ExpectProblem, kind: str, operation: str
) -> None:
    """Types other than uint8, float32 and float64 are rejected with 415; pickles are not loaded."""
    expect_problem(415, f"/v1/{operation}", content=UNSUPPORTED[kind], headers=NPY)


WRONG_IMAGES = {
    "a number": np.float32(0.5),
    "a row": GREY[0, 0, 0],
    "swapped": np.full((6, 8), 0.5, np.float32),
    "a column too many": np.full((2, 1, 8, 7), 0.5, np.float32),
    "two channels": np.full((2, 2, 8, 6), 0.5, np.float32),
    "no images": GREY[:0],
    "no columns": GREY[..., :0],
    "channels last": np.full((2, 8, 6, 1), 0.5, np.float32),
    "five dimensions": GREY[None],
    "NaN": np.full_like(GREY, np.nan),
    "infinity": np.full_like(GREY, np.inf),
    "over one": np.full_like(GREY, 1.001),
    "up to 255": np.full_like(GREY, 255),
    "negative": np.full_like(GREY, -0.001),
    "large": np.full_like(GREY, 1e300, dtype=np.float64),
}


@pytest.mark.parametrize("fault", WRONG_IMAGES)
def test_array_that_does_not_fit_images_is_rejected(
    expect_problem: ExpectProblem, fault: str
) -> None:
    """An array of the wrong shape or range is rejected with 422 instead of being converted."""
    content = to_npy(np.asarray(WRONG_IMAGES[fault]))

    problem = expect_problem(422, "/v1/encode", content=content, headers=NPY)

    assert problem["errors"][0]["pointer"] == "/images"


WRONG_LATENTS = {
    "a number": np.float32(0.5),
    "one too many": np.zeros((2, LATENT_SIZE + 1), np.float32),
    "a wrong row": np.zeros(LATENT_SIZE + 1, np.float32),
    "none": np.zeros((0, LATENT_SIZE), np.float32),
    "three dimensions": np.zeros((1, 2, LATENT_SIZE), np.float32),
    "bytes": np.zeros((2, LATENT_SIZE), np.uint8),
    "NaN": np.full((2, LATENT_SIZE), np.nan),
    "infinity": np.full((2, LATENT_SIZE), np.inf),
    "over float32": np.full((2, LATENT_SIZE), 1e39),
}


@pytest.mark.parametrize("fault", WRONG_LATENTS)
def test_array_that_does_not_fit_latents_is_rejected(
    expect_problem: ExpectProblem, fault: str
) -> None:
    """Latents of the wrong shape or type, or outside finite float32, are rejected with 422."""
    content = to_npy(np.asarray(WRONG_LATENTS[fault]))

    problem = expect_problem(422, "/v1/decode", content=content, headers=NPY)

    assert problem["errors"][0]["pointer"] == "/latents"


@pytest.mark.parametrize(
    ("operation", "array"),
    [
        ("encode", np.zeros((21, 1, 8, 6), np.uint8)),
        ("encode", np.zeros((21, 8, 6), np.uint8)),
        ("decode", np.zeros((21, LATENT_SIZE), np.float32)),
        ("interpolate", np.zeros((21, LATENT_SIZE), np.float32)),
    ],
)
def test_too_many_items_are_rejected_with_413(
    expect_problem: ExpectProblem, operation: str, array: NDArray[Any]
) -> None:
    """More images or latents than the limit are rejected with 413."""
    problem = expect_problem(413, f"/v1/{operation}", content=to_npy(array), headers=NPY)

    assert "LATENTD_MAX_IMAGES" in problem["detail"]


@pytest.mark.parametrize(
    ("operation", "array"),
    [("encode", np.zeros((50, 6), np.float32)), ("decode", np.zeros(50, np.float32))],
)
def test_rows_of_one_item_do_not_count_as_items(
    expect_problem: ExpectProblem, operation: str, array: NDArray[Any]
) -> None:
    """One large image or latent code counts as one item and is rejected for its shape only."""
    problem = expect_problem(422, f"/v1/{operation}", content=to_npy(array), headers=NPY)

    assert problem["detail"].startswith("Expected ")


@pytest.mark.parametrize("operation", ["encode", "decode"])
def test_byte_and_memory_order_do_not_change_the_result(
    client: httpx.Client, operation: str
) -> None:
    """Big-endian and Fortran-ordered arrays give bit-identical responses."""
    rng = np.random.default_rng(0)
    shape = (3, 1, 8, 6) if operation == "encode" else (3, LATENT_SIZE)
    array = rng.random(shape).astype("<f4")

    responses = {
        client.post(f"/v1/{operation}", content=to_npy(variant), headers=NPY).content
        for variant in (
            array,
            array.astype(">f4"),
            np.asarray(array, order="F"),
            array.astype(">f8"),
        )
    }

    assert len(responses) == 1
