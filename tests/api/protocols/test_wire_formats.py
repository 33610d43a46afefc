"""Requests byte by byte as common HTTP clients of other languages write them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.settings import Settings
from tests.support.image_files import make_png, to_base64
from tests.support.servers import connect, exchange, run_service

PNG = make_png(51)
LINE = b"\r\n"
DISPOSITION = b'Content-Disposition: form-data; name="images"; filename="a.png"'
PARTS = {
    "PHP cURLFile in an array": (
        b"------------------------d74496d66958873e",
        [DISPOSITION.replace(b'"images"', b'"images[0]"'), b"Content-Type: image/png"],
    ),
    "Ruby Net::HTTP set_form": (
        b"----------RubyMultipartPost-7a1f",
        [DISPOSITION, b"Content-Type: application/octet-stream"],
    ),
    ".NET MultipartFormDataContent": (
        b"a3b0a5c2-6d3e-4f0a-9a53-0d4e3b3d6c6f",
        [
            b"Content-Type: image/png",
            b"Content-Disposition: form-data; name=images; filename=a.png; filename*=utf-8''a.png",
        ],
    ),
    "PowerShell -Form": (
        b"3f6c1d0e-1c1b-4a77-b0bd-6c1a1f6e9d3a",
        [
            b"Content-Disposition: form-data; name=images; filename=a.png; filename*=utf-8''a.png",
            b"Content-Type: application/octet-stream",
        ],
    ),
    "axios with form-data": (
        b"axios-1.7.2-boundary-kWpRdBGtGRbbQqwiyJbTkmYo4",
        [DISPOSITION.replace(b'"images"', b'"images[]"'), b"Content-Type: image/png"],
    ),
    "Apache HttpClient": (
        b"0oVLSTFVcmx3X5rFUiYyIZ6HqmWDbJQ3",
        [DISPOSITION, b"Content-Type: image/png", b"Content-Transfer-Encoding: binary"],
    ),
    "OkHttp": (
        b"5f2b1b3e-6d0d-4b58-8d6c-5c9d0c3e8f4a",
        [DISPOSITION, b"Content-Type: image/png", b"Content-Length: %d" % len(PNG)],
    ),
    "aiohttp": (
        b"6f1a9c0d5e4b4d3f8a7b6c5d4e3f2a1b",
        [b"Content-Type: application/octet-stream", DISPOSITION],
    ),
    "Postman": (
        b"--------------------------735323031399963166993862",
        [DISPOSITION, b"Content-Type: image/png"],
    ),
    "R httr": (
        b"------------------------8f3c7b2a1d4e5f60",
        [DISPOSITION, b"Content-Type: image/png"],
    ),
    "Safari": (
        b"----WebKitFormBoundaryAbC123dEf456GhI7",
        [DISPOSITION.replace(b"a.png", "B\u00fcro 7.png".encode()), b"Content-Type: image/png"],
    ),
}
QUOTED = {".NET MultipartFormDataContent", "PowerShell -Form"}
"""Clients that quote the boundary in the header."""
CHARSET = {"Apache HttpClient"}


@pytest.fixture(scope="module")
def base(store: Path) -> Iterator[str]:
    """The URL of the running service."""
    with run_service(Settings(models_store=store, default_model="full")) as client:
        yield str(client.base_url).rstrip("/")


def make_form(name: str) -> tuple[bytes, bytes]:
    """Return the content type and the body of a form with one image."""
    boundary, headers = PARTS[name]
    body = b"--" + boundary + LINE + LINE.join(headers) + LINE * 2 + PNG + LINE
    body += b"--" + boundary + b"--" + LINE
    value = b'"%b"' % boundary if name in QUOTED else boundary
    content_type = b"multipart/form-data; boundary=" + value
    return content_type + (b"; charset=ISO-8859-1" if name in CHARSET else b""), body


def make_head(content_type: bytes, *headers: bytes) -> bytes:
    """Return the head of a request to encode."""
    lines = [b"POST /v1/encode HTTP/1.1", b"Host: x", b"Content-Type: " + content_type, *headers]
    return LINE.join(lines) + LINE * 2


def check_latents(received: bytes) -> None:
    """Check that a response has the latents of the image."""
    head, _, body = received.partition(LINE * 2)
    assert head.startswith(b"HTTP/1.1 200 "), received
    assert json.loads(body)["latents"] == [pytest.approx([0.2] * 4)]


@pytest.mark.parametrize("name", PARTS)
def test_form_of_a_client(base: str, name: str) -> None:
    """A multipart form is accepted as each client writes it."""
    content_type, body = make_form(name)

    check_latents(exchange(base, make_head(content_type, b"Content-Length: %d" % len(body)) + body))


@pytest.mark.parametrize("name", ["axios with form-data", "Ruby Net::HTTP set_form"])
def test_form_in_chunks(base: str, name: str) -> None:
    """A form of unknown length is sent in chunks, as by streams in Node.js and Ruby."""
    content_type, body = make_form(name)
    pieces = [body[start : start + 37] for start in range(0, len(body), 37)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)

    head = make_head(content_type, b"Transfer-Encoding: chunked")
    check_latents(exchange(base, head + chunks + b"0\r\n\r\n"))


@pytest.mark.parametrize("name", ["PHP cURLFile in an array", ".NET MultipartFormDataContent"])
def test_expected_continue(base: str, name: str) -> None:
    """A client that waits for 100 Continue before it sends the body receives it (RFC 9110)."""
    content_type, body = make_form(name)
    headers = [b"Expect: 100-continue", b"Content-Length: %d" % len(body)]

    with connect(base) as connection:
        connection.sendall(make_head(content_type, *headers))
        interim = connection.recv(1000)
        connection.sendall(body)
        received = b""
        while b'"latents"' not in received:
            received += connection.recv(65_536)

    assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
    check_latents(received)


@pytest.mark.parametrize(
    "content_type",
    [
        b"image/png",
        b"Image/PNG",
        b"image/png; charset=binary",
        b"image/jpg",
        b'image/png; name="a"',
    ],
)
def test_raw_file(base: str, content_type: bytes) -> None:
    """A raw file is accepted with any spelling of its media type."""
    head = make_head(content_type, b"Content-Length: %d" % len(PNG))

    check_latents(exchange(base, head + PNG))


@pytest.mark.parametrize(
    "content_type",
    [b"application/json; charset=utf-8", b"application/json;charset=UTF-8", b"Application/JSON"],
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
def test_json(base: str, content_type: bytes, mark: bytes) -> None:
    """JSON is accepted with a character set and with the byte order mark of PowerShell."""
    body = mark + json.dumps({"images": [to_base64(PNG)]}, indent=4).replace("\n", "\r\n").encode()
    head = make_head(content_type, b"Content-Length: %d" % len(body))

    check_latents(exchange(base, head + body))
