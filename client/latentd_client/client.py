"""The two clients: they send what `service.client.calls` makes, and raise what is refused."""

import functools
import inspect
import io
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import numpy as np

from service.client import calls
from service.client.answers import RefusedError
from service.client.calls import Call
from service.errors import MissingExtraError

try:
    import httpx
except ImportError as error:  # pragma: no cover - tests have it
    raise MissingExtraError("the client needs httpx: pip install 'latentd[client]'") from error

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])

_SELF = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
_SECONDS = 60.0
_NPY = "application/x-npy"


def _copy_signature(build: Callable[..., object]) -> Callable[[F], F]:
    """Return a decorator that gives a method its call's name, text and parameters after `self`."""

    def decorate(send: F) -> F:
        own = inspect.signature(build)
        parameters = [_SELF, *own.parameters.values()]
        functools.update_wrapper(send, build)
        send.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        return send

    return decorate


def _blocking(build: Callable[P, Call[T]]) -> Callable[Concatenate["Client", P], T]:
    """Return a method that makes a call and sends it."""

    @_copy_signature(build)
    def send(client: "Client", /, *args: P.args, **options: P.kwargs) -> T:
        return client.send(build(*args, **options))

    return send


def _awaited(
    build: Callable[P, Call[T]],
) -> Callable[Concatenate["AsyncClient", P], Coroutine[Any, Any, T]]:
    """Return a coroutine method that makes a call and sends it."""

    @_copy_signature(build)
    async def send(client: "AsyncClient", /, *args: P.args, **options: P.kwargs) -> T:
        return await client.send(build(*args, **options))

    return send


class Client:
    """A client of a service, to be closed or used as a context manager."""

    def __init__(
        self,
        url: str = "http://localhost:8000",
        *,
        model: str | None = None,
        key: str | None = None,
        timeout: float = _SECONDS,
    ) -> None:
        """Open a client; nothing is sent yet.

        Args:
            url: The service's address, with its prefix where it has one.
            model: `name` or `name@version` for all calls; None for the service's default.
            key: The API key, where one is needed.
            timeout: Seconds to wait for an answer.
        """
        self._model = model
        self._http = httpx.Client(base_url=url, headers=_bring(key), timeout=timeout)

    list_models = _blocking(calls.list_models)
    describe = _blocking(calls.describe)
    fetch_map = _blocking(calls.fetch_map)
    encode = _blocking(calls.encode)
    decode = _blocking(calls.decode)
    reconstruct = _blocking(calls.reconstruct)
    denoise = _blocking(calls.denoise)
    classify = _blocking(calls.classify)
    sample = _blocking(calls.sample)
    interpolate = _blocking(calls.interpolate)

    def send(self, call: Call[T]) -> T:
        """Send a call and return its answer.

        Raises:
            RefusedError: the service refused it.
            httpx.TransportError: the service cannot be reached, or does not answer in time.
        """
        return _read(call, self._http.send(_build(self._http, call, self._model)))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


class AsyncClient:
    """As `Client`, with methods to be awaited."""

    def __init__(
        self,
        url: str = "http://localhost:8000",
        *,
        model: str | None = None,
        key: str | None = None,
        timeout: float = _SECONDS,
    ) -> None:
        """Open a client; nothing is sent yet. For the arguments see `Client`."""
        self._model = model
        self._http = httpx.AsyncClient(base_url=url, headers=_bring(key), timeout=timeout)

    list_models = _awaited(calls.list_models)
    describe = _awaited(calls.describe)
    fetch_map = _awaited(calls.fetch_map)
    encode = _awaited(calls.encode)
    decode = _awaited(calls.decode)
    reconstruct = _awaited(calls.reconstruct)
    denoise = _awaited(calls.denoise)
    classify = _awaited(calls.classify)
    sample = _awaited(calls.sample)
    interpolate = _awaited(calls.interpolate)

    async def send(self, call: Call[T]) -> T:
        """Send a call and return its answer; raises as `Client.send`."""
        return _read(call, await self._http.send(_build(self._http, call, self._model)))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.close()


def _bring(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def _build(
    http: httpx.Client | httpx.AsyncClient, call: Call[Any], model: str | None
) -> httpx.Request:
    headers = {"Accept": call.accept}
    if call.content is None:
        return http.build_request("GET", call.path, headers=headers)
    query = {"model": model, **call.query}
    given: dict[str, Any] = {name: value for name, value in query.items() if value is not None}
    headers["Content-Type"] = call.content_type
    return http.build_request(
        "POST", call.path, params=given, content=call.content, headers=headers
    )


def _read(call: Call[T], response: httpx.Response) -> T:
    if not response.is_success:
        raise RefusedError(response.status_code, _read_problem(response))
    if call.accept == _NPY:
        return call.read(np.load(io.BytesIO(response.content), allow_pickle=False))
    return call.read(response.json())


def _read_problem(response: httpx.Response) -> dict[str, Any]:
    """Return the problem; where a proxy answered in its own words, those."""
    try:
        problem = response.json()
    except ValueError:
        return {"detail": response.text[:200]}
    return problem if isinstance(problem, dict) else {"detail": str(problem)[:200]}
