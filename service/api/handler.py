"""The path of a request to an operation, in eight steps.

1. `RequestContext` reads the head once.
2. `parse_query` parses the parameters, `negotiate` chooses the media type of the response.
3. `read_plain_body` reads the body within the limits.
4. `decode_body` decodes it, on a thread if that takes long.
5. `OperationHandler._plan` builds the work item with its predicted cost.
6. `Scheduler.run` runs it, together with the work of other requests.
7. The operation's `run` encodes the result.
8. `RequestWrapper` sends the response with the common headers, and logs and counts it.
"""

from collections.abc import Mapping
from functools import lru_cache, partial
from itertools import islice
from typing import Generic, TypeVar
from urllib.parse import parse_qsl

from fastapi import Response
from pydantic import ValidationError

from service.api.engine import Engine
from service.api.operation import Call, Operation
from service.api.schemas import Parameters
from service.artifact.specs import NetworkName
from service.codecs.compression import (
    decompress,
    is_compressed,
    predict_decompression,
    predict_size,
)
from service.codecs.request_body import RequestBody, decode_body, predict_decoding
from service.codecs.responses import JSON, negotiate
from service.errors import InvalidInputError, UnsupportedOperationError
from service.http.limits import Limits
from service.http.problems import to_violations
from service.http.request_context import RequestContext
from service.inference.batching import Work
from service.inference.model import Model
from service.inference.operations import Steps
from service.inference.registry.registry import Registry
from service.observability.metrics import count_images

P = TypeVar("P", bound=Parameters)

_IMAGE_SECONDS = 1e-4
"""Predicted seconds per image outside its networks."""
VALUE_BYTES = 12
"""Memory of a number that a network reads or writes: as float32, and in JSON."""
_MAX_PARAMETERS = 32
"""Parameters that are validated: some of more are unknown in any case."""
_CACHED_QUERIES = 256
_MAX_CACHED_QUERY = 256
"""Bytes; longer queries are parsed each time, or clients could fill the memory with them."""
_LONG_BODY = 16 * 1024
"""Bytes; a longer body hardly ever means work that is short enough for the event loop."""


class OperationHandler(Generic[P]):
    """Handles the requests to one operation."""

    def __init__(self, operation: Operation[P], engine: Engine) -> None:
        """Create a handler."""
        self._operation = operation
        self._engine = engine
        self._route = (operation.name, f"/v1/{operation.name}")

    async def __call__(self, context: RequestContext) -> Response:
        """Return the response to a request.

        Raises:
            RequestError: the request is invalid.
            OverloadedError, DeadlineExceededError: it cannot be served now.
        """
        operation, engine = self._operation, self._engine
        context.route = self._route
        media_type = negotiate(context.headers.get(b"accept", ""), operation.offers)
        query = parse_query(operation.parameters, context.scope["query_string"])
        body = await self._receive(context)
        parameters = merge_parameters(query, body.members) if body.members else query
        model, networks = find_model(engine.registry, operation, parameters)
        body.reduce_files(model.manifest.image, self._engine.limits)
        call = Call(model, parameters, body, media_type)
        work = self._plan(call, networks, context)
        work.trace = context.trace
        response = await engine.scheduler.run(work, context)
        count_images(operation.name, model.bundle.name, work.images)
        return name_model(response, model, context)

    async def _receive(self, context: RequestContext) -> RequestBody:
        """Read the body within the limits and decode it, on a thread if that takes long."""
        engine, spec = self._engine, self._operation.accepts
        content_type = context.headers.get(b"content-type", "")
        data = await read_plain_body(context, engine, is_json=content_type.startswith(JSON))
        cost = predict_decoding(content_type, len(data))
        decode = partial(decode_body, content_type, data, spec, engine.limits)
        decoded = await engine.scheduler.call(decode, cost, context)
        if len(data) > _LONG_BODY:
            context.reserve(decoded.count_bytes(len(data)))
        return decoded

    def _plan(
        self, call: Call[P], networks: tuple[NetworkName, ...], context: RequestContext
    ) -> Work[Response]:
        """Return the work of a request with its predicted cost; reserve memory for it."""
        operation = self._operation
        images = call.body.count
        if operation.count is not None:
            images = operation.count(call.parameters)
            self._engine.limits.check("samples", images)
        seconds = sum(map(call.model.seconds.__getitem__, networks))
        values = sum(map(call.model.values.__getitem__, networks)) or call.model.image_values
        context.reserve_response(images * values * VALUE_BYTES)
        cost = images * (seconds + _IMAGE_SECONDS) + call.body.decoding_cost
        steps: Steps[Response] = operation.run(call)
        return Work(steps, cost, call.model, next(iter(networks), None), images)


def parse_query(parameters: type[P], query: bytes) -> P:
    """Return the parameters in a query string; of repeated ones the last counts.

    Raises:
        InvalidInputError: unknown or invalid parameters.
    """
    return (_parse if len(query) > _MAX_CACHED_QUERY else _parse_cached)(parameters, query)


def _parse(parameters: type[P], query: bytes) -> P:
    given = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    try:
        return parameters.model_validate(dict(islice(given.items(), _MAX_PARAMETERS)))
    except ValidationError as error:
        raise InvalidInputError(*to_violations(error.errors())) from error


_parse_cached = lru_cache(_CACHED_QUERIES)(_parse)


def merge_parameters(query: P, members: Mapping[str, object]) -> P:
    """Return the parameters of the query string and the JSON body together.

    The body has precedence: a form in a browser, such as Swagger UI's, sends the default of every
    query parameter.

    Raises:
        InvalidInputError: unknown or invalid members.
    """
    try:
        body = type(query).model_validate(members, strict=True)
    except ValidationError as error:
        raise InvalidInputError(*to_violations(error.errors())) from error
    return query.model_copy(update={name: getattr(body, name) for name in body.model_fields_set})


def find_model(
    registry: Registry, operation: Operation[P], parameters: P
) -> tuple[Model, tuple[NetworkName, ...]]:
    """Return the requested model and the networks that an operation runs.

    Raises:
        ModelNotFoundError: the model is not loaded.
        UnsupportedOperationError: it lacks a network or the sample source; the text lists models
            that have it.
    """
    model = registry.find(parameters.model)
    try:
        return model, operation.require(model.manifest, parameters)
    except UnsupportedOperationError as error:
        return registry.find_part(
            parameters.model, str(error), partial(_select_networks, operation, parameters)
        )


def _select_networks(
    operation: Operation[P], parameters: P, model: Model
) -> tuple[NetworkName, ...] | None:
    try:
        return operation.require(model.manifest, parameters)
    except UnsupportedOperationError:
        return None


async def read_plain_body(
    context: RequestContext, engine: Engine, *, is_json: bool = False
) -> bytes:
    """Return the body of a request.

    Args:
        context: The request.
        engine: Provides the limits and the queue.
        is_json: Whether the limit for JSON applies.

    Raises:
        OverloadedError: the queue is full, and the work for so long a body would need it.
        UnsupportedFormatError: the compression of the body is unknown.
        MalformedInputError: the compressed body is damaged.
        LimitExceededError: the body is too long, as sent or decompressed.
    """
    encoding = context.headers.get(b"content-encoding", "")
    must_decompress = encoding != "" and is_compressed(encoding)
    limits: Limits = engine.limits
    limit = "json_bytes" if is_json and limits.json_bytes < limits.body_bytes else "body_bytes"
    body = await context.read_body(limits, limit)
    if len(body) > _LONG_BODY:
        engine.scheduler.check_capacity()  # before decoding, which would delay accepted requests
    return await _decompress(body, context, engine, limit) if must_decompress else body


async def _decompress(body: bytes, context: RequestContext, engine: Engine, limit: str) -> bytes:
    """Return a decompressed body, on a thread if that may take long."""
    limits = engine.limits
    max_bytes: int = getattr(limits, limit)
    encoding = context.headers[b"content-encoding"]
    size = predict_size(body, encoding, max_bytes)
    context.reserve(size)

    def run() -> bytes:
        with limits.decoding.hold(size):
            return decompress(body, encoding, size, max_bytes, f"LATENTD_MAX_{limit.upper()}")

    content = await engine.scheduler.call(run, predict_decompression(size), context)
    context.release(size - len(content))
    return content


def name_model(response: Response, model: Model, context: RequestContext) -> Response:
    """Name the model in the response and in the access log."""
    context.model = model.reference
    response.raw_headers += [
        (b"x-model", model.reference.encode()),
        (b"x-model-digest", model.bundle.digest.encode()),
    ]
    return response
