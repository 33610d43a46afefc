"""Invalid parameters, unknown models, unsupported content types and `Accept` headers."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.support.image_files import make_png, to_base64
from tests.support.problem_checks import OPERATIONS, make_body

ExpectProblem = Callable[..., dict[str, Any]]

TWO_IMAGES = {"images": [to_base64(make_png())] * 2}
SERVED = ("full@2", "full@1", "colour@1", "bare@1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", 0),
        ("count", -1),
        ("count", 1.5),
        ("count", True),
        ("count", "1"),
        ("count", 1.0),
        ("count", None),
        ("count", []),
        ("seed", -1),
        ("seed", 2**64),
        ("seed", 1.5),
        ("seed", "7"),
        ("seed", 10**400),
        ("temperature", 0),
        ("temperature", -1),
        ("temperature", 1e9),
        ("temperature", "1"),
        ("temperature", True),
        ("temperature", 10**400),
        ("class", "purple"),
        ("class", 3),
        ("class", -1),
        ("class", 1.0),
        ("class", True),
        ("class", ["dark"]),
        ("class", 10**400),
        ("encoding", "jpeg"),
        ("output", "both"),
        ("source", 5),
        ("model", 5),
        ("class_", 1),
        ("top_k", 1),
    ],
)
def test_invalid_member_is_rejected_with_422(
    expect_problem: ExpectProblem, name: str, value: object
) -> None:
    """A member of the wrong type or range is rejected with 422 and a pointer to it."""
    problem = expect_problem(422, "/v1/sample", json={name: value})

    assert {error["pointer"] for error in problem["errors"]} == {f"/{name}"}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400"])
@pytest.mark.parametrize("name", ["count", "seed", "temperature", "class"])
def test_non_finite_member_is_rejected_with_422(
    expect_problem: ExpectProblem, name: str, number: str
) -> None:
    """Every numeric parameter rejects NaN and infinity with 422."""
    body = f'{{"{name}": {number}}}'

    expect_problem(422, "/v1/sample", content=body, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize(
    ("operation", "query"),
    [
        ("sample", "count=0"),
        ("sample", "count=1e3"),
        ("sample", "count=%ED%A0%80"),
        ("sample", "count="),
        ("sample", "seed=-1"),
        ("sample", "seed=18446744073709551616"),
        ("sample", "temperature=nan"),
        ("sample", "temperature=inf"),
        ("sample", "temperature=0"),
        ("sample", "class=purple"),
        ("sample", "class=3"),
        ("sample", "class=" + "9" * 5000),
        ("sample", "class=%C2%B2"),
        ("sample", "unknown=1"),
        ("sample", "class_=1"),
        ("encode", "space=other"),
        ("encode", "invert=yes"),
        ("encode", "encoding=png"),
        ("classify", "top_k=0"),
        ("classify", "top_k=4"),
        ("classify", "top_k=" + "9" * 30),
        ("interpolate", "steps=1"),
        ("interpolate", "steps=two"),
        ("decode", "invert=true"),
        ("denoise", "space=vae"),
    ],
)
def test_invalid_query_parameter_is_rejected_with_422(
    expect_problem: ExpectProblem, operation: str, query: str
) -> None:
    """A query parameter that is unknown or has the wrong type or range is rejected with 422."""
    problem = expect_problem(422, f"/v1/{operation}?{query}", json=make_body(operation))

    assert problem["errors"][0]["pointer"] == "/" + query.partition("=")[0]


def test_body_member_is_checked_despite_a_query_parameter(expect_problem: ExpectProblem) -> None:
    """A member of the body is validated even if the query has the same parameter."""
    problem = expect_problem(422, "/v1/sample?count=2", json={"count": 0})

    assert problem["errors"][0]["pointer"] == "/count"


def test_body_overrides_query(client: httpx.Client) -> None:
    """A member of the body overrides the query, since browser forms send every query parameter."""
    response = client.post("/v1/sample?seed=1&model=full@2", json={"seed": 2, "model": "full@1"})

    assert response.json()["seed"] == 2
    assert response.headers["X-Model"] == "full@1"


@pytest.mark.parametrize(
    ("operation", "query"), [("sample", "count=301"), ("sample", "count=1000000000")]
)
def test_too_many_samples_are_rejected_with_413(
    expect_problem: ExpectProblem, operation: str, query: str
) -> None:
    """More samples than the limit are rejected with 413 and the name of the setting."""
    problem = expect_problem(413, f"/v1/{operation}?{query}")

    assert "LATENTD_MAX_SAMPLES" in problem["detail"]


def test_too_many_steps_are_rejected_with_413(expect_problem: ExpectProblem) -> None:
    """The limit on samples applies to the steps of an interpolation."""
    expect_problem(413, "/v1/interpolate?steps=301", json=TWO_IMAGES)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    "model",
    ["nothing", "full@3", "full@0", "full@02", "full@", "full@x", "@1", "../full", "\0", "a" * 300],
)
def test_unknown_model_is_rejected_with_404(
    expect_problem: ExpectProblem, operation: str, model: str
) -> None:
    """An unknown name or version is rejected with 404 and a list of the loaded models."""
    problem = expect_problem(
        404, f"/v1/{operation}", params={"model": model}, json=make_body(operation)
    )

    assert all(reference in problem["detail"] for reference in SERVED)
    assert len(problem["detail"]) < 300


@pytest.mark.parametrize(
    ("operation", "query", "others"),
    [
        ("denoise", "", "colour@1, full@2, full@1"),
        ("classify", "", "colour@1, full@2, full@1"),
        ("encode", "&space=vae", "colour@1, full@2, full@1"),
        ("decode", "&space=vae", "colour@1, full@2, full@1"),
        ("reconstruct", "&space=vae", "colour@1, full@2, full@1"),
        ("interpolate", "&space=vae", "colour@1, full@2, full@1"),
        ("sample", "&source=prior", "colour@1, full@2, full@1"),
        ("sample", "&source=other", "have it: none"),
    ],
)
def test_missing_network_or_source_is_rejected_with_409(
    expect_problem: ExpectProblem, operation: str, query: str, others: str
) -> None:
    """A missing network or source is rejected with 409 and a list of models that have it."""
    problem = expect_problem(409, f"/v1/{operation}?model=bare{query}", json=make_body(operation))

    assert problem["detail"].startswith("bare@1 has no ")
    assert others in problem["detail"]


@pytest.mark.parametrize(
    ("query", "able"), [("source=prior", "kde"), ("model=bare", "none"), ("model=bare@1", "none")]
)
def test_class_for_an_unconditional_source_is_rejected_with_409(
    expect_problem: ExpectProblem, query: str, able: str
) -> None:
    """A class for an unconditional source is rejected with 409 and the conditional sources."""
    problem = expect_problem(409, f"/v1/sample?class=dark&{query}")

    assert problem["detail"].endswith(f"class-conditional sources: {able}.")


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/octet-stream",
        "application/vnd.bentoml+pickle",
        "application/json, text/plain",
        "image/gif",
        ";",
        "\u00ff",
    ],
)
def test_unsupported_content_type_is_rejected_with_415(
    expect_problem: ExpectProblem, operation: str, content_type: str
) -> None:
    """An unsupported content type is rejected with 415 and a list of the supported types."""
    headers = {"Content-Type": content_type.encode("latin-1")}

    problem = expect_problem(415, f"/v1/{operation}", content=b"{}", headers=headers)

    assert "application/json" in problem["detail"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_missing_content_type_is_rejected_with_415(
    expect_problem: ExpectProblem, operation: str
) -> None:
    """A body without a content type is rejected with 415 instead of being guessed."""
    expect_problem(415, f"/v1/{operation}", content=b"{}")


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip"])
def test_unknown_compression_is_rejected_with_415(
    expect_problem: ExpectProblem, encoding: str
) -> None:
    """Bodies compressed in another way than by gzip or deflate are rejected with 415."""
    headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}

    problem = expect_problem(415, "/v1/encode", content=b"\x1f\x8b", headers=headers)

    assert "gzip, deflate" in problem["detail"]


@pytest.mark.parametrize(
    ("operation", "accept"),
    [
        *((operation, "text/html") for operation in OPERATIONS),
        ("classify", "image/png"),
        ("classify", "application/x-npy"),
        ("encode", "image/png"),
        ("encode", "image/*"),
        ("sample", "application/json;q=0"),
        ("sample", "nonsense"),
    ],
)
def test_unavailable_response_format_is_rejected_with_406(
    expect_problem: ExpectProblem, operation: str, accept: str
) -> None:
    """An unavailable response format is rejected with 406 and a list of the available formats."""
    body = make_body(operation)

    problem = expect_problem(406, f"/v1/{operation}", json=body, headers={"Accept": accept})

    assert "application/json" in problem["detail"]


def test_repeated_accept_headers_form_one_list(client: httpx.Client) -> None:
    """Repeated `Accept` headers form one list (RFC 9110, section 5.3)."""
    client.headers.pop("Accept")

    response = client.post("/v1/sample", headers=[("Accept", "text/html"), ("Accept", "image/png")])

    assert response.headers["Content-Type"] == "image/png"
