"""Python client of latentd: images in, arrays out.

    from latentd_client import Client

    with Client("http://localhost:8000", model="mnist") as client:
        print(client.classify("seven.png")[0].label)

`AsyncClient` has the same methods as coroutines.
"""

from latentd_client.async_client import AsyncClient
from latentd_client.client import Client
from latentd_client.errors import ServiceError
from latentd_client.operations import Heatmap, Invert, Space
from latentd_client.request_body import EndsInput, ImageFile, ImageInput
from latentd_client.results import (
    DetectResult,
    EncodeResult,
    Examples,
    InterpolateResult,
    LatentMap,
    Prediction,
    ReconstructResult,
    Region,
    SampleResult,
)
from latentd_client.torch_export import export_torch

__all__ = [
    "AsyncClient",
    "Client",
    "DetectResult",
    "EncodeResult",
    "EndsInput",
    "Examples",
    "Heatmap",
    "ImageFile",
    "ImageInput",
    "InterpolateResult",
    "Invert",
    "LatentMap",
    "Prediction",
    "ReconstructResult",
    "Region",
    "SampleResult",
    "ServiceError",
    "Space",
    "export_torch",
]
