"""The operation table: every operation of `/v1`, declared once.

To add an operation, add its parameters and its response to `schemas`, its function on arrays to
`service.inference.operations`, and its declaration here.
"""

import secrets
from typing import Any, TypeVar

import numpy as np
from fastapi import Response

from service.api import schemas
from service.api.detection import DETECT
from service.api.operation import Call, Operation
from service.artifact import SPACE_NETWORKS, Manifest
from service.codecs.npy import MEDIA_TYPE as NPY
from service.codecs.request_body import IMAGES, IMAGES_OR_LATENTS, LATENTS, PARAMETERS_ONLY
from service.codecs.responses import (
    IMAGE_TYPES,
    JSON_ONLY,
    TENSOR_TYPES,
    respond_images,
    respond_json,
    respond_npy,
)
from service.errors import InvalidInputError, UnsupportedOperationError, Violation
from service.inference import operations
from service.inference.model import Model
from service.inference.operations import Steps
from service.runtimes import Floats

I = TypeVar("I", bound=schemas.ImageParameters)  # noqa: E741 - a type of image parameters

_ENDS = 2
_SEED_BITS = 53  # the integers that JavaScript's numbers hold, so that every client can repeat it


def _decode_images(call: Call[I]) -> Floats:
    return call.body.to_images(call.model.manifest.image, call.parameters.invert)


def _preprocess(call: Call[schemas.PreprocessParameters]) -> Steps[Response]:
    images = yield from operations.preprocess(_decode_images(call))
    return respond_images(images, call.media_type, call.parameters.encoding)


def _encode(call: Call[schemas.EncodeParameters]) -> Steps[Response]:
    outputs = yield from operations.encode(_decode_images(call), call.parameters.space)
    if call.media_type == NPY:
        return respond_npy(outputs[0])
    return respond_json(dict(zip(("latents", "log_variances"), outputs, strict=False)))


def _decode(call: Call[schemas.DecodeParameters]) -> Steps[Response]:
    space = call.parameters.space
    latents = call.body.to_latents(call.model.space(space).latent_size)
    images = yield from operations.decode(latents, space)
    return respond_images(images, call.media_type, call.parameters.encoding)


def _reconstruct(call: Call[schemas.ReconstructParameters]) -> Steps[Response]:
    images, parameters = _decode_images(call), call.parameters
    result = yield from operations.reconstruct(call.model, images, parameters.space)
    members: dict[str, object] = {
        "mse": result.mse,
        "anomaly_percentile": result.anomaly_percentile,
    }
    return respond_images(result.images, call.media_type, parameters.encoding, members)


def _denoise(call: Call[schemas.DenoiseParameters]) -> Steps[Response]:
    images = yield from operations.denoise(_decode_images(call))
    return respond_images(images, call.media_type, call.parameters.encoding)


def _classify(call: Call[schemas.ClassifyParameters]) -> Steps[Response]:
    labels, top_k = call.model.manifest.classes or (), call.parameters.top_k
    if top_k > len(labels):
        count = f"{len(labels)}, the number of classes of {call.model.reference}"
        detail = f"Expected top_k of at most {count}, got {top_k}."
        raise InvalidInputError(Violation("/top_k", detail))
    predictions = []
    for classes in (yield from operations.classify(_decode_images(call), top_k)):
        top: list[dict[str, object]] = []
        for index, probability in classes:
            top.append({"label": labels[index], "probability": probability})
        predictions.append({**top[0], "index": classes[0][0], "top": top})
    return respond_json({"predictions": predictions})


def _choose_source(manifest: Manifest, parameters: schemas.SampleParameters) -> str:
    """Return the requested sample source, or the default one."""
    is_conditional = parameters.class_ is not None
    source = parameters.source or manifest.find_default_source(class_conditional=is_conditional)
    if source is None or source not in manifest.samplers:
        raise UnsupportedOperationError(
            f"sample source {source!r:.80}" if source else "sample source"
        )
    return source


def _sample(call: Call[schemas.SampleParameters]) -> Steps[Response]:
    model, parameters = call.model, call.parameters
    source = _choose_source(model.manifest, parameters)
    label = _find_class(model, source, parameters.class_)
    seed = secrets.randbits(_SEED_BITS) if parameters.seed is None else parameters.seed
    result = yield from operations.sample(
        model,
        source,
        parameters.count,
        np.random.Generator(np.random.PCG64(seed)),
        label=label,
        temperature=parameters.temperature,
    )
    if call.media_type == NPY and parameters.output == "latents":
        response = respond_npy(result.latents)
    else:
        members: dict[str, object] = {
            "latents": result.latents,
            "seed": seed,
            "source": source,
            "space": model.manifest.samplers[source].space,
        }
        response = respond_images(result.images, call.media_type, parameters.encoding, members)
    response.headers["X-Seed"] = str(seed)
    return response


def _find_class(model: Model, source: str, requested: int | str | None) -> int | None:
    """Return the index of a class given by label or index.

    Raises:
        UnsupportedOperationError: the source is not class-conditional.
        InvalidInputError: the model does not have the class.
    """
    if requested is None:
        return None
    samplers = model.manifest.samplers
    if not samplers[source].class_conditional:
        conditional = ", ".join(name for name, spec in samplers.items() if spec.class_conditional)
        raise UnsupportedOperationError(
            f"The sample source {source!r} of {model.reference} is not class-conditional; "
            f"class-conditional sources: {conditional or 'none'}."
        )
    labels = model.manifest.classes or ()
    if requested in labels:
        return labels.index(str(requested))
    indices = {str(index): index for index in range(len(labels))}
    if str(requested) not in indices:
        detail = f"Unknown class {requested!r:.80}; classes: {', '.join(labels)}."
        raise InvalidInputError(Violation("/class", detail))
    return indices[str(requested)]


def _interpolate(call: Call[schemas.InterpolateParameters]) -> Steps[Response]:
    space, body = call.parameters.space, call.body
    if body.count not in {0, _ENDS}:  # without input, decoding reports the missing member
        member = "latents" if body.has_latents else "images"
        detail = f"Expected two {member}, got {body.count}."
        raise InvalidInputError(Violation(f"/{member}", detail))
    if body.has_latents:
        ends = body.to_latents(call.model.space(space).latent_size)
    else:
        ends = (yield from operations.encode(_decode_images(call), space))[0]
    result = yield from operations.interpolate(ends, call.parameters.steps, space)
    members: dict[str, object] = {"latents": result.latents}
    return respond_images(result.images, call.media_type, call.parameters.encoding, members)


OPERATIONS: tuple[Operation[Any], ...] = (
    Operation(
        name="preprocess",
        summary="Convert images to the model's input",
        description="Returns the pixels that the networks receive: upright, resized, padded and "
        "inverted as all operations do it. No network runs.",
        parameters=schemas.PreprocessParameters,
        accepts=IMAGES,
        offers=IMAGE_TYPES,
        response=schemas.Images,
        networks=lambda _, __: (),
        run=_preprocess,
        example={},
    ),
    Operation(
        name="encode",
        summary="Encode images into latents",
        description="Returns one latent per image; for a VAE the mean and the log-variance.",
        parameters=schemas.EncodeParameters,
        accepts=IMAGES,
        offers=TENSOR_TYPES,
        response=schemas.Encoded,
        networks=lambda _, parameters: SPACE_NETWORKS[parameters.space][:1],
        run=_encode,
        example={},
    ),
    Operation(
        name="decode",
        summary="Decode latents into images",
        description="Returns one image per latent.",
        parameters=schemas.DecodeParameters,
        accepts=LATENTS,
        offers=IMAGE_TYPES,
        response=schemas.Images,
        networks=lambda _, parameters: SPACE_NETWORKS[parameters.space][1:],
        run=_decode,
        example={},
    ),
    Operation(
        name="reconstruct",
        summary="Reconstruct images and measure their anomaly",
        description="Encodes and decodes each image, and returns its reconstruction error and the "
        "error's percentile among the test set.",
        parameters=schemas.ReconstructParameters,
        accepts=IMAGES,
        offers=IMAGE_TYPES,
        response=schemas.Reconstructed,
        networks=lambda _, parameters: SPACE_NETWORKS[parameters.space],
        run=_reconstruct,
        example={},
    ),
    DETECT,
    Operation(
        name="denoise",
        summary="Remove noise from images",
        description="Runs the denoising autoencoder (Vincent et al., ICML 2008).",
        parameters=schemas.DenoiseParameters,
        accepts=IMAGES,
        offers=IMAGE_TYPES,
        response=schemas.Images,
        networks=lambda _, __: ("denoiser",),
        run=_denoise,
        example={},
    ),
    Operation(
        name="classify",
        summary="Classify images",
        description="Returns the `top_k` most probable classes of each image.",
        parameters=schemas.ClassifyParameters,
        accepts=IMAGES,
        offers=JSON_ONLY,
        response=schemas.Classified,
        networks=lambda _, __: ("classifier",),
        run=_classify,
        example={"top_k": 2},
    ),
    Operation(
        name="sample",
        summary="Generate images from a sample source",
        description="Draws latents from a source that was fitted to the latent space, from the "
        "VAE's prior or from a GAN, and decodes them.",
        parameters=schemas.SampleParameters,
        accepts=PARAMETERS_ONLY,
        offers=IMAGE_TYPES,
        response=schemas.Sampled,
        networks=lambda manifest, parameters: (
            manifest.samplers[_choose_source(manifest, parameters)].networks
        ),
        run=_sample,
        example={"count": 2, "seed": 7},
        count=lambda parameters: parameters.count,
    ),
    Operation(
        name="interpolate",
        summary="Interpolate between two images or two latents",
        description="Decodes evenly spaced points on the line between two latents.",
        parameters=schemas.InterpolateParameters,
        accepts=IMAGES_OR_LATENTS,
        offers=IMAGE_TYPES,
        response=schemas.Interpolated,
        networks=lambda _, parameters: SPACE_NETWORKS[parameters.space],
        run=_interpolate,
        example={"steps": 4},
        count=lambda parameters: parameters.steps,
    ),
)
