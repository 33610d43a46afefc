"""Requests that cost a server far more than their senders: files, JSON and raw messages."""

import base64
import gzip
import io
import json
import struct
import zlib
from dataclasses import replace

import numpy as np
from PIL import Image

from benchmarks.harness.http_load import Request
from benchmarks.harness.servers import HOST

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SIDE = 5656
"""Side of an image of 32 million pixels, the default of `max_pixels`."""
_GREY, _RGBA = 0, 6
_SCANS = 3000


def make_chunk(kind: bytes, content: bytes = b"") -> bytes:
    """Return a PNG chunk."""
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def make_png(
    side: int = 28,
    depth: int = 8,
    color: int = _GREY,
    *,
    interlaced: bool = False,
    chunks: bytes = b"",
) -> bytes:
    """Return a black square PNG file with further chunks before its pixels."""
    header = struct.pack(">IIBBBBB", side, side, depth, color, 0, 0, interlaced)
    pixel = depth // 8 * (4 if color == _RGBA else 1)
    passes = [(0, 0, 1, 1)]
    if interlaced:  # Adam7: first row and column, and their distances
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4)]
        passes += [(2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    compressor, data = zlib.compressobj(9), []
    for top, left, down, right in passes:
        row = bytes(1 + pixel * len(range(left, side, right)))
        data += [compressor.compress(row) for _ in range(top, side, down)]
    pixels = b"".join([*data, compressor.flush()])
    parts = [make_chunk(b"IHDR", header), chunks, make_chunk(b"IDAT", pixels), make_chunk(b"IEND")]
    return _SIGNATURE + b"".join(parts)


def make_photo() -> bytes:
    """Return a JPEG file of 12 megapixels."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (375, 500, 3), dtype=np.uint8))
    return _save_jpeg(small.resize((4000, 3000), Image.Resampling.BICUBIC))


def _save_jpeg(image: Image.Image, *, progressive: bool = False) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=85, progressive=progressive)
    return stream.getvalue()


def insert_in_jpeg(content: bytes) -> bytes:
    """Return a small JPEG file with bytes after its first marker."""
    file = _save_jpeg(Image.new("L", (28, 28)))
    return file[:2] + content + file[2:]


def repeat_scans() -> bytes:
    """Return a progressive JPEG file of 4 megapixels whose last scan is repeated."""
    file = _save_jpeg(Image.new("L", (2000, 2000)), progressive=True)
    start = file.rindex(b"\xff\xda")
    return file[:start] + file[start:-2] * _SCANS + file[-2:]


def make_text_bomb() -> bytes:
    """Return a PNG file of a few kilobytes with 6 MB of compressed text."""
    text = zlib.compress(bytes(1_000_000), 9)
    return make_png(chunks=make_chunk(b"zTXt", b"a\0\0" + text) * 6)


def wrap_images(*files: bytes) -> bytes:
    """Return a JSON body with image files."""
    return json.dumps({"images": [base64.b64encode(file).decode() for file in files]}).encode()


def encode(name: str, body: bytes, content_type: str = "image/png") -> Request:
    """Return a request to `/v1/encode`."""
    return Request(name, "/v1/encode", body, content_type)


def make_single_requests() -> list[Request]:
    """Return the attacks of one request each, in the order of the table."""
    profile = make_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1_000_000), 9))
    entries = struct.pack(">4sIH", b"MM\0*", 8, 60_000) + bytes(12 * 60_000)
    members = ",".join(f'"{number:06}":0' for number in range(780_000))
    json_type = "application/json"
    return [
        encode("PNG, 16 bits, 5,656 x 5,656", make_png(_SIDE, 16)),
        encode("PNG, RGBA, interlaced, 5,656 x 5,656", make_png(_SIDE, 8, _RGBA, interlaced=True)),
        encode("100 PNGs with text bombs", wrap_images(*[make_text_bomb()] * 100), json_type),
        encode("PNG with 30 MB of empty chunks", make_png(chunks=make_chunk(b"teXt") * 2_500_000)),
        encode("PNG with 900 colour profiles", make_png(chunks=profile * 900)),
        encode(
            "20 PNGs with 36 colour profiles each",
            wrap_images(*[make_png(chunks=profile * 36)] * 20),
            json_type,
        ),
        encode("PNG with 4 MB of empty IDATs", make_png(chunks=make_chunk(b"IDAT") * 340_000)),
        encode("PNG with 60,000 bad Exif entries", make_png(chunks=make_chunk(b"eXIf", entries))),
        encode("JSON with 780,000 unknown members", f"{{{members}}}".encode(), json_type),
        encode("JPEG with 1 MB of 0xFF", insert_in_jpeg(b"\xff" * 1_000_000), "image/jpeg"),
        encode("JPEG with 30 MB of 0xFF", insert_in_jpeg(b"\xff" * 30_000_000), "image/jpeg"),
        encode(
            "JPEG with 1 MB of empty markers", insert_in_jpeg(b"\xff\x01" * 500_000), "image/jpeg"
        ),
        encode(f"progressive JPEG with {_SCANS:,} scans", repeat_scans(), "image/jpeg"),
    ]


def make_numbers(count: int) -> Request:
    """Return a request with images as nested numbers."""
    image = [[0.25] * 28] * 28
    return Request("numbers", "/v1/encode", json.dumps({"images": [image] * count}).encode())


def make_tensor(count: int) -> Request:
    """Return an inference request with images as one list of numbers."""
    data = [0.25] * 784 * count
    tensor = {"name": "images", "shape": [count, 1, 28, 28], "datatype": "FP32", "data": data}
    path = "/v2/models/mnist.encoder/infer"
    return Request("tensor", path, json.dumps({"inputs": [tensor]}).encode())


def make_members(count: int) -> Request:
    """Return a request with unknown members."""
    members = json.dumps({str(number): 0 for number in range(count)})
    return encode("members", members.encode(), "application/json")


def compress(request: Request) -> Request:
    """Return a request with a compressed body."""
    body = gzip.compress(request.body, mtime=0)
    return replace(request, body=body, headers=(("Content-Encoding", "gzip"),))


def make_trailers(size: int) -> bytes:
    """Return a chunked request with `size` bytes of trailers."""
    line = b"X-Trailer: " + b"a" * 1000 + b"\r\n"
    head = f"POST /v1/sample HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head.encode() + b"2\r\n{}\r\n0\r\n" + line * (size // len(line)) + b"\r\n"
