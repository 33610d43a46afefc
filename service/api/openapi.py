"""The OpenAPI document: every media type of every operation, with examples that work as sent."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.api.operation import Operation
from service.api.schemas import OipError, Problem
from service.codecs.multipart import MULTIPART
from service.codecs.npy import MEDIA_TYPE as NPY
from service.codecs.request_body import PARAMETERS_ONLY
from service.codecs.responses import JSON, PNG, encode_png
from service.http.problems import MEDIA_TYPE, PROBLEM_TYPES
from service.inference import operations as arrays
from service.inference.model import Model

_BINARY = {"type": "string", "format": "binary"}
_NUMBERS = {"type": "array", "items": {}}
_INPUTS: dict[str, dict[str, Any]] = {
    "images": {
        "type": "array",
        "minItems": 1,
        "items": {"anyOf": [{"type": "string"}, _NUMBERS]},
        "description": "PNG or JPEG files in base64 (also as `data:` URLs), or nested H x W or "
        "C x H x W floats in [0, 1].",
    },
    "latents": {
        "type": "array",
        "minItems": 1,
        "items": {"type": "array", "minItems": 1, "items": {"type": "number"}},
        "description": "N x L.",
    },
}
OCTETS = "application/octet-stream"
_REF = "#/components/schemas/{model}"
_ERRORS = {
    str(status.value): {
        "description": "; or ".join(
            problem.title for problem in PROBLEM_TYPES.values() if problem.status == status
        ),
        "content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}}},
    }
    for status in dict.fromkeys(problem.status for problem in PROBLEM_TYPES.values())
}
NOT_FOUND: dict[int | str, dict[str, Any]] = {"404": _ERRORS["404"]}
"""Responses of routes that name a model."""
FILE_RESPONSES: dict[int | str, dict[str, Any]] = {
    "304": {"description": "The client's copy (`If-None-Match`) is current."},
    **{status: _ERRORS[status] for status in ("404", "409", "429", "503")},
}
"""Responses of routes that read an optional file of a bundle."""
OIP_NOT_FOUND: dict[int | str, dict[str, Any]] = {"404": {"model": OipError}}
"""Responses of routes of the Open Inference Protocol that name a model."""
OIP_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": OipError, "description": response["description"]}
    for status, response in _ERRORS.items()
    if status not in {"406", "409", "422"}  # the protocol uses 400 instead, or does not have them
}
"""Responses of its routes that read a body."""
_VERSION = {
    "name": "version",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "A version of the bundle.",
}
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_RESPONSE_HEADERS = {
    "X-Model": {"description": "The model, `name@version`.", "schema": {"type": "string"}},
    "X-Model-Digest": {"description": "SHA-256 of its manifest.", "schema": {"type": "string"}},
}


def describe_operation(operation: Operation[Any]) -> dict[str, Any]:
    """Return the arguments of a route's decorator that document an operation."""
    content = {
        JSON: {"schema": {"$ref": _REF.format(model=operation.response.__name__)}},
        PNG: {"schema": _BINARY},
        NPY: {"schema": _BINARY},
    }
    success = {
        "description": "The result, in the media type chosen by `Accept`.",
        "headers": _RESPONSE_HEADERS,
        "content": {media_type: content[media_type] for media_type in operation.offers},
        "model": operation.response,
    }
    body = {
        "required": operation.accepts is not PARAMETERS_ONLY,
        "content": {
            media_type: _describe_body(media_type, operation)
            for media_type in operation.accepts.media_types
        },
    }
    return {
        "openapi_extra": {"requestBody": body},
        "responses": {"200": success, **_ERRORS},
        "response_model": None,
    }


def describe_inference() -> dict[str, Any]:
    """Return the arguments of a route's decorator that document inference."""
    body = {
        "required": True,
        "content": {
            JSON: {"schema": {"$ref": _REF.format(model="InferRequest")}},
            OCTETS: {"schema": _BINARY},
        },
    }
    return {"openapi_extra": {"requestBody": body}, "responses": OIP_ERRORS}


def _describe_body(media_type: str, operation: Operation[Any]) -> dict[str, Any]:
    spec = operation.accepts
    if media_type == JSON:
        parameters = operation.parameters.model_json_schema()["properties"]
        inputs = {name: _INPUTS[name] | {"minItems": spec.min_count} for name in spec.members}
        schema: dict[str, Any] = {
            "type": "object",
            "properties": inputs | parameters,
            "additionalProperties": False,
        }
        if len(inputs) == 1:
            schema["required"] = [*inputs]
        return {"schema": schema}
    if media_type == MULTIPART:
        parts = {"images": {"type": "array", "items": _BINARY, "minItems": spec.min_count}}
        return {
            "schema": {"type": "object", "properties": parts, "required": ["images"]},
            "encoding": {"images": {"contentType": "image/png, image/jpeg"}},
        }
    return {"schema": _BINARY}


def build_openapi(
    app: FastAPI,
    models: Sequence[Model],
    *,
    needs_key: bool,
    operations: Iterable[Operation[Any]],
    requests: Sequence[type[BaseModel]] = (),
) -> dict[str, Any]:
    """Return the OpenAPI document with examples that fit the loaded models.

    `models` has the default model first, and may be empty. `requests` are the models of request
    bodies that routes refer to by name.
    """
    document = get_openapi(
        title=app.title, version=app.version, summary=app.summary, routes=app.routes
    )
    if needs_key:
        document.setdefault("components", {})["securitySchemes"] = _SECURITY
        document["security"] = [{name: []} for name in _SECURITY]
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    _, definitions = models_json_schema(
        [(Problem, "serialization"), *((model, "validation") for model in requests)],
        ref_template=_REF,
    )
    schemas.update(definitions["$defs"])
    _correct(document)
    examples = make_examples(models, operations)
    for name, example in examples.items():
        route = document["paths"][f"/v1/{name}"]["post"]
        route["requestBody"]["content"][JSON]["example"] = example
    return document


def _correct(document: dict[str, Any]) -> None:
    """Correct what FastAPI assumes: it does not validate parameters here, nor see all of them."""
    for path, methods in document["paths"].items():
        for operation in methods.values():
            if not path.startswith("/v1") or "requestBody" not in operation:
                operation["responses"].pop("422", None)
                # The docstring of an endpoint says more than its name, FastAPI's summary.
                operation["summary"] = operation.pop("description").rstrip(".")
            if "{version}" in path:
                operation.setdefault("parameters", []).append(_VERSION)
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)


def make_examples(
    models: Sequence[Model], operations: Iterable[Operation[Any]]
) -> dict[str, dict[str, Any]]:
    """Return, for each available operation, a JSON body that can be sent as it is.

    If the first model, the default, lacks what an operation needs, the example names another.
    """
    examples: dict[str, dict[str, Any]] = {}
    inputs: dict[str, dict[str, list[Any]]] = {}
    for operation in operations:
        able = [model for model in models if operation.is_available(model.manifest)]
        if not able:
            continue
        reference = able[0].reference
        if reference not in inputs:
            inputs[reference] = _make_inputs(able[0])
        members, spec = inputs[reference], operation.accepts
        examples[operation.name] = {
            **{member: members[member][: spec.min_count] for member in spec.members[:1]},
            **operation.example,
            **({} if able[0] is models[0] else {"model": reference}),
        }
    return examples


def _make_inputs(model: Model) -> dict[str, list[Any]]:
    """Return two images and two latents of a model: from its sampler, or decoded from zeros."""
    source = model.manifest.find_default_source(class_conditional=False)
    if source is None:
        zeros = np.zeros((2, model.space("autoencoder").latent_size), np.float32)
        images = arrays.run_alone(model, arrays.decode(zeros, "autoencoder"))
    else:
        rng = np.random.Generator(np.random.PCG64(0))
        images = arrays.run_alone(model, arrays.sample(model, source, 2, rng)).images
    latents = arrays.run_alone(model, arrays.encode(images, "autoencoder"))[0]
    return {"images": [*map(encode_png, images)], "latents": latents.round(3).tolist()}
