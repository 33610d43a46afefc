"""Both clients on a fake transport: requests, results and errors."""

import asyncio
import copy
import inspect
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from latentd_client import AsyncClient, Client, ServiceError

PREDICTION = {
    "label": "7",
    "index": 7,
    "probability": 0.75,
    "top": [{"label": "7", "probability": 0.75}, {"label": "1", "probability": 0.25}],
}
METHODS = [
    name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")
]


def open_client(respond: Callable[[httpx.Request], httpx.Response], **options: Any) -> Client:  # noqa: ANN401 - as Client
    """Return a client whose requests a function answers."""
    return Client(transport=httpx.MockTransport(respond), **options)


def catch(response: httpx.Response) -> ServiceError:
    """Return the error that a response raises."""
    with open_client(lambda _: response) as client, pytest.raises(ServiceError) as caught:
        client.list_models()
    return caught.value


def record(**options: Any) -> tuple[Client, list[httpx.Request]]:  # noqa: ANN401 - as Client
    """Return a client, and the list of the requests that it sends."""
    requests: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json={"models": [], "predictions": [PREDICTION]})

    return open_client(respond, **options), requests


def test_parameters_are_sent() -> None:
    """Arguments become query parameters; booleans are spelled as the service expects."""
    client, requests = record(model="mnist")

    client.classify(b"", top_k=3, invert=True)

    assert requests[0].url == ("http://localhost:8000/v1/classify?model=mnist&top_k=3&invert=true")
    assert requests[0].headers["Accept"] == "application/json"


def test_a_call_overrides_the_model_of_the_client() -> None:
    """The model is that of the call, otherwise that of the client, otherwise the service's."""
    client, requests = record(model="mnist")
    other, further = record()

    client.classify(b"", model="fashion-mnist@2")
    other.classify(b"")

    assert requests[0].url.params["model"] == "fashion-mnist@2"
    assert "model" not in further[0].url.params


def test_names_are_quoted() -> None:
    """A name stays one segment of the path."""
    client, requests = record(url="https://example.org/ml/")

    client.get_model("a/b?c@1")

    assert requests[0].url.raw_path == b"/ml/v1/models/a%2Fb%3Fc@1"


def test_the_api_key_is_sent() -> None:
    """Every request carries the key as a bearer token."""
    client, requests = record(api_key="secret")

    client.list_models()
    client.classify(b"")

    assert {request.headers["Authorization"] for request in requests} == {"Bearer secret"}


def test_a_result_is_read() -> None:
    """A prediction holds the most probable classes in order."""
    client, _ = record()

    (prediction,) = client.classify(b"")

    assert (prediction.label, prediction.index, prediction.probability) == ("7", 7, 0.75)
    assert prediction.top == {"7": 0.75, "1": 0.25}


def test_an_error_response_is_raised() -> None:
    """The error has the status, the problem details and the seconds until a retry."""
    problem = {"title": "Overloaded", "detail": "The queue is full."}

    error = catch(httpx.Response(429, json=problem, headers={"Retry-After": "2"}))

    assert (error.status, error.problem, error.retry_after) == (429, problem, 2.0)
    assert str(error) == "HTTP 429: The queue is full."


@pytest.mark.parametrize(
    ("response", "detail"),
    [
        (httpx.Response(502, text="Bad gateway" * 100), ("Bad gateway" * 100)[:200]),
        (httpx.Response(500, json=["odd"]), "['odd']"),
        (httpx.Response(500, json={}), "The response has no detail."),
        (httpx.Response(307), ""),
    ],
)
def test_a_response_without_problem_details_is_raised(
    response: httpx.Response, detail: str
) -> None:
    """The text of a proxy becomes the detail, up to 200 characters."""
    assert str(catch(response)) == f"HTTP {response.status_code}: {detail}"


def test_a_response_of_something_else_is_raised() -> None:
    """A page with status 200, as of another server, is an error that names the URL."""
    error = catch(httpx.Response(200, html="<title>Home</title>"))

    assert str(error) == (
        "HTTP 200: Expected application/json from http://localhost:8000/v1/models, "
        "got text/html. Check the service's URL."
    )


@pytest.mark.parametrize("value", [None, "", "soon", "-1", "1.5", "Mon, 99 Jan 2030"])
def test_without_a_valid_retry_after_there_is_none(value: str | None) -> None:
    """A header that is absent or invalid gives no advice."""
    headers = {} if value is None else {"Retry-After": value}

    assert catch(httpx.Response(503, headers=headers)).retry_after is None


@pytest.mark.parametrize(("minutes", "seconds"), [(2, 120), (-2, 0)])
def test_retry_after_can_be_a_date(minutes: int, seconds: int) -> None:
    """A date becomes seconds from now, at least 0."""
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=minutes), usegmt=True)

    error = catch(httpx.Response(503, headers={"Retry-After": date}))

    assert error.retry_after == pytest.approx(seconds, abs=5)


@pytest.mark.parametrize("duplicate", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])  # noqa: S301 - our own
def test_errors_can_be_pickled(duplicate: Callable[[ServiceError], ServiceError]) -> None:
    """An error passes between processes, as it must with multiprocessing."""
    error = duplicate(ServiceError(429, {"detail": "full"}, 1.0))

    assert (error.status, error.problem, error.retry_after) == (429, {"detail": "full"}, 1.0)


@pytest.mark.parametrize("name", METHODS)
def test_both_clients_have_the_same_methods(name: str) -> None:
    """Each method is a coroutine of the other client, with the same parameters and text."""
    blocking, awaited = getattr(Client, name), getattr(AsyncClient, name)

    assert inspect.iscoroutinefunction(awaited)
    assert inspect.signature(awaited) == inspect.signature(blocking)
    assert awaited.__doc__ == blocking.__doc__


@pytest.mark.parametrize("name", METHODS)
def test_the_text_of_a_method_describes_every_parameter(name: str) -> None:
    """help() explains every parameter."""
    method = getattr(Client, name)

    described = [line.strip().partition(":")[0] for line in method.__doc__.splitlines()]

    assert {*inspect.signature(method).parameters} - {"self"} <= {*described}


def test_the_asynchronous_client_reads_files_in_a_thread() -> None:
    """The event loop runs on while a large PIL image is compressed."""
    loop_threads = set()

    class SlowPath:
        def __fspath__(self) -> str:
            with pytest.raises(RuntimeError):
                asyncio.get_running_loop()
            loop_threads.add(True)
            return __file__

    async def send() -> None:
        transport = httpx.MockTransport(
            lambda _: httpx.Response(200, json={"predictions": [PREDICTION]})
        )
        async with AsyncClient(transport=transport) as client:
            await client.classify(SlowPath())

    asyncio.run(send())

    assert loop_threads
