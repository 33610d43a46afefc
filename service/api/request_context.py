"""The life of an operation's request: receive, find the model, work, answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, NoReturn, TypeVar

from fastapi import Request, Response
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from service.artifact.manifest import NetworkName
from service.artifact.tensor_files import Floats
from service.codecs.request_body import JSON, MULTIPART, Taken, Upload, unpack
from service.codecs.responses import choose_form
from service.errors import InvalidInputError, UnsupportedFormatError
from service.http.limits import Limits, read_body
from service.http.problems import to_violations
from service.inference.admission import INLINE_SECONDS, Admission, Waiter
from service.inference.batching import QueueBatcher, TurnBatcher
from service.inference.model import Model
from service.inference.registry import Registry
from service.observability.metrics import count_images

P = TypeVar("P", bound=BaseModel)

# Predictions of work other than networks', measured on one core of a small server; they decide
# only between the event loop and a thread, so their order of magnitude is enough.
_SECONDS_A_BYTE = {JSON: 2e-8, MULTIPART: 1e-7}
_SECONDS_A_COPIED_BYTE = 1e-9
_SECONDS_A_PIXEL = 2e-8
_SECONDS_AN_IMAGE = 1e-4

_SHORT_BODY = 16 * 1024
"""Bytes; work on a longer body is hardly ever short enough for the event loop."""


@dataclass(slots=True)
class Lifecycle:
    """Where the process is in its life: its server writes it, readiness tells it."""

    draining: bool = False
    """Whether it was told to stop: it still answers, and should be sent nothing new."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What requests are served with; one for the application, in `app.state.engine`."""

    registry: Registry
    admission: Admission
    limits: Limits
    queue_batcher: QueueBatcher
    turn_batcher: TurnBatcher = field(default_factory=TurnBatcher)
    lifecycle: Lifecycle = field(default_factory=Lifecycle)

    @property
    def missing(self) -> list[str]:
        """Why the service is not ready; empty where it is."""
        draining = ["this process: draining"] if self.lifecycle.draining else []
        return draining + self.registry.missing

    async def answer(
        self, model: Model, work: Callable[[], Response], seconds: float, waiter: Waiter
    ) -> Response:
        """Do work that is predicted to take `seconds`, and name the model that did it."""
        return name_model(model, await self.admission.run(work, seconds, waiter))


@dataclass(frozen=True, slots=True)
class Call(Generic[P]):
    """A request that was received: its parameters, its upload and the form of its answer."""

    engine: Engine
    operation: str
    parameters: P
    upload: Upload
    form: str
    waiter: Waiter

    async def answer(
        self, model: Model, work: Callable[[], Response], images: int, seconds: float
    ) -> Response:
        """Do the work where it fits best and name the model that did it.

        Args:
            model: The model.
            work: Unpacks, runs and packs.
            images: How many images are worked on.
            seconds: Predicted duration of the networks' runs for one of them.
        """
        predicted = self._predict(images, seconds)
        response = await self.engine.answer(model, work, predicted, self.waiter)
        count_images(self.operation, model.bundle.name, images)
        return response

    async def answer_run(
        self,
        model: Model,
        network: NetworkName,
        unpack: Callable[[], Floats],
        pack: Callable[[list[Floats]], Response],
    ) -> Response:
        """Answer with what one network gives; runs that wait together are done together.

        Args:
            model: The model; it has the network.
            network: The network's name.
            unpack: Returns the network's input.
            pack: Makes the answer of the network's outputs.
        """
        predicted = self._predict(self.upload.count, model.seconds[network])
        if predicted <= INLINE_SECONDS:
            response = pack(await self.engine.turn_batcher.run(model, network, unpack()))
        else:
            queue = self.engine.queue_batcher.queue
            with queue(model, network, self.upload.count, unpack) as run:
                response = await self.engine.admission.run(
                    lambda: pack(run()), predicted, self.waiter
                )
        count_images(self.operation, model.bundle.name, self.upload.count)
        return name_model(model, response)

    def _predict(self, images: int, seconds: float) -> float:
        """Return about how many seconds so many images take, each so many in the networks."""
        return images * (seconds + _SECONDS_AN_IMAGE) + self.upload.pixels * _SECONDS_A_PIXEL


def name_model(model: Model, response: Response) -> Response:
    """Name in an answer the model that gave it."""
    response.raw_headers += [
        (b"x-model", model.reference.encode()),
        (b"x-model-digest", model.bundle.digest.encode()),
    ]
    return response


async def receive(request: Request, query: P, taken: Taken, offered: Sequence[str]) -> Call[P]:
    """Receive a request to an operation.

    Args:
        request: The request.
        query: Its query parameters.
        taken: What the operation takes.
        offered: The media types that it can answer with, the default first.

    Raises:
        RequestError: of every kind, for what can be told before the model is known.
    """
    engine: Engine = request.app.state.engine
    head = read_head(request)
    form = choose_form(head.get(b"accept", ""), offered)
    content_type = head.get(b"content-type", "")
    body = await receive_body(request, head, engine, is_json=content_type.startswith(JSON))
    waiter = watch(request)
    upload = await engine.admission.run(
        lambda: unpack(content_type, body, taken, engine.limits),
        predict_reading(body, content_type),
        waiter,
    )
    operation: str = request.scope["route"].name
    return Call(engine, operation, merge(query, upload.members), upload, form, waiter)


def read_head(request: Request) -> dict[bytes, str]:
    """Return the headers; of a repeated one all values, as one (RFC 9110, section 5.3)."""
    head: dict[bytes, list[bytes]] = {}
    for name, value in request.scope["headers"]:
        head.setdefault(name, []).append(value)
    return {name: b", ".join(values).decode("latin-1") for name, values in head.items()}


async def receive_body(
    request: Request, head: dict[bytes, str], engine: Engine, *, is_json: bool = False
) -> bytes:
    """Return the body, which must come as it is.

    Args:
        request: The request.
        head: Its headers.
        engine: Tells the limits, and whether there is a place in the queue.
        is_json: Whether the bound on JSON counts too.

    Raises:
        OverloadedError: the queue is full, and the work for so long a body would be queued.
        UnsupportedFormatError: it has a Content-Encoding.
        LimitExceededError: it is too long.
    """
    if head.get(b"content-encoding", "") not in {"", "identity"}:
        raise UnsupportedFormatError("bodies are taken without Content-Encoding")
    declared = head.get(b"content-length", "")
    body = await read_body(request, declared, engine.limits, is_json=is_json)
    if len(body) > _SHORT_BODY:
        engine.admission.check()  # or unpacking what is refused would take the others' time
    return body


def watch(request: Request) -> Waiter:
    """Return who waits for the answer to a request whose body has been read, from now on."""

    async def gone() -> NoReturn:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        raise ClientDisconnect

    return Waiter(gone)


def predict_reading(body: bytes, content_type: str) -> float:
    """Return about how many seconds it takes to parse a body; arrays are copied only."""
    for form, seconds in _SECONDS_A_BYTE.items():
        if content_type.startswith(form):
            return len(body) * seconds
    return len(body) * _SECONDS_A_COPIED_BYTE


def merge(query: P, members: dict[str, object]) -> P:
    """Return the parameters that the query string and the JSON body give together.

    The body wins: a form in a browser, as Swagger UI's, sends every query parameter's default.

    Raises:
        InvalidInputError: a member is unknown or of the wrong type.
    """
    if not members:
        return query
    try:
        body = type(query).model_validate(members, strict=True)
    except ValidationError as error:
        raise InvalidInputError(*to_violations(error.errors())) from error
    return query.model_copy(update={name: getattr(body, name) for name in body.model_fields_set})
