"""Parameters, models, content types and `Accept` that cannot be served."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.support.image_files import make_png, to_base64
from tests.support.problem_checks import ON_IMAGES, OPERATIONS

Refuse = Callable[..., dict[str, Any]]

PICTURES = {"images": [to_base64(make_png())] * 2}
SERVED = ("full@2", "full@1", "colour@1", "bare@1")


def make_body(operation: str) -> dict[str, object]:
    """Return a good body for any operation."""
    if operation == "decode":
        return {"latents": [[0.5] * 4]}
    return dict(PICTURES) if operation in ON_IMAGES else {}


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
def test_a_bad_member_of_sample(refuse: Refuse, name: str, value: object) -> None:
    """A member of a wrong type or out of range is 422, with a pointer to it."""
    problem = refuse(422, "/v1/sample", json={name: value})

    assert {error["pointer"] for error in problem["errors"]} == {f"/{name}"}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400"])
@pytest.mark.parametrize("name", ["count", "seed", "temperature", "class"])
def test_a_member_that_is_no_finite_number(refuse: Refuse, name: str, number: str) -> None:
    """NaN and infinity are 422 in every parameter."""
    body = f'{{"{name}": {number}}}'

    refuse(422, "/v1/sample", content=body, headers={"Content-Type": "application/json"})


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
def test_a_bad_query(refuse: Refuse, operation: str, query: str) -> None:
    """A query parameter that is unknown, of a wrong type or out of range is 422."""
    problem = refuse(422, f"/v1/{operation}?{query}", json=make_body(operation))

    assert problem["errors"][0]["pointer"] == "/" + query.partition("=")[0]


def test_a_bad_member_beside_a_good_query(refuse: Refuse) -> None:
    """A member of the body is checked though the query gives the parameter as well."""
    problem = refuse(422, "/v1/sample?count=2", json={"count": 0})

    assert problem["errors"][0]["pointer"] == "/count"


def test_the_body_wins_over_the_query(client: httpx.Client) -> None:
    """A parameter given in both is the body's: browser forms send every query parameter."""
    answer = client.post("/v1/sample?seed=1&model=full@2", json={"seed": 2, "model": "full@1"})

    assert answer.json()["seed"] == 2
    assert answer.headers["X-Model"] == "full@1"


@pytest.mark.parametrize(
    ("operation", "query"), [("sample", "count=301"), ("sample", "count=1000000000")]
)
def test_more_samples_than_allowed(refuse: Refuse, operation: str, query: str) -> None:
    """More images asked for than the limit are 413, which names the limit."""
    problem = refuse(413, f"/v1/{operation}?{query}")

    assert "LATENTD_MAX_SAMPLES" in problem["detail"]


def test_more_steps_than_allowed(refuse: Refuse) -> None:
    """An interpolation's steps are bounded as samples are."""
    refuse(413, "/v1/interpolate?steps=301", json=PICTURES)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    "model",
    ["nothing", "full@3", "full@0", "full@02", "full@", "full@x", "@1", "../full", "\0", "a" * 300],
)
def test_a_model_that_is_not_served(refuse: Refuse, operation: str, model: str) -> None:
    """An unknown name or version is 404, and the detail lists what is served."""
    problem = refuse(404, f"/v1/{operation}", params={"model": model}, json=make_body(operation))

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
def test_what_the_bundle_lacks(refuse: Refuse, operation: str, query: str, others: str) -> None:
    """A network or source that the bundle lacks is 409, which lists the bundles that have it."""
    problem = refuse(409, f"/v1/{operation}?model=bare{query}", json=make_body(operation))

    assert problem["detail"].startswith("bare@1 has no ")
    assert others in problem["detail"]


@pytest.mark.parametrize(
    ("query", "able"), [("source=prior", "kde"), ("model=bare", "none"), ("model=bare@1", "none")]
)
def test_a_class_of_a_source_that_knows_none(refuse: Refuse, query: str, able: str) -> None:
    """Asking a source without classes for one is 409, which names the sources that know them."""
    problem = refuse(409, f"/v1/sample?class=dark&{query}")

    assert problem["detail"].endswith(f"class-conditional sources: {able}")


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
def test_a_content_type_that_is_not_read(refuse: Refuse, operation: str, content_type: str) -> None:
    """Any other content type is 415, which lists what is taken."""
    headers = {"Content-Type": content_type.encode("latin-1")}

    problem = refuse(415, f"/v1/{operation}", content=b"{}", headers=headers)

    assert "application/json" in problem["detail"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_body_without_a_content_type(refuse: Refuse, operation: str) -> None:
    """A body that does not say what it is is 415, not guessed at."""
    refuse(415, f"/v1/{operation}", content=b"{}")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, identity"])
def test_a_compressed_body(refuse: Refuse, encoding: str) -> None:
    """Compressed bodies are 415: a small one could hold a large one."""
    headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}

    refuse(415, "/v1/encode", content=b"\x1f\x8b", headers=headers)


@pytest.mark.parametrize(
    ("operation", "accept"),
    [
        *((operation, "text/html") for operation in OPERATIONS),
        ("classify", "image/png"),
        ("classify", "application/x-npy"),
        ("encode", "image/png"),
        ("encode", "image/*"),
        ("sample", "application/json;q=0"),
        ("sample", "application/json;q=no"),
        ("sample", "nonsense"),
    ],
)
def test_an_answer_that_is_not_offered(refuse: Refuse, operation: str, accept: str) -> None:
    """What cannot be given is 406, which lists what can."""
    body = make_body(operation)

    problem = refuse(406, f"/v1/{operation}", json=body, headers={"Accept": accept})

    assert "application/json" in problem["detail"]


def test_accept_in_several_lines_counts_as_one(client: httpx.Client) -> None:
    """A header given in several lines is their list (RFC 9110, section 5.3)."""
    client.headers.pop("Accept")

    answer = client.post("/v1/sample", headers=[("Accept", "text/html"), ("Accept", "image/png")])

    assert answer.headers["Content-Type"] == "image/png"
