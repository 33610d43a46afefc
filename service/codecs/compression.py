"""Compressed request bodies (`Content-Encoding`, RFC 9110, section 8.4)."""

import zlib

from service.errors import LimitExceededError, MalformedInputError, UnsupportedFormatError

_IDENTITY = frozenset({"", "identity"})
_GZIP_FORMAT = 16 + zlib.MAX_WBITS
_RAW_FORMAT = -zlib.MAX_WBITS
_FORMATS = {"gzip": _GZIP_FORMAT, "x-gzip": _GZIP_FORMAT, "deflate": zlib.MAX_WBITS}
_ZLIB_HEADER_DIVISOR = 31
_MAX_RATIO = 1032
"""Bytes that one compressed byte may become (zlib's documentation)."""
_SECONDS = 2e-9
"""Predicted time per decompressed byte."""


def is_compressed(encoding: str) -> bool:
    """Return whether a body is compressed.

    Args:
        encoding: The `Content-Encoding` header; empty without one.

    Raises:
        UnsupportedFormatError: the compression is unknown, or applied repeatedly.
    """
    name = encoding.lower()
    if name not in _FORMATS and name not in _IDENTITY:
        raise UnsupportedFormatError(
            f"Unsupported Content-Encoding {encoding!r:.80}; supported: gzip, deflate."
        )
    return name in _FORMATS


def predict_size(size: int, max_bytes: int) -> int:
    """Return the largest length to which a body of `size` bytes may be decompressed."""
    return min(size * _MAX_RATIO, max_bytes)


def predict_decompression(size: int, max_bytes: int) -> float:
    """Return the predicted seconds for a body of `size` bytes."""
    return predict_size(size, max_bytes) * _SECONDS


def decompress(content: bytes, encoding: str, max_bytes: int, setting: str) -> bytes:
    """Decompress a body; stop at the limit.

    Args:
        content: The body.
        encoding: A compression for which `is_compressed` returns True.
        max_bytes: Maximum length of the result.
        setting: Name of the setting that limits it.

    Raises:
        LimitExceededError: the result is longer.
        MalformedInputError: the stream is damaged, incomplete or followed by other data.
    """
    window = _FORMATS[encoding.lower()]
    if window == zlib.MAX_WBITS and int.from_bytes(content[:2]) % _ZLIB_HEADER_DIVISOR:
        window = _RAW_FORMAT  # several clients omit the header of RFC 1950
    stream = zlib.decompressobj(window)
    try:
        result = stream.decompress(content, max_bytes + 1)
    except zlib.error as error:
        raise MalformedInputError(f"The body is not valid {encoding:.10}.") from error
    if len(result) > max_bytes:
        raise LimitExceededError(
            f"The body decompresses to more than {max_bytes} bytes (setting {setting})."
        )
    if not stream.eof or stream.unused_data:
        raise MalformedInputError(
            f"The {encoding:.10} body is incomplete, or followed by other data."
        )
    return result
