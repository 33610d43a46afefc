"""Multipart bodies that are broken, or hold what is not asked for."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.support.image_files import make_png, to_base64

Refuse = Callable[..., dict[str, Any]]

PNG = make_png(51)
HEADERS = {"Content-Type": "multipart/form-data; boundary=B"}
END = b"--B--\r\n"


def make_part(content: bytes = PNG, name: str = 'name="images"; filename="a.png"') -> bytes:
    """Return a part, from its boundary to the end of its content."""
    return (
        b"--B\r\nContent-Disposition: form-data; " + name.encode() + b"\r\n\r\n" + content + b"\r\n"
    )


def add_header(header: bytes) -> bytes:
    """Return a part with one more header."""
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
def test_a_boundary_that_is_not_there(refuse: Refuse, content_type: str) -> None:
    """Without the boundary that separates its parts a body is 400."""
    refuse(400, "/v1/encode", content=make_part() + END, headers={"Content-Type": content_type})


BROKEN = {
    "empty": b"",
    "no end": make_part(),
    "cut": make_part()[:-40],
    "no part": b"text" + END,
    "a preamble": b"a preamble\r\n" + make_part() + END,
    "an epilogue": make_part() + END + b"an epilogue",
    "a preamble of 90 KB": b"x" * 90_000 + make_part() + END,
    "a part header of 50 KB": add_header(b"X: " + b"a" * 50_000) + END,
    "5,000 part headers": add_header(b"\r\n".join([b"X: y"] * 5000)) + END,
    "no disposition": b"--B\r\nX: y\r\n\r\n" + PNG + b"\r\n" + END,
    "no name": make_part(name='filename="a.png"') + END,
    "an empty file": make_part(b"") + END,
    "a text": make_part(b"text") + END,
    "bad base64": add_header(b"Content-Transfer-Encoding: base64") + END,
    "a good part and a broken one": make_part() + make_part(PNG[:40]) + END,
    "2,000 small parts": make_part(b"x") * 900 + END,
}
WRONG = {
    "no parts": END,
    "only line ends": b"\r\n" * 1000 + END,
    "another name": make_part(name='name="file"; filename="a.png"') + END,
    "a field": make_part() + make_part(b"vae", 'name="space"') + END,
    "a picture as a field": make_part(name='name="images"') + END,
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_body(refuse: Refuse, fault: str) -> None:
    """A body that is no whole multipart of whole pictures is 400."""
    refuse(400, "/v1/encode", content=BROKEN[fault], headers=HEADERS)


@pytest.mark.parametrize("fault", WRONG)
def test_other_parts(refuse: Refuse, fault: str) -> None:
    """Parts other than files called 'images' or 'image' are 422."""
    refuse(422, "/v1/encode", content=WRONG[fault], headers=HEADERS)


def test_more_parts_than_allowed(refuse: Refuse) -> None:
    """More pictures than the limit are 413, which the first one over it says."""
    problem = refuse(413, "/v1/encode", content=make_part() * 21 + END, headers=HEADERS)

    assert "LATENTD_MAX_IMAGES" in problem["detail"]


@pytest.mark.parametrize("operation", ["decode", "sample"])
def test_operations_that_take_no_pictures(refuse: Refuse, operation: str) -> None:
    """Multipart is 415 where no images are taken."""
    refuse(415, f"/v1/{operation}", content=make_part() + END, headers=HEADERS)


@pytest.mark.parametrize(
    "name",
    ["../../../x", "a" * 3000, "\x00", "%00", "a.exe", "\u00e4\u00f6", "C:\\x", ""],
    ids=["up", "long", "null", "escaped null", "program", "umlauts", "drive", "empty"],
)
def test_file_names_mean_nothing(
    client: httpx.Client, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """Whatever a file is called it is read from the request, and its name is not logged."""
    body = make_part(name=f'name="images"; filename="{name}"') + END

    answer = client.post("/v1/encode", content=body, headers=HEADERS)

    assert answer.json()["latents"][0] == pytest.approx([0.2] * 4)
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
def test_unusual_parts_are_read(client: httpx.Client, body: bytes) -> None:
    """What the standard allows within a part (RFC 2046) is read."""
    answer = client.post("/v1/encode", content=body, headers=HEADERS)

    assert answer.json()["latents"][0] == pytest.approx([0.2] * 4)
