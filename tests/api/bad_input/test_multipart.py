"""Malformed multipart bodies, unexpected parts and unusual valid parts."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.support.image_files import make_png, to_base64

ExpectProblem = Callable[..., dict[str, Any]]

PNG = make_png(51)
HEADERS = {"Content-Type": "multipart/form-data; boundary=B"}
END = b"--B--\r\n"


def make_part(content: bytes = PNG, name: str = 'name="images"; filename="a.png"') -> bytes:
    """Return a part from its boundary to the end of its content."""
    return (
        b"--B\r\nContent-Disposition: form-data; " + name.encode() + b"\r\n\r\n" + content + b"\r\n"
    )


def add_header(header: bytes) -> bytes:
    """Return a part with one additional header."""
    return make_part().replace(b"\r\n\r\n", b"\r\n" + header + b"\r\n\r\n", 1)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary="',
        "multipart/form-data; boundary=C",
        "multipart/form-data; boundary*=utf-8''%ff",
        "multipart/form-data; boundary=" + "B" * 5000,
    ],
)
def test_missing_boundary_is_rejected_with_400(
    expect_problem: ExpectProblem, content_type: str
) -> None:
    """A body without the boundary from its content type is rejected with 400."""
    expect_problem(
        400, "/v1/encode", content=make_part() + END, headers={"Content-Type": content_type}
    )


MALFORMED = {
    "empty": b"",
    "no end": make_part(),
    "cut": make_part()[:-40],
    "no part": b"text" + END,
    "a preamble of 90 KB": b"x" * 90_000 + make_part() + END,
    "a part header of 50 KB": add_header(b"X: " + b"a" * 50_000) + END,
    "5,000 part headers": add_header(b"\r\n".join([b"X: y"] * 5000)) + END,
    "no disposition": b"--B\r\nX: y\r\n\r\n" + PNG + b"\r\n" + END,
    "no name": make_part(name='filename="a.png"') + END,
    "an empty file": make_part(b"") + END,
    "a text": make_part(b"text") + END,
    "bad base64": add_header(b"Content-Transfer-Encoding: base64") + END,
    "a valid part and a corrupt part": make_part() + make_part(PNG[:40]) + END,
    "2,000 small parts": make_part(b"x") * 900 + END,
}
UNEXPECTED = {
    "no parts": END,
    "only line ends": b"\r\n" * 1000 + END,
    "another name": make_part(name='name="attachment"; filename="a.png"') + END,
    "a field": make_part() + make_part(b"vae", 'name="space"') + END,
    "an image as a field": make_part(name='name="images"') + END,
}


@pytest.mark.parametrize("fault", MALFORMED)
def test_malformed_body_is_rejected_with_400(expect_problem: ExpectProblem, fault: str) -> None:
    """An incomplete multipart body, or one with a corrupt image, is rejected with 400."""
    expect_problem(400, "/v1/encode", content=MALFORMED[fault], headers=HEADERS)


@pytest.mark.parametrize("fault", UNEXPECTED)
def test_unexpected_part_is_rejected_with_422(expect_problem: ExpectProblem, fault: str) -> None:
    """Parts other than files named `images` or `image` are rejected with 422."""
    expect_problem(422, "/v1/encode", content=UNEXPECTED[fault], headers=HEADERS)


def test_too_many_parts_are_rejected_with_413(expect_problem: ExpectProblem) -> None:
    """More images than the limit are rejected with 413 and the name of the setting."""
    problem = expect_problem(413, "/v1/encode", content=make_part() * 21 + END, headers=HEADERS)

    assert "LATENTD_MAX_IMAGES" in problem["detail"]


@pytest.mark.parametrize("operation", ["decode", "sample"])
def test_multipart_without_image_input_is_rejected_with_415(
    expect_problem: ExpectProblem, operation: str
) -> None:
    """Operations without image input reject multipart with 415."""
    expect_problem(415, f"/v1/{operation}", content=make_part() + END, headers=HEADERS)


@pytest.mark.parametrize(
    "name",
    ["../../../x", "a" * 3000, "\x00", "%00", "a.exe", "\u00e4\u00f6", "C:\\x", ""],
    ids=["up", "long", "null", "escaped null", "program", "umlauts", "drive", "empty"],
)
def test_file_name_is_ignored(
    client: httpx.Client, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """The service reads a file under any file name and does not log the name."""
    body = make_part(name=f'name="images"; filename="{name}"') + END

    response = client.post("/v1/encode", content=body, headers=HEADERS)

    assert response.json()["latents"][0] == pytest.approx([0.2] * 4)
    assert not name or name not in caplog.text


@pytest.mark.parametrize(
    "body",
    [
        add_header(b"Content-Transfer-Encoding: base64").replace(PNG, to_base64(PNG).encode())
        + END,
        add_header(b"Content-Type: application/octet-stream") + END,
    ],
    ids=["base64", "octet stream"],
)
def test_part_headers_of_rfc_2046_are_supported(client: httpx.Client, body: bytes) -> None:
    """Parts with a transfer encoding or a generic content type (RFC 2046) are read."""
    response = client.post("/v1/encode", content=body, headers=HEADERS)

    assert response.json()["latents"][0] == pytest.approx([0.2] * 4)
