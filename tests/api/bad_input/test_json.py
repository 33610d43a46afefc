"""JSON bodies that are broken, or well-formed and wrong."""

from collections.abc import Callable
from functools import reduce
from typing import Any

import pytest

from tests.support.fakes import LATENT_SIZE
from tests.support.image_files import make_png, to_base64
from tests.support.problem_checks import ON_IMAGES, OPERATIONS

Refuse = Callable[..., dict[str, Any]]

JSON = {"Content-Type": "application/json"}
PNG = to_base64(make_png())

BROKEN = {
    "empty": b"",
    "cut": b"{",
    "trailing": b'{"model": "full"}x',
    "two values": b"{}{}",
    "single quotes": b"{'model': 'full'}",
    "comment": b'{/* */"model": "full"}',
    "byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"model": "full"}'.encode("utf-16"),
    "invalid UTF-8": b'{"model": "\xff"}',
    "lone surrogate": b'{"model": "\\ud800"}',
    "control character": b'{"model": "\x00"}',
    "5,000 digits": b'{"images": [' + b"9" * 5000 + b"]}",
    "900 deep": b'{"images": ' + b"[" * 900 + b"]" * 900 + b"}",
    "40,000 deep": b'{"images": ' + b"[" * 40_000 + b"]" * 40_000 + b"}",
    "member twice": b'{"model": "full", "model": "full"}',
    "leading zero": b'{"count": 01}',
}
NO_OBJECT = [b"[]", b"null", b'"text"', b"1", b"true", b"NaN"]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("fault", BROKEN)
def test_broken_json(refuse: Refuse, operation: str, fault: str) -> None:
    """What is no JSON, or names a member twice, is 400 for every operation."""
    refuse(400, f"/v1/{operation}", content=BROKEN[fault], headers=JSON)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("body", NO_OBJECT)
def test_json_that_is_no_object(refuse: Refuse, operation: str, body: bytes) -> None:
    """JSON of another outer type is 422."""
    problem = refuse(422, f"/v1/{operation}", content=body, headers=JSON)

    assert problem["detail"] == "the body must be a JSON object"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_unknown_member(refuse: Refuse, operation: str) -> None:
    """A member that the operation does not know is 422, with a pointer to it."""
    given: dict[str, object] = {"images": [PNG, PNG]} if operation in ON_IMAGES else {}

    problem = refuse(422, f"/v1/{operation}", json={**given, "a/b~c": 1})

    assert [error["pointer"] for error in problem["errors"]] == ["/a~1b~0c"]


@pytest.mark.parametrize("operation", ["encode", "decode", "interpolate"])
def test_the_input_is_missing(refuse: Refuse, operation: str) -> None:
    """A body without images or latents is 422 and says which member is wanted."""
    problem = refuse(422, f"/v1/{operation}", json={})

    wanted = "latents" if operation == "decode" else "images"
    assert problem["errors"][0]["pointer"] == f"/{wanted}"


NUMBERS = {
    "NaN": "NaN",
    "infinity": "Infinity",
    "minus infinity": "-Infinity",
    "1e400": "1e400",
    "1e39, over float32": "1e39",
    "400 digits": "9" * 400,
    "text": '"a"',
    "null": "null",
    "boolean": "true",
    "object": "{}",
}


@pytest.mark.parametrize("number", NUMBERS)
def test_an_image_with_a_bad_number(refuse: Refuse, number: str) -> None:
    """A pixel that is no finite number in [0, 1] is 422, and the image is pointed at."""
    row = f"[{NUMBERS[number]}, 0, 0, 0, 0, 0]"
    body = f'{{"images": ["{PNG}", [{", ".join([row] * 8)}]]}}'

    problem = refuse(422, "/v1/encode", content=body, headers=JSON)

    assert problem["errors"][0]["pointer"] == "/images/1"


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("operation", ["decode", "interpolate"])
def test_latents_with_a_bad_number(refuse: Refuse, operation: str, number: str) -> None:
    """A coordinate that is no finite float32 number is 422."""
    body = f'{{"latents": [[0, 0, 0, 0], [{NUMBERS[number]}, 0, 0, 0]]}}'

    problem = refuse(422, f"/v1/{operation}", content=body, headers=JSON)

    assert problem["errors"][0]["pointer"] == "/latents"


@pytest.mark.parametrize("value", [256, 255, 2, 1.001, -0.001, -1])
def test_pixels_out_of_range(refuse: Refuse, value: float) -> None:
    """Pixels outside [0, 1] are 422; whole numbers are not guessed at but answered with a hint."""
    problem = refuse(422, "/v1/encode", json={"images": [[[value] * 6] * 8]})

    assert "[0, 1]" in problem["detail"]
    assert ("divide by 255" in problem["detail"]) == (value >= 2)


NO_IMAGES = {
    "one number": 0.5,
    "a row": [0.5] * 6,
    "a column too many": [[0.5] * 7] * 8,
    "rows and columns swapped": [[0.5] * 8] * 6,
    "two channels": [[[0.5] * 6] * 8] * 2,
    "a batch": [[[[0.5] * 6] * 8]] * 2,
    "9 dimensions": [[[[[[[[[0.5]]]]]]]]],
    "60 deep": reduce(lambda inner, _: [inner], range(60), [0.5]),
    "ragged": [[0.5] * 6] * 7 + [[0.5] * 5],
    "mixed depths": [[0.5] * 6] * 7 + [0.5],
    "empty": [],
    "empty rows": [[]] * 8,
    "null": None,
    "boolean": True,
    "object": {"data": PNG},
}


@pytest.mark.parametrize("fault", NO_IMAGES)
def test_an_image_of_a_wrong_shape(refuse: Refuse, fault: str) -> None:
    """An item that is neither a file in base64 nor H x W or C x H x W numbers is 422."""
    problem = refuse(422, "/v1/encode", json={"images": [NO_IMAGES[fault]]})

    assert problem["errors"][0]["pointer"] == "/images/0"


def test_a_wrong_shape_says_which_is_wanted(refuse: Refuse) -> None:
    """The shape wanted and the shape got stand in the detail."""
    problem = refuse(422, "/v1/encode?model=colour", json={"images": [[[0.5] * 27] * 28]})

    assert problem["detail"] == "images of 3 x 6 x 6 are wanted, got 1 x 28 x 27"


@pytest.mark.parametrize("images", [[], {}, "text", PNG, 5, None, True])
@pytest.mark.parametrize("operation", ON_IMAGES)
def test_images_that_are_no_list(refuse: Refuse, operation: str, images: object) -> None:
    """`images` must be a list of at least one image."""
    problem = refuse(422, f"/v1/{operation}", json={"images": images})

    assert problem["errors"][0]["pointer"] == "/images"


@pytest.mark.parametrize(
    "latents",
    [
        [],
        [[]],
        {},
        "text",
        5,
        None,
        [[0.5] * (LATENT_SIZE + 1)],
        [[0.5] * (LATENT_SIZE - 1)],
        [[0.5] * LATENT_SIZE, [0.5]],
        [[[0.5] * LATENT_SIZE]],
    ],
)
@pytest.mark.parametrize("operation", ["decode", "interpolate"])
def test_latents_of_a_wrong_shape(refuse: Refuse, operation: str, latents: object) -> None:
    """Latents must be N x L, N at least 1."""
    problem = refuse(422, f"/v1/{operation}", json={"latents": latents})

    assert problem["errors"][0]["pointer"] == "/latents"


def test_latents_that_give_no_image(refuse: Refuse) -> None:
    """Finite latents so large that the network overflows are 422, never NaN in an answer."""
    problem = refuse(422, "/v1/decode", json={"latents": [[3e38] * LATENT_SIZE]})

    assert "non-finite" in problem["detail"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no base64!",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "data:image/png;base64",
        "data:image/png;base64,",
        f"data:image/png,{PNG}#",
        PNG[:-1],
        "\u00e9" * 8,
        to_base64(b"a text"),
    ],
)
def test_a_string_that_is_no_picture(refuse: Refuse, text: str) -> None:
    """Strings are base64 of a picture: nothing is fetched, and what is no picture is 422."""
    problem = refuse(422, "/v1/encode", json={"images": [PNG, text]})

    assert problem["errors"][0]["pointer"] == "/images/1"


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(("member", "item"), [("images", PNG), ("latents", [0.5] * LATENT_SIZE)])
def test_a_line_has_two_ends(refuse: Refuse, count: int, member: str, item: object) -> None:
    """Interpolation takes two images or two latents, and says how many came."""
    problem = refuse(422, "/v1/interpolate", json={member: [item] * count})

    assert problem["detail"].endswith(f"got {count}")


def test_a_line_is_between_images_or_latents(refuse: Refuse) -> None:
    """Images and latents together are 422."""
    body = {"images": [PNG] * 2, "latents": [[0.5] * LATENT_SIZE] * 2}

    refuse(422, "/v1/interpolate", json=body)


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("encode", {"images": [PNG] * 21}),
        ("encode", {"images": [0] * 21}),
        ("decode", {"latents": [[0.5] * LATENT_SIZE] * 21}),
        ("interpolate", {"latents": [[0.5] * LATENT_SIZE] * 21}),
    ],
)
def test_one_more_than_allowed(refuse: Refuse, operation: str, body: object) -> None:
    """More images or latents than the limit are 413, which names the limit."""
    problem = refuse(413, f"/v1/{operation}", json=body)

    assert "LATENTD_MAX_IMAGES" in problem["detail"]


def test_pictures_together_over_the_pixel_limit(refuse: Refuse) -> None:
    """The limit on pixels is over all pictures of a request."""
    picture = to_base64(make_png(size=(150, 150)))

    problem = refuse(413, "/v1/encode", json={"images": [picture, picture]})

    assert "LATENTD_MAX_PIXELS" in problem["detail"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_body_over_the_limit(refuse: Refuse, operation: str) -> None:
    """A body of one byte over the limit is 413, which names the limit."""
    problem = refuse(413, f"/v1/{operation}", content=b" " * 100_001, headers=JSON)

    assert "LATENTD_MAX_BODY_BYTES" in problem["detail"]
