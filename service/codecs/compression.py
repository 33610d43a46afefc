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
_GZIP_LENGTH_BYTES = 4
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


def predict_size(content: bytes, encoding: str, max_bytes: int) -> int:
    """Return the length to which a body is decompressed at most: a gzip file ends with it."""
    bound = min(len(content) * _MAX_RATIO, max_bytes)
    if _FORMATS[encoding.lower()] != _GZIP_FORMAT:
        return bound
    return min(int.from_bytes(content[-_GZIP_LENGTH_BYTES:], "little"), bound)


def predict_decompression(size: int) -> float:
    """Return the predicted seconds to decompress a body to `size` bytes."""
    return size * _SECONDS


def decompress(content: bytes, encoding: str, size: int, max_bytes: int, setting: str) -> bytes:
    """Decompress a body; stop at its predicted size.

    Args:
        content: The body.
        encoding: A compression for which `is_compressed` returns True.
        size: The result of `predict_size`.
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
        result = stream.decompress(content, size + 1)
    except zlib.error as error:
        raise MalformedInputError(f"The body is not valid {encoding:.10}.") from error
    if len(result) > max_bytes:
        raise LimitExceededError(
            f"The body decompresses to more than {max_bytes} bytes (setting {setting})."
        )
    if not stream.eof or stream.unused_data or len(result) > size:
        raise MalformedInputError(
            f"The {encoding:.10} body is incomplete, or followed by other data."
        )
    return result
