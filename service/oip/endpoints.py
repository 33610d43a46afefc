"""The Open Inference Protocol (KServe's and Triton's "v2"), under `/v2`.

Each network of a bundle is a model `<bundle>.<network>`, with the bundle's versions. The public
client `tritonclient[http]` works unmodified.
"""

from http import HTTPStatus
from math import prod
from typing import Annotated, cast, get_args

from fastapi import APIRouter, Depends, Path, Request, Response

from service.api.openapi import OIP_UNKNOWN, describe_inference
from service.api.request_context import Engine, predict_reading, read_head, receive_body, watch
from service.artifact import TensorSpec
from service.artifact.manifest import NetworkName
from service.codecs.responses import JSON, give_json
from service.errors import ModelNotFoundError
from service.inference.model import Model
from service.observability.metrics import count_images
from service.oip.tensors import DATATYPE, LENGTH_HEADER, read_inference, write_inference

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

_EXTENSIONS = ("binary_tensor_data", "model_configuration", "model_repository")
_NETWORKS = get_args(NetworkName)
_PLATFORMS = {"onnx": "onnxruntime_onnx", "torchscript": "pytorch_libtorch"}
_CONFIG_TYPE = "TYPE_FP32"

ModelPath = Annotated[str, Path(description="`<bundle>.<network>`, as in `mnist.encoder`.")]


async def _find_version(request: Request) -> str:
    """Return the version in the path, or "". Not a plain function: that would take a thread."""
    version: str = request.path_params.get("version", "")
    return version


Version = Annotated[str, Depends(_find_version)]


@router.get("/health/live")
async def is_live() -> dict[str, bool]:
    """Tell that the process answers."""
    return {"live": True}


@router.get("/health/ready", responses={"503": {"description": "Not ready."}})
async def is_ready(request: Request) -> Response:
    """Tell whether every model that should be served is loaded: 200 or 503."""
    ready = not _engine(request).missing
    response = give_json({"ready": ready})
    response.status_code = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
    return response


@router.get("")
async def describe_server(request: Request) -> Response:
    """Name the server, its version and the extensions it speaks."""
    return give_json({"name": "latentd", "version": request.app.version, "extensions": _EXTENSIONS})


@router.get("/models/{name}", responses=OIP_UNKNOWN)
@router.get("/models/{name}/versions/{version}", responses=OIP_UNKNOWN)
async def describe_network(request: Request, name: ModelPath, version: Version) -> Response:
    """Tell a network's tensors and the versions that are served."""
    model, network = _find(request, name, version)
    spec = model.manifest.networks[network]
    versions = _engine(request).registry.list_versions(model)
    return give_json(
        {
            "name": name,
            "versions": [str(number) for number in sorted(versions)],
            "platform": _PLATFORMS[model.backend],
            "inputs": [_describe_tensor(spec.input)],
            "outputs": [_describe_tensor(tensor) for tensor in spec.outputs],
        }
    )


@router.get("/models/{name}/config", responses=OIP_UNKNOWN)
@router.get("/models/{name}/versions/{version}/config", responses=OIP_UNKNOWN)
async def configure_network(request: Request, name: ModelPath, version: Version) -> Response:
    """Tell a network's configuration in Triton's form."""
    model, network = _find(request, name, version)
    spec = model.manifest.networks[network]
    return give_json(
        {
            "name": name,
            "platform": _PLATFORMS[model.backend],
            "backend": model.backend,
            "max_batch_size": _engine(request).limits.images,
            "input": [_configure_tensor(spec.input)],
            "output": [_configure_tensor(tensor) for tensor in spec.outputs],
        }
    )


@router.get("/models/{name}/ready", responses=OIP_UNKNOWN)
@router.get("/models/{name}/versions/{version}/ready", responses=OIP_UNKNOWN)
async def is_network_ready(request: Request, name: ModelPath, version: Version) -> Response:
    """Tell that a network is loaded and warmed; 404 where it is not served."""
    _find(request, name, version)
    return give_json({"name": name, "ready": True})


@router.post("/models/{name}/infer", **describe_inference())
@router.post("/models/{name}/versions/{version}/infer", **describe_inference())
async def infer(request: Request, name: ModelPath, version: Version) -> Response:
    """Run a network on a batch, with tensors in JSON or as bytes."""
    engine = _engine(request)
    model, network = _find(request, name, version)
    body = await receive_body(request, read_head(request), engine)
    header_length = request.headers.get(LENGTH_HEADER)

    def work() -> Response:
        spec = model.manifest.networks[network]
        inference = read_inference(body, header_length, spec, engine.limits)
        engine.limits.check("images", len(inference.batch))
        arrays = model.run(network, inference.batch)
        count_images("infer", model.bundle.name, len(inference.batch))
        named = {output.name: array for output, array in zip(spec.outputs, arrays, strict=True)}
        content, length = write_inference(inference, named, name, model.bundle.version)
        if length is None:
            return Response(content, media_type=JSON)
        headers = {LENGTH_HEADER: str(length)}
        return Response(content, media_type="application/octet-stream", headers=headers)

    # The smallest an image can be is a byte a number; the batch is known only after parsing.
    most = len(body) // prod(model.manifest.networks[network].input.shape)
    form = JSON if header_length is None else ""
    seconds = predict_reading(body, form) + most * model.seconds[network]
    return await engine.answer(model, work, seconds, watch(request))


def _engine(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


def _find(request: Request, name: str, version: str) -> tuple[Model, NetworkName]:
    """Return the model and the network that a name and a version (or "") stand for.

    Raises:
        ModelNotFoundError: there is no such bundle, version or network.
    """
    bundle, _, network = name.rpartition(".")
    model = _engine(request).registry.find(f"{bundle}@{version}" if version else bundle or name)
    if network not in model.networks:
        served = ", ".join(f"{model.bundle.name}.{known}" for known in model.networks)
        raise ModelNotFoundError(f"no model {name!r:.80} is served; there are {served}")
    return model, cast("NetworkName", network)


def _describe_tensor(tensor: TensorSpec) -> dict[str, object]:
    return {"name": tensor.name, "datatype": DATATYPE, "shape": [-1, *tensor.shape]}


def _configure_tensor(tensor: TensorSpec) -> dict[str, object]:
    return {"name": tensor.name, "data_type": _CONFIG_TYPE, "dims": list(tensor.shape)}
