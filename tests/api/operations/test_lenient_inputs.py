"""Input as common encoders and clients send it, with the value of the response."""

import base64
import gzip
import json
import zlib
from typing import Any

import httpx
import numpy as np
import pytest

from tests.support.fakes import IMAGE
from tests.support.image_files import make_noise, make_png, to_npy
from tests.support.problem_checks import check_problem

PNG = make_noise()
MEANS = [np.float32(0.2)] * 4
GREY = make_png(51)
JSON = {"Content-Type": "application/json"}
BOUNDARY = {"Content-Type": "multipart/form-data; boundary=B"}
BATCH = np.full((1, *IMAGE.shape), 0.2, np.float32)


def make_part(name: str = "images", *, file_name: str | None = "a.png", media: str = "") -> bytes:
    """Return a part of a multipart body with a grey image."""
    disposition = f'Content-Disposition: form-data; name="{name}"'
    if file_name is not None:
        disposition += f'; filename="{file_name}"'
    media_type = f"\r\nContent-Type: {media}" if media else ""
    return f"--B\r\n{disposition}{media_type}\r\n\r\n".encode() + GREY + b"\r\n"


def encode(client: httpx.Client, **request: Any) -> list[list[float]]:  # noqa: ANN401 - as httpx
    """Return the latents of a request's images."""
    response = client.post("/v1/encode", **request)
    assert response.status_code == 200, response.text
    latents: list[list[float]] = response.json()["latents"]
    return latents


@pytest.fixture
def expected(client: httpx.Client) -> list[list[float]]:
    """Return the latents of the noise image."""
    return encode(client, content=PNG, headers={"Content-Type": "image/png"})


BASE64 = {
    "standard": base64.b64encode(PNG).decode(),
    "lines of MIME": base64.encodebytes(PNG).decode(),
    "Windows line ends": base64.encodebytes(PNG).decode().replace("\n", "\r\n"),
    "URL-safe": base64.urlsafe_b64encode(PNG).decode(),
    "unpadded": base64.b64encode(PNG + b"\x00").decode().rstrip("="),
    "URL-safe, unpadded": base64.urlsafe_b64encode(PNG + b"\x00").decode().rstrip("="),
    "a data URL with lines": "data:image/png;base64," + base64.encodebytes(PNG).decode(),
}


@pytest.mark.parametrize("form", BASE64)
def test_base64_of_every_encoder(
    client: httpx.Client, expected: list[list[float]], form: str
) -> None:
    """Base64 with line breaks, of the URL-safe alphabet or unpadded gives the same latents."""
    assert encode(client, json={"images": [BASE64[form]]}) == expected


@pytest.mark.parametrize("text", ["A", "AAAA=A", "AA=A", "A===", "====", "A A*A"])
def test_text_that_is_not_base64(client: httpx.Client, text: str) -> None:
    """Text that is no base64 is rejected."""
    check_problem(client.post("/v1/encode", json={"images": [text]}), 422)


@pytest.mark.parametrize(
    "content_type", ["", "application/json", "text/plain", "application/x-www-form-urlencoded"]
)
def test_sample_with_an_empty_body(client: httpx.Client, content_type: str) -> None:
    """An empty body has no parameters, whatever its content type."""
    headers = {"Content-Type": content_type} if content_type else {}

    response = client.post("/v1/sample?seed=3", content=b"", headers=headers)

    assert response.status_code == 200
    assert response.json()["seed"] == 3


@pytest.mark.parametrize("name", ["images", "image", "file", "images[]", "image[]", "file[]"])
def test_part_names(client: httpx.Client, name: str) -> None:
    """Parts may have any of the names that clients use."""
    body = make_part(name) * 2 + b"--B--\r\n"

    assert encode(client, content=body, headers=BOUNDARY) == [pytest.approx(MEANS)] * 2


@pytest.mark.parametrize("media", ["image/png", "image/jpeg", "IMAGE/PNG; q=1"])
def test_part_without_a_file_name(client: httpx.Client, media: str) -> None:
    """A part with a media type of images is a file without a file name."""
    body = make_part(file_name=None, media=media) + b"--B--\r\n"

    assert encode(client, content=body, headers=BOUNDARY) == [pytest.approx(MEANS)]


@pytest.mark.parametrize(
    "preamble", [b"", b"\r\n", b"This is a message\r\nin MIME format.\r\n", b"--\r\n"]
)
@pytest.mark.parametrize("epilogue", [b"", b"\r\n", b"\r\n\r\n", b"\r\nbye", b"bye"])
def test_text_around_a_multipart_body(
    client: httpx.Client, preamble: bytes, epilogue: bytes
) -> None:
    """A preamble and an epilogue are ignored (RFC 2046)."""
    body = preamble + make_part() + b"--B--" + epilogue

    assert encode(client, content=body, headers=BOUNDARY) == [pytest.approx(MEANS)]


def test_byte_order_mark_before_json(client: httpx.Client, expected: list[list[float]]) -> None:
    """A UTF-8 byte order mark before JSON is ignored."""
    body = json.dumps({"images": [BASE64["standard"]]}).encode("utf-8-sig")

    assert encode(client, content=body, headers=JSON) == expected


def deflate_raw(content: bytes) -> bytes:
    """Return a deflate stream without the header of zlib."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(content) + compressor.flush()


COMPRESSIONS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": deflate_raw,
    "identity": bytes,
}


@pytest.mark.parametrize("encoding", COMPRESSIONS)
def test_compressed_json(client: httpx.Client, expected: list[list[float]], encoding: str) -> None:
    """A compressed JSON body gives the same latents."""
    body = COMPRESSIONS[encoding](json.dumps({"images": [BASE64["standard"]]}).encode())
    headers = {**JSON, "Content-Encoding": encoding}

    assert encode(client, content=body, headers=headers) == expected


def test_compressed_array_of_some_size(client: httpx.Client) -> None:
    """An array that a thread decompresses gives the same latents."""
    array = np.full((20, *IMAGE.shape), 0.2, np.float32)
    headers = {"Content-Type": "application/x-npy", "Content-Encoding": "gzip"}

    latents = encode(client, content=gzip.compress(to_npy(array)), headers=headers)

    assert latents == [pytest.approx(MEANS)] * 20


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_decompression_stops_at_the_limit(client: httpx.Client, encoding: str) -> None:
    """A small body that would become large is rejected with 413 and the name of the setting."""
    bomb = COMPRESSIONS[encoding](bytes(50_000_000))
    assert len(bomb) < 100_000
    headers = {"Content-Type": "application/x-npy", "Content-Encoding": encoding}

    problem = check_problem(client.post("/v1/encode", content=bomb, headers=headers), 413)

    assert "LATENTD_MAX_BODY_BYTES" in problem["detail"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("fault", ["cut", "changed", "followed by more", "not compressed", "empty"])
def test_damaged_compressed_body(client: httpx.Client, fault: str, encoding: str) -> None:
    """A damaged compressed body is rejected with 400."""
    whole = COMPRESSIONS[encoding](json.dumps({"images": [BASE64["standard"]]}).encode())
    body = {
        "cut": whole[:-9],
        "changed": whole[:20] + bytes([whole[20] ^ 255]) + whole[21:],
        "followed by more": whole + b"more",
        "not compressed": b'{"images": []}',
        "empty": b"",
    }[fault]

    response = client.post(
        "/v1/encode", content=body, headers={**JSON, "Content-Encoding": encoding}
    )

    check_problem(response, 400)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed_binary_inference(client: httpx.Client, encoding: str) -> None:
    """A compressed body of the Open Inference Protocol has a JSON part of uncompressed length."""
    tensor = {"name": "images", "shape": BATCH.shape, "datatype": "FP32"}
    head = json.dumps(
        {"inputs": [{**tensor, "parameters": {"binary_data_size": BATCH.nbytes}}]}
    ).encode()
    headers = {
        "Content-Encoding": encoding,
        "Inference-Header-Content-Length": str(len(head)),
    }

    response = client.post(
        "/v2/models/full.encoder/infer",
        content=COMPRESSIONS[encoding](head + BATCH.tobytes()),
        headers=headers,
    )

    assert response.status_code == 200, response.text
    assert response.json()["outputs"][0]["data"] == pytest.approx(MEANS)


def infer(client: httpx.Client, tensor: dict[str, object], **members: object) -> httpx.Response:
    """Send an inference request with one input."""
    inputs = [{"name": "images", "shape": BATCH.shape, "datatype": "FP32", **tensor}]
    return client.post("/v2/models/full.encoder/infer", json={"inputs": inputs, **members})


def test_null_members_of_an_inference_request(client: httpx.Client) -> None:
    """Members that are null count as absent, as MLServer's clients write them."""
    response = infer(
        client,
        {"data": BATCH.ravel().tolist(), "parameters": None},
        id=None,
        parameters=None,
        outputs=None,
    )

    assert response.status_code == 200, response.text
    assert response.json()["outputs"][0]["data"] == pytest.approx(MEANS)


def test_null_members_of_an_output(client: httpx.Client) -> None:
    """A requested output may have null parameters."""
    outputs = [{"name": "latents", "parameters": None, "shape": None, "datatype": None}]

    response = infer(client, {"data": BATCH.ravel().tolist()}, outputs=outputs)

    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    ("tensor", "members", "name"),
    [
        ({"data": None}, {}, "'data' or 'binary_data_size'"),
        ({"shape": None}, {}, "inputs/0/shape"),
        ({"shape": [1, "x"]}, {}, "inputs/0/shape/1"),
        ({"datatype": 1}, {}, "inputs/0/datatype"),
        ({"parameters": []}, {}, "inputs/0/parameters"),
        ({}, {"outputs": [{"name": 1}]}, "outputs/0/name"),
        ({}, {"id": 1}, "id"),
        ({}, {"parameters": 1}, "parameters"),
    ],
)
def test_inference_errors_name_the_member(
    client: httpx.Client, tensor: dict[str, object], members: dict[str, object], name: str
) -> None:
    """An error of the Open Inference Protocol names the member, at any depth."""
    response = infer(client, {"data": BATCH.ravel().tolist(), **tensor}, **members)

    assert response.status_code == 400
    assert name in response.json()["error"]
