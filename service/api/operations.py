"""The operations' routes: each receives a call, runs one operation and packs its result.

To add an operation: its parameters and answer in `schemas`, a route here, and its work in
`service.inference.operations` where it is more than one run of a network.
"""

import secrets
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from service.api import schemas
from service.api.openapi import describe
from service.api.request_context import receive
from service.api.router import OperationRoute
from service.artifact import SPACE_NETWORKS
from service.codecs.npy import MEDIA_TYPE as NPY
from service.codecs.request_body import ENDS, IMAGES, LATENTS, NOTHING
from service.codecs.responses import (
    IMAGE_FORMS,
    JSON_ONLY,
    TENSOR_FORMS,
    give_images,
    give_json,
    give_npy,
)
from service.errors import InvalidInputError, UnsupportedOperationError, Violation
from service.inference import operations
from service.inference.model import Model
from service.runtimes import Floats

router = APIRouter(prefix="/v1", tags=["operations"], route_class=OperationRoute)

_CODES = ("latents", "log_variances")
"""What an encoder gives; that of an autoencoder only the first."""
_ENDS_OF_A_LINE = 2
_SEED_BITS = 53  # what JavaScript's numbers hold, so that every client can send it back


@router.post("/encode", **describe(schemas.EncodeParameters, IMAGES, TENSOR_FORMS, schemas.Encoded))
async def encode(request: Request, query: Annotated[schemas.EncodeParameters, Query()]) -> Response:
    """Turn images into latents; a VAE gives means and log-variances."""
    call = await receive(request, query, IMAGES, TENSOR_FORMS)
    parameters = call.parameters
    encoder, _ = SPACE_NETWORKS[parameters.space]
    model = call.engine.registry.find_network(parameters.model, encoder)

    def unpack() -> Floats:
        return call.upload.to_images(model.manifest.image, parameters.invert)

    def pack(outputs: list[Floats]) -> Response:
        if call.form == NPY:
            return give_npy(outputs[0])
        return give_json(dict(zip(_CODES, outputs, strict=False)))

    return await call.answer_run(model, encoder, unpack, pack)


@router.post("/decode", **describe(schemas.DecodeParameters, LATENTS, IMAGE_FORMS, schemas.Images))
async def decode(request: Request, query: Annotated[schemas.DecodeParameters, Query()]) -> Response:
    """Turn latents into images."""
    call = await receive(request, query, LATENTS, IMAGE_FORMS)
    parameters = call.parameters
    _, decoder = SPACE_NETWORKS[parameters.space]
    model = call.engine.registry.find_network(parameters.model, decoder)

    def unpack() -> Floats:
        return call.upload.to_latents(model.space(parameters.space).latent_size)

    def pack(outputs: list[Floats]) -> Response:
        return give_images(outputs[0], call.form, parameters.encoding)

    return await call.answer_run(model, decoder, unpack, pack)


@router.post(
    "/reconstruct",
    **describe(schemas.ReconstructParameters, IMAGES, IMAGE_FORMS, schemas.Reconstructed),
)
async def reconstruct(
    request: Request, query: Annotated[schemas.ReconstructParameters, Query()]
) -> Response:
    """Encode and decode images, and tell how unusual each is to the model."""
    call = await receive(request, query, IMAGES, IMAGE_FORMS)
    parameters = call.parameters
    encoder, decoder = SPACE_NETWORKS[parameters.space]
    model = call.engine.registry.find_network(parameters.model, encoder)

    def work() -> Response:
        images = call.upload.to_images(model.manifest.image, parameters.invert)
        result = operations.reconstruct(model, images, parameters.space)
        others: dict[str, object] = {
            "mse": result.mse,
            "anomaly_percentile": result.anomaly_percentile,
        }
        return give_images(result.images, call.form, parameters.encoding, others)

    seconds = model.seconds[encoder] + model.seconds[decoder]
    return await call.answer(model, work, call.upload.count, seconds)


@router.post("/denoise", **describe(schemas.DenoiseParameters, IMAGES, IMAGE_FORMS, schemas.Images))
async def denoise(
    request: Request, query: Annotated[schemas.DenoiseParameters, Query()]
) -> Response:
    """Remove noise from images (Vincent et al., ICML 2008; report 000)."""
    call = await receive(request, query, IMAGES, IMAGE_FORMS)
    parameters = call.parameters
    model = call.engine.registry.find_network(parameters.model, "denoiser")

    def unpack() -> Floats:
        return call.upload.to_images(model.manifest.image, parameters.invert)

    def pack(outputs: list[Floats]) -> Response:
        return give_images(outputs[0], call.form, parameters.encoding)

    return await call.answer_run(model, "denoiser", unpack, pack)


@router.post(
    "/classify",
    **describe(schemas.ClassifyParameters, IMAGES, JSON_ONLY, schemas.Classified),
)
async def classify(
    request: Request, query: Annotated[schemas.ClassifyParameters, Query()]
) -> Response:
    """Tell each image's class."""
    call = await receive(request, query, IMAGES, JSON_ONLY)
    parameters = call.parameters
    model = call.engine.registry.find_network(parameters.model, "classifier")
    labels = model.manifest.classes or ()
    if parameters.top_k > len(labels):
        raise InvalidInputError(Violation("/top_k", f"{model.reference} has {len(labels)} classes"))

    def unpack() -> Floats:
        return call.upload.to_images(model.manifest.image, parameters.invert)

    def pack(outputs: list[Floats]) -> Response:
        return give_json({"predictions": _rank(outputs[0], labels, parameters.top_k)})

    return await call.answer_run(model, "classifier", unpack, pack)


@router.post("/sample", **describe(schemas.SampleParameters, NOTHING, IMAGE_FORMS, schemas.Sampled))
async def sample(request: Request, query: Annotated[schemas.SampleParameters, Query()]) -> Response:
    """Generate images from one of the bundle's sample sources."""
    call = await receive(request, query, NOTHING, IMAGE_FORMS)
    parameters = call.parameters
    call.engine.limits.check("samples", parameters.count)
    model, source = call.engine.registry.find_source(
        parameters.model, parameters.source, of_class=parameters.class_ is not None
    )
    label = _find_class(model, source, parameters.class_)
    seed = secrets.randbits(_SEED_BITS) if parameters.seed is None else parameters.seed
    spec = model.manifest.samplers[source]

    def work() -> Response:
        generator = np.random.Generator(np.random.PCG64(seed))
        result = operations.sample(
            model,
            source,
            parameters.count,
            generator,
            label=label,
            temperature=parameters.temperature,
        )
        if call.form == NPY and parameters.output == "latents":
            response = give_npy(result.latents)
        else:
            others = {
                "latents": result.latents,
                "seed": seed,
                "source": source,
                "space": spec.space,
            }
            response = give_images(result.images, call.form, parameters.encoding, others)
        response.headers["X-Seed"] = str(seed)
        return response

    seconds = sum(model.seconds[network] for network in spec.networks)
    return await call.answer(model, work, parameters.count, seconds)


@router.post(
    "/interpolate",
    **describe(schemas.InterpolateParameters, ENDS, IMAGE_FORMS, schemas.Interpolated),
)
async def interpolate(
    request: Request, query: Annotated[schemas.InterpolateParameters, Query()]
) -> Response:
    """Decode the line between two images or two latents."""
    call = await receive(request, query, ENDS, IMAGE_FORMS)
    parameters = call.parameters
    call.engine.limits.check("samples", parameters.steps)
    upload = call.upload
    if upload.count and not upload.holds_latents:
        _check_ends(upload.count)  # before any is encoded
    encoder, decoder = SPACE_NETWORKS[parameters.space]
    model = call.engine.registry.find_network(parameters.model, encoder)

    def work() -> Response:
        if upload.holds_latents:
            ends = upload.to_latents(model.space(parameters.space).latent_size)
            _check_ends(len(ends))
        else:
            images = upload.to_images(model.manifest.image, parameters.invert)
            ends = operations.encode(model, images, parameters.space).latents
        result = operations.interpolate(model, ends, parameters.steps, parameters.space)
        others: dict[str, object] = {"latents": result.latents}
        return give_images(result.images, call.form, parameters.encoding, others)

    seconds = model.seconds[encoder] + model.seconds[decoder]
    return await call.answer(model, work, parameters.steps, seconds)


def _check_ends(count: int) -> None:
    if count != _ENDS_OF_A_LINE:
        raise InvalidInputError(Violation("", f"two images or latents are wanted, got {count}"))


def _rank(probabilities: Floats, labels: tuple[str, ...], top_k: int) -> list[dict[str, object]]:
    """Return a prediction for each row of (N, K) probabilities."""
    predictions: list[dict[str, object]] = []
    for row in probabilities.tolist():
        order = sorted(range(len(row)), key=row.__getitem__, reverse=True)[:top_k]
        top = [{"label": labels[index], "probability": row[index]} for index in order]
        best = order[0]
        predictions.append(
            {"label": labels[best], "index": best, "probability": row[best], "top": top}
        )
    return predictions


def _find_class(model: Model, source: str, wanted: int | str | None) -> int | None:
    """Return the index of a class given by label or index.

    Raises:
        UnsupportedOperationError: the source cannot be asked for a class.
        InvalidInputError: there is no such class.
    """
    if wanted is None:
        return None
    samplers = model.manifest.samplers
    if not samplers[source].class_conditional:
        able = ", ".join(name for name, spec in samplers.items() if spec.class_conditional)
        raise UnsupportedOperationError(
            f"the source {source!r} of {model.reference} knows no classes; "
            f"class-conditional sources: {able or 'none'}"
        )
    labels = model.manifest.classes or ()
    if wanted in labels:
        return labels.index(str(wanted))
    indices = {str(index): index for index in range(len(labels))}
    if str(wanted) not in indices:
        raise InvalidInputError(
            Violation("/class", f"{wanted!r:.80} is none of {', '.join(labels)}")
        )
    return indices[str(wanted)]
