"""The OpenAPI document: every media type of every operation, with examples that work as sent."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.api.schemas import OipError, Problem
from service.codecs.npy import MEDIA_TYPE as NPY
from service.codecs.request_body import MULTIPART, NOTHING, Taken
from service.codecs.responses import JSON, PNG, encode_picture
from service.http.problems import KINDS, MEDIA_TYPE
from service.inference import operations
from service.inference.model import Model

_BINARY = {"type": "string", "format": "binary"}
_NUMBERS = {"type": "array", "items": {}}
_INPUTS: dict[str, dict[str, Any]] = {
    "images": {
        "type": "array",
        "minItems": 1,
        "items": {"anyOf": [{"type": "string"}, _NUMBERS]},
        "description": "Base64 PNG or JPEG files (`data:` URLs too), or nested H x W or "
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
        "description": ", or: ".join(k.title for k in KINDS.values() if k.status == status),
        "content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}}},
    }
    for status in dict.fromkeys(kind.status for kind in KINDS.values())
}
UNKNOWN: dict[int | str, dict[str, Any]] = {"404": _ERRORS["404"]}
"""Answers of routes that name a model."""
EXTRAS: dict[int | str, dict[str, Any]] = {
    "304": {"description": "What `If-None-Match` names is what is served."},
    **{status: _ERRORS[status] for status in ("404", "409", "429", "503")},
}
"""Answers of routes that read a file which a bundle may lack."""
OIP_UNKNOWN: dict[int | str, dict[str, Any]] = {"404": {"model": OipError}}
"""Answers of routes of the Open Inference Protocol that name a model."""
OIP_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": OipError, "description": answer["description"]}
    for status, answer in _ERRORS.items()
    if status not in {"406", "409", "422"}  # the protocol says 400 for them, or knows them not
}
"""Answers of its routes that take a body."""
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
_ANSWER_HEADERS = {
    "X-Model": {"description": "What answered, `name@version`.", "schema": {"type": "string"}},
    "X-Model-Digest": {
        "description": "sha256 of its manifest.",
        "schema": {"type": "string"},
    },
}


def describe(
    parameters: type[BaseModel], taken: Taken, offered: tuple[str, ...], answer: type[BaseModel]
) -> dict[str, Any]:
    """Return what a route's decorator needs to document an operation.

    Args:
        parameters: The model of its parameters.
        taken: What it takes.
        offered: The media types that it answers with.
        answer: The model of its JSON answer.
    """
    content = {
        JSON: {"schema": {"$ref": _REF.format(model=answer.__name__)}},
        PNG: {"schema": _BINARY},
        NPY: {"schema": _BINARY},
    }
    success = {
        "description": "What was asked for, in the form that `Accept` chose.",
        "headers": _ANSWER_HEADERS,
        "content": {form: content[form] for form in offered},
        "model": answer,
    }
    body = {
        "required": taken is not NOTHING,
        "content": {media: _describe_body(media, parameters, taken) for media in taken.media},
    }
    return {
        "openapi_extra": {"requestBody": body},
        "responses": {"200": success, **_ERRORS},
        "response_model": None,
    }


def describe_inference() -> dict[str, Any]:
    """Return what the decorator of a route for inference needs to document it."""
    body = {
        "required": True,
        "content": {
            JSON: {"schema": {"$ref": _REF.format(model="InferRequest")}},
            OCTETS: {"schema": _BINARY},
        },
    }
    return {"openapi_extra": {"requestBody": body}, "responses": OIP_ERRORS}


def _describe_body(media: str, parameters: type[BaseModel], taken: Taken) -> dict[str, Any]:
    if media == JSON:
        own = parameters.model_json_schema()["properties"]
        inputs = {name: _INPUTS[name] | {"minItems": taken.least} for name in taken.members}
        schema: dict[str, Any] = {
            "type": "object",
            "properties": inputs | own,
            "additionalProperties": False,
        }
        if len(inputs) == 1:
            schema["required"] = [*inputs]
        return {"schema": schema}
    if media == MULTIPART:
        parts = {"images": {"type": "array", "items": _BINARY, "minItems": taken.least}}
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
    requests: Sequence[type[BaseModel]] = (),
) -> dict[str, Any]:
    """Return the OpenAPI document, its examples fitting the models that are served.

    Args:
        app: The application.
        models: What the examples are for, the default first; there may be none.
        needs_key: Whether clients must bring a key.
        requests: Models of request bodies that routes refer to by name.
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
    examples = make_examples(models)
    for path, operation in document["paths"].items():
        example = examples.get(path.rpartition("/")[2])
        if example is not None and "post" in operation:
            operation["post"]["requestBody"]["content"][JSON]["example"] = example
    return document


def _correct(document: dict[str, Any]) -> None:
    """Mend what FastAPI supposes: that it answers bad parameters, and that it finds them all."""
    for path, operations_ in document["paths"].items():
        for operation in operations_.values():
            if not path.startswith("/v1") or "requestBody" not in operation:
                operation["responses"].pop("422", None)
            if "{version}" in path:
                operation.setdefault("parameters", []).append(_VERSION)
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)


def make_examples(models: Sequence[Model]) -> dict[str, dict[str, Any]]:
    """Return for each operation that is served a JSON body that can be sent as it stands.

    Where the first model, the default, lacks what an operation needs, the example names another.
    """
    examples: dict[str, dict[str, Any]] = {}
    for model in models:
        possible = _list_operations(model) - examples.keys()
        if not possible:
            continue
        name = {} if model is models[0] else {"model": model.reference}
        own = _make_examples_of(model)
        examples |= {operation: own[operation] | name for operation in sorted(possible)}
    return examples


def _list_operations(model: Model) -> set[str]:
    """Return the operations that a model has what is needed for."""
    needs = {
        "denoise": "denoiser" in model.networks,
        "classify": "classifier" in model.networks,
        "sample": model.manifest.default_source is not None,
    }
    always = {"encode", "decode", "reconstruct", "interpolate"}
    return always | {operation for operation, is_there in needs.items() if is_there}


def _make_examples_of(model: Model) -> dict[str, dict[str, Any]]:
    """Return a body for each operation.

    The pictures are the model's own: decoded from two draws of its sampler, or from zeros.
    """
    sampler = model.manifest.default_source
    if sampler is None:
        zeros = np.zeros((2, model.space("autoencoder").latent_size), np.float32)
        images = operations.decode(model, zeros, "autoencoder")
    else:
        generator = np.random.Generator(np.random.PCG64(0))
        images = operations.sample(model, sampler, 2, generator).images
    pictures = [encode_picture(image) for image in images]
    latents = operations.encode(model, images, "autoencoder").latents.round(3).tolist()
    picture = {"images": pictures[:1]}
    return {
        "encode": picture,
        "decode": {"latents": latents[:1]},
        "reconstruct": picture,
        "denoise": picture,
        "classify": {**picture, "top_k": 2},
        "sample": {"count": 2, "seed": 7},
        "interpolate": {"images": pictures, "steps": 4},
    }
