"""Malformed JSON bodies, and well-formed JSON with invalid values."""

import itertools
from collections.abc import Callable
from functools import reduce
from typing import Any

import pytest

from tests.support.fakes import LATENT_SIZE
from tests.support.image_files import make_png, to_base64
from tests.support.problem_checks import ON_IMAGES, OPERATIONS, make_body

ExpectProblem = Callable[..., dict[str, Any]]

JSON = {"Content-Type": "application/json"}
PNG = to_base64(make_png())

MALFORMED = {
    "blank": b" ",
    "cut": b"{",
    "trailing": b'{"model": "full"}x',
    "two values": b"{}{}",
    "single quotes": b"{'model': 'full'}",
    "comment": b'{/* */"model": "full"}',
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
NOT_AN_OBJECT = [b"[]", b"null", b'"text"', b"1", b"true", b"NaN"]


@pytest.mark.parametrize(
    ("operation", "fault"),
    # An empty body of `sample` means its default parameters.
    [pair for pair in itertools.product(OPERATIONS, MALFORMED) if pair != ("sample", "empty")],
)
def test_malformed_json_is_rejected_with_400(
    expect_problem: ExpectProblem, operation: str, fault: str
) -> None:
    """Every operation rejects invalid JSON and duplicate keys with 400."""
    expect_problem(400, f"/v1/{operation}", content=MALFORMED[fault], headers=JSON)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("body", NOT_AN_OBJECT)
def test_json_body_must_be_an_object(
    expect_problem: ExpectProblem, operation: str, body: bytes
) -> None:
    """A JSON body that is not an object is rejected with 422."""
    problem = expect_problem(422, f"/v1/{operation}", content=body, headers=JSON)

    assert problem["detail"] == "Expected a JSON object."


@pytest.mark.parametrize("operation", OPERATIONS)
def test_unknown_member_is_rejected_with_422(expect_problem: ExpectProblem, operation: str) -> None:
    """A member that the operation does not define is rejected with 422 and a pointer to it."""
    body = make_body(operation) | {"a/b~c": 1}

    problem = expect_problem(422, f"/v1/{operation}", json=body)

    assert [error["pointer"] for error in problem["errors"]] == ["/a~1b~0c"]


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if make_body(name)])
def test_missing_input_is_rejected_with_422(expect_problem: ExpectProblem, operation: str) -> None:
    """A body without images or latents is rejected with 422 and a pointer to the missing member."""
    problem = expect_problem(422, f"/v1/{operation}", json={})

    (required,) = make_body(operation)
    assert problem["errors"][0]["pointer"] == f"/{required}"


INVALID_NUMBERS = {
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


@pytest.mark.parametrize("number", INVALID_NUMBERS)
def test_image_with_an_invalid_number_is_rejected(
    expect_problem: ExpectProblem, number: str
) -> None:
    """A pixel that is not a finite number is rejected with 422 and a pointer to its image."""
    row = f"[{INVALID_NUMBERS[number]}, 0, 0, 0, 0, 0]"
    body = f'{{"images": ["{PNG}", [{", ".join([row] * 8)}]]}}'

    problem = expect_problem(422, "/v1/encode", content=body, headers=JSON)

    assert problem["errors"][0]["pointer"] == "/images/1"


@pytest.mark.parametrize("number", INVALID_NUMBERS)
@pytest.mark.parametrize("operation", ["decode", "interpolate"])
def test_latents_with_an_invalid_number_are_rejected(
    expect_problem: ExpectProblem, operation: str, number: str
) -> None:
    """A latent coordinate that is not a finite float32 number is rejected with 422."""
    body = f'{{"latents": [[0, 0, 0, 0], [{INVALID_NUMBERS[number]}, 0, 0, 0]]}}'

    problem = expect_problem(422, f"/v1/{operation}", content=body, headers=JSON)

    assert problem["errors"][0]["pointer"] == "/latents"


@pytest.mark.parametrize("value", [256, 255, 2, 1.001, -0.001, -1])
def test_pixels_outside_the_range_are_rejected(expect_problem: ExpectProblem, value: float) -> None:
    """Pixels outside [0, 1] are rejected with 422; values of 0 to 255 get a hint to divide."""
    problem = expect_problem(422, "/v1/encode", json={"images": [[[value] * 6] * 8]})

    assert "[0, 1]" in problem["detail"]
    assert ("Divide integers up to 255 by 255" in problem["detail"]) == (value >= 2)


WRONG_SHAPES = {
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


@pytest.mark.parametrize("fault", WRONG_SHAPES)
def test_image_of_the_wrong_shape_is_rejected(expect_problem: ExpectProblem, fault: str) -> None:
    """An image that is neither base64 nor an array of H x W or C x H x W is rejected with 422."""
    problem = expect_problem(422, "/v1/encode", json={"images": [WRONG_SHAPES[fault]]})

    assert problem["errors"][0]["pointer"] == "/images/0"


def test_shape_error_states_both_shapes(expect_problem: ExpectProblem) -> None:
    """The error for a wrong shape states the expected and the actual shape."""
    problem = expect_problem(422, "/v1/encode?model=colour", json={"images": [[[0.5] * 27] * 28]})

    assert problem["detail"] == "Expected images of shape (N, 3, 6, 6), got (1, 28, 27)."


@pytest.mark.parametrize("images", [[], {}, "text", PNG, 5, None, True])
@pytest.mark.parametrize("operation", ON_IMAGES)
def test_images_must_be_a_list(
    expect_problem: ExpectProblem, operation: str, images: object
) -> None:
    """`images` must be a list of at least one image."""
    problem = expect_problem(422, f"/v1/{operation}", json={"images": images})

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
def test_latents_of_the_wrong_shape_are_rejected(
    expect_problem: ExpectProblem, operation: str, latents: object
) -> None:
    """Latents must have the shape (N, L) with N >= 1."""
    problem = expect_problem(422, f"/v1/{operation}", json={"latents": latents})

    assert problem["errors"][0]["pointer"] == "/latents"


def test_latents_that_overflow_are_rejected(expect_problem: ExpectProblem) -> None:
    """Latents that overflow in the network are rejected with 422; no response contains NaN."""
    problem = expect_problem(422, "/v1/decode", json={"latents": [[3e38] * LATENT_SIZE]})

    assert "non-finite" in problem["detail"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not base64!",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "data:image/png;base64",
        "data:image/png;base64,",
        f"data:image/png,{PNG}#",
        PNG[: len(PNG) // 2],
        "\u00e9" * 8,
        to_base64(b"a text"),
    ],
)
def test_string_that_is_not_an_image_is_rejected(expect_problem: ExpectProblem, text: str) -> None:
    """A string that is not an image in base64 is rejected with 422; URLs are not fetched."""
    problem = expect_problem(422, "/v1/encode", json={"images": [PNG, text]})

    assert problem["errors"][0]["pointer"] == "/images/1"


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(("member", "item"), [("images", PNG), ("latents", [0.5] * LATENT_SIZE)])
def test_interpolation_requires_two_inputs(
    expect_problem: ExpectProblem, count: int, member: str, item: object
) -> None:
    """Interpolation requires two images or two latents, and the error states the actual number."""
    problem = expect_problem(422, "/v1/interpolate", json={member: [item] * count})

    assert problem["detail"].endswith(f"got {count}.")


def test_interpolation_rejects_images_with_latents(expect_problem: ExpectProblem) -> None:
    """Interpolation rejects images and latents in one request with 422."""
    body = {"images": [PNG] * 2, "latents": [[0.5] * LATENT_SIZE] * 2}

    expect_problem(422, "/v1/interpolate", json=body)


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("encode", {"images": [PNG] * 21}),
        ("encode", {"images": [0] * 21}),
        ("decode", {"latents": [[0.5] * LATENT_SIZE] * 21}),
        ("interpolate", {"latents": [[0.5] * LATENT_SIZE] * 21}),
    ],
)
def test_too_many_inputs_are_rejected_with_413(
    expect_problem: ExpectProblem, operation: str, body: object
) -> None:
    """More images or latents than the limit are rejected with 413 and the name of the setting."""
    problem = expect_problem(413, f"/v1/{operation}", json=body)

    assert "LATENTD_MAX_IMAGES" in problem["detail"]


def test_pixel_limit_applies_to_all_images_together(expect_problem: ExpectProblem) -> None:
    """The pixel limit applies to the sum over all images of a request."""
    image = to_base64(make_png(size=(150, 150)))

    problem = expect_problem(413, "/v1/encode", json={"images": [image, image]})

    assert "LATENTD_MAX_PIXELS" in problem["detail"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_body_over_the_limit_is_rejected_with_413(
    expect_problem: ExpectProblem, operation: str
) -> None:
    """A body of one byte over the limit is rejected with 413 and the name of the setting."""
    problem = expect_problem(413, f"/v1/{operation}", content=b" " * 100_001, headers=JSON)

    assert "LATENTD_MAX_BODY_BYTES" in problem["detail"]
