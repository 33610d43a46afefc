"""Bare handler: the least work that a classify request needs under ASGI.

It decodes the PNG with Pillow, runs the network and writes JSON. It omits the request id, log,
limits, error handling and security headers. It sets the limit for servers without batching.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from classifier import Classifier

model = Classifier()


async def app(
    _scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Classify the PNG file in the body of any request."""
    message = await receive()
    content = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        content += message.get("body", b"")
    label, probabilities = model.classify_file(content)
    body = json.dumps({"label": label, "probabilities": probabilities}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
