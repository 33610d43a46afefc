"""Picture files that are broken, too large or of another format, in every way in."""

import zlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.support.image_files import forge_png, make_chunk, make_noise, make_png, save, to_base64

Refuse = Callable[..., dict[str, Any]]

WAYS = ("raw", "part", "json")


def send_in(way: str, content: bytes) -> dict[str, Any]:
    """Return the request that sends one picture in one of the ways."""
    if way == "raw":
        return {"content": content, "headers": {"Content-Type": "image/png"}}
    if way == "part":
        return {"files": {"images": ("a.png", content, "image/png")}}
    return {"json": {"images": [to_base64(content)]}}


def make_text(size: int) -> bytes:
    """Return a PNG text chunk that holds `size` characters once it is inflated."""
    return make_chunk(b"zTXt", b"key\0\0" + zlib.compress(b"a" * size))


BROKEN = {
    "empty": b"",
    "one byte": b"\x89",
    "text": b"this is a text and no picture",
    "signature only": make_noise()[:8],
    "header only": make_noise()[:33],
    "truncated": make_noise()[:60],
    "truncated JPEG": make_noise(form="JPEG")[:-40],
    "JPEG signature only": b"\xff\xd8\xff\xe0",
    "wrong header checksum": make_noise()[:29] + b"\0\0\0\0" + make_noise()[33:],
    "wrong data": make_noise()[:45] + b"\0" * 10 + make_noise()[55:],
    "no pixels": forge_png(0, 0),
    "no height": forge_png(6, 0),
    "text bomb": forge_png(6, 8, make_text(20_000_000)),
    "text bombs": forge_png(6, 8, *[make_text(1_000_000)] * 70),
    "bad colour type": make_noise()[:25] + b"\x09" + make_noise()[26:],
}
TOO_LARGE = {
    "201 x 200": make_png(size=(201, 200)),
    "13,000 x 13,000": forge_png(13_000, 13_000),
    "50,000 x 50,000": forge_png(50_000, 50_000),
    "the largest": forge_png(2**31 - 1, 2**31 - 1),
}
OTHERS = {
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


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_picture(refuse: Refuse, fault: str, way: str) -> None:
    """A broken picture is 400 as a body or a part, and 422 inside JSON, which is whole itself."""
    refuse(422 if way == "json" else 400, "/v1/encode", **send_in(way, BROKEN[fault]))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", TOO_LARGE)
def test_a_picture_over_the_pixel_limit(refuse: Refuse, size: str, way: str) -> None:
    """A picture whose header claims too many pixels is 413 in every way, before it is decoded."""
    problem = refuse(413, "/v1/encode", **send_in(way, TOO_LARGE[size]))

    assert "LATENTD_MAX_PIXELS" in problem["detail"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", OTHERS)
def test_a_picture_of_another_format(refuse: Refuse, form: str, way: str) -> None:
    """A format that is not read is 415, and 422 inside JSON; its name is no help to it."""
    problem = refuse(422 if way == "json" else 415, "/v1/encode", **send_in(way, OTHERS[form]))

    assert "PNG and JPEG are read" in problem["detail"]


@pytest.mark.parametrize("operation", ["reconstruct", "denoise", "classify"])
def test_a_broken_picture_for_every_operation(refuse: Refuse, operation: str) -> None:
    """No operation on images takes a truncated file."""
    refuse(400, f"/v1/{operation}", **send_in("raw", BROKEN["truncated"]))


def test_a_broken_picture_among_good_ones_is_pointed_at(refuse: Refuse) -> None:
    """Of several pictures in JSON, the broken one is named, though it breaks only when decoded."""
    pictures = [to_base64(content) for content in (make_png(), BROKEN["truncated"], make_png())]

    problem = refuse(422, "/v1/encode", json={"images": pictures})

    assert problem["errors"][0]["pointer"] == "/images/1"


def _make_animation() -> bytes:
    frames = [Image.new("L", (6, 8), level) for level in (51, 102, 153)]
    return save(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=False)


ODD = {
    "PNG called JPEG": (make_png(51), "image/jpeg"),
    "JPEG called PNG": (save(Image.new("L", (6, 8), 51), "JPEG"), "image/png"),
    "animation": (_make_animation(), "image/png"),
    "colour": (make_png(51, mode="RGB"), "image/png"),
    "CMYK": (save(Image.new("CMYK", (6, 8), (0, 0, 0, 204)), "JPEG"), "image/jpeg"),
    "16 bits": (save(Image.new("I;16", (6, 8), 51 * 257)), "image/png"),
    "palette": (save(Image.new("L", (6, 8), 51).convert("P")), "image/png"),
    "transparent": (save(Image.new("LA", (6, 8), (102, 128))), "image/png"),
    "another size": (make_png(51, (60, 80)), "image/png"),
    "small text": (forge_png(6, 8, make_text(1000)), "image/png"),
}


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_picture_is_converted(client: httpx.Client, kind: str) -> None:
    """Files that are unusual and whole are converted: told by their bytes, first frame only."""
    content, media_type = ODD[kind]

    answer = client.post("/v1/encode", content=content, headers={"Content-Type": media_type})

    level = 0.0 if kind == "small text" else 0.2
    assert answer.json()["latents"][0] == pytest.approx([level] * 4, abs=0.006)
