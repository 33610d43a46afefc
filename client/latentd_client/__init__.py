"""The Python client: arrays and pictures in, arrays out (extra `client`).

    from service.client import Client

    with Client("http://localhost:8000", model="mnist") as client:
        seven = client.sample(count=1, class_="7", seed=3).images
        print(client.classify(seven)[0].label)

`AsyncClient` has the same methods, to be awaited. It needs none of the service's other modules.
"""

from service.client.answers import (
    Encoded,
    Generated,
    Map,
    Prediction,
    Reconstructed,
    RefusedError,
)
from service.client.clients import AsyncClient, Client

__all__ = [
    "AsyncClient",
    "Client",
    "Encoded",
    "Generated",
    "Map",
    "Prediction",
    "Reconstructed",
    "RefusedError",
]
