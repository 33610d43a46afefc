"""Boundaries of multipart bodies that are longer than the parser accepts."""

import pytest

from service.codecs.multipart import read_parts
from service.errors import MalformedInputError
from tests.support.image_files import make_png


@pytest.mark.parametrize("length", [257, 8000])
def test_long_boundary_is_malformed(length: int) -> None:
    """A boundary over 256 bytes is the error of the client, not of the service."""
    boundary = b"a" * length
    head = b'Content-Disposition: form-data; name="images"; filename="a.png"'
    body = b"--%b\r\n%b\r\n\r\n%b\r\n--%b--\r\n" % (boundary, head, make_png(), boundary)

    with pytest.raises(MalformedInputError):
        read_parts(body, boundary, lambda _: None)
