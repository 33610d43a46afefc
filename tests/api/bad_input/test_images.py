"""Corrupt, oversized and unsupported image files, in every body format."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from service.settings import Settings
from tests.support.image_files import (
    forge_png,
    insert_segments,
    make_chunk,
    make_exif,
    make_noise,
    make_orientation,
    make_png,
    make_segment,
    save,
    to_base64,
)
from tests.support.problem_checks import check_problem
from tests.support.servers import run_service

ExpectProblem = Callable[..., dict[str, Any]]

BODIES = ("raw", "part", "json")


def make_request(body: str, content: bytes) -> dict[str, Any]:
    """Return a request with one image, sent in the given body format."""
    if body == "raw":
        return {"content": content, "headers": {"Content-Type": "image/png"}}
    if body == "part":
        return {"files": {"images": ("a.png", content, "image/png")}}
    return {"json": {"images": [to_base64(content)]}}


def make_text(size: int) -> bytes:
    """Return a PNG text chunk whose content inflates to `size` characters."""
    return make_chunk(b"zTXt", b"key\0\0" + zlib.compress(b"a" * size))


CORRUPT = {
    "empty": b"",
    "one byte": b"\x89",
    "text": b"this is a text and not an image",
    "signature only": make_noise()[:8],
    "header only": make_noise()[:33],
    "truncated": make_noise()[:60],
    "truncated JPEG": make_noise(file_format="JPEG")[:-40],
    "JPEG signature only": b"\xff\xd8\xff\xe0",
    "wrong header checksum": make_noise()[:29] + b"\0\0\0\0" + make_noise()[33:],
    "wrong data": make_noise()[:45] + b"\0" * 10 + make_noise()[55:],
    "no pixels": forge_png(0, 0),
    "no height": forge_png(6, 0),
    "too many segments": insert_segments(
        make_noise(file_format="JPEG"), *[make_segment(0xFE, b"")] * 1000
    ),
    "too many scans": make_noise(file_format="JPEG")[:-2] + b"\xff\xda" * 64 + b"\xff\xd9",
    "bad colour type": make_noise()[:25] + b"\x09" + make_noise()[26:],
}
TOO_LARGE = {
    "201 x 200": make_png(size=(201, 200)),
    "13,000 x 13,000": forge_png(13_000, 13_000),
    "50,000 x 50,000": forge_png(50_000, 50_000),
    "the largest": forge_png(2**31 - 1, 2**31 - 1),
}
UNSUPPORTED = {
    "GIF": save(Image.new("L", (6, 8)), "GIF"),
    "BMP": save(Image.new("L", (6, 8)), "BMP"),
    "TIFF": save(Image.new("L", (6, 8)), "TIFF"),
    "WebP": save(Image.new("RGB", (6, 8)), "WEBP"),
    "ICO": save(Image.new("RGB", (16, 16)), "ICO"),
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(20),
    "AVIF": b"\0\0\0\x20ftypavif" + bytes(20),
    "PSD": b"8BPS\0\x01" + bytes(20),
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0",
    "PDF": b"%PDF-1.7",
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "FITS": b"SIMPLE  =                    T",
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("fault", CORRUPT)
def test_corrupt_image_is_rejected(expect_problem: ExpectProblem, fault: str, body: str) -> None:
    """A corrupt image is rejected with 400, or with 422 inside a valid JSON body."""
    expect_problem(
        422 if body == "json" else 400, "/v1/encode", **make_request(body, CORRUPT[fault])
    )


def test_too_many_chunks_are_rejected(store: Path) -> None:
    """A PNG file with more than 16,384 chunks is rejected with 400, or 422 inside JSON."""
    content = forge_png(6, 8, *[make_chunk(b"tEXt", b"")] * 16_384)
    with run_service(Settings(models_store=store, default_model="full")) as client:
        for body in BODIES:
            response = client.post("/v1/encode", **make_request(body, content))
            problem = check_problem(response, 422 if body == "json" else 400)
            assert "more than 16384 chunks" in problem["detail"]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("size", TOO_LARGE)
def test_image_over_the_pixel_limit_is_rejected_with_413(
    expect_problem: ExpectProblem, size: str, body: str
) -> None:
    """An image with too many pixels in its header is rejected with 413 before decoding."""
    problem = expect_problem(413, "/v1/encode", **make_request(body, TOO_LARGE[size]))

    assert "LATENTD_MAX_PIXELS" in problem["detail"]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("file_format", UNSUPPORTED)
def test_unsupported_image_format_is_rejected(
    expect_problem: ExpectProblem, file_format: str, body: str
) -> None:
    """An unsupported format is rejected with 415, or 422 inside JSON, despite its content type."""
    problem = expect_problem(
        422 if body == "json" else 415, "/v1/encode", **make_request(body, UNSUPPORTED[file_format])
    )

    assert "supported: PNG, JPEG" in problem["detail"]


@pytest.mark.parametrize("operation", ["reconstruct", "denoise", "classify"])
def test_truncated_image_is_rejected_by_every_operation(
    expect_problem: ExpectProblem, operation: str
) -> None:
    """Every operation on images rejects a truncated file with 400."""
    expect_problem(400, f"/v1/{operation}", **make_request("raw", CORRUPT["truncated"]))


def test_error_points_to_the_corrupt_image(expect_problem: ExpectProblem) -> None:
    """The error points to the corrupt image among several, even when only decoding detects it."""
    images = [to_base64(content) for content in (make_png(), CORRUPT["truncated"], make_png())]

    problem = expect_problem(422, "/v1/encode", json={"images": images})

    assert problem["errors"][0]["pointer"] == "/images/1"


def _make_animation() -> bytes:
    frames = [Image.new("L", (6, 8), level) for level in (51, 102, 153)]
    return save(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=False)


UNUSUAL = {
    "PNG called JPEG": (make_png(51), "image/jpeg"),
    "JPEG called PNG": (save(Image.new("L", (6, 8), 51), "JPEG"), "image/png"),
    "animation": (_make_animation(), "image/png"),
    "colour": (make_png(51, mode="RGB"), "image/png"),
    "CMYK": (save(Image.new("CMYK", (6, 8), (0, 0, 0, 204)), "JPEG"), "image/jpeg"),
    "16 bits": (save(Image.new("I;16", (6, 8), 51 * 257)), "image/png"),
    "palette": (save(Image.new("L", (6, 8), 51).convert("P")), "image/png"),
    "transparent": (save(Image.new("LA", (6, 8), (102, 128))), "image/png"),
    "another size": (make_png(51, (60, 80)), "image/png"),
}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_unusual_image_is_converted(client: httpx.Client, kind: str) -> None:
    """A valid image is detected by its bytes and converted; only the first frame is used."""
    content, media_type = UNUSUAL[kind]

    response = client.post("/v1/encode", content=content, headers={"Content-Type": media_type})

    assert response.json()["latents"][0] == pytest.approx([0.2] * 4, abs=0.006)


def _insert(*chunks: bytes) -> bytes:
    """Return a PNG file filled with 20% grey, with chunks after its header."""
    content = make_png(51)
    return content[:33] + b"".join(chunks) + content[33:]


_EXIF = (
    make_exif(b"\x01\x1a\0\x05\0\0\0\x01\0\0\0\x26", make_orientation(6)) + b"\xff" * 4 + bytes(4)
)
METADATA = {
    "small text": _insert(make_text(1000)),
    "text bomb": _insert(make_text(20_000_000)),
    "text bombs": _insert(*[make_text(1_000_000)] * 40),
    "broken Exif": _insert(make_chunk(b"eXIf", b"broken")),
    "wrong checksum of the profile": _insert(make_chunk(b"iCCP", b"name\0\0x")[:-4] + b"0000"),
    "damaged profile": _insert(make_chunk(b"iCCP", b"name\0\0not compressed")),
    "resolution of -1/0": insert_segments(
        save(Image.new("L", (8, 6), 51), "JPEG"), make_segment(0xE1, b"Exif\0\0" + _EXIF)
    ),
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("kind", METADATA)
def test_metadata_does_not_matter(client: httpx.Client, kind: str, body: str) -> None:
    """A file with damaged or very large metadata gives the class of its pixels."""
    clean = client.post("/v1/classify", **make_request(body, make_png(51)))

    response = client.post("/v1/classify", **make_request(body, METADATA[kind]))

    assert (response.status_code, response.json()) == (200, clean.json())
