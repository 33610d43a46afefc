"""LitServe: an image file as base64 in JSON; one worker. Usage: app.py PORT."""

import base64
import sys
from typing import Any

import litserve
from classifier import Classifier


class ClassifierAPI(litserve.LitAPI):
    """Implements the four steps of a request."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - signature of LitServe
        """Load the graph."""
        self.model = Classifier()

    def decode_request(self, request: dict[str, str]) -> bytes:
        """Return the PNG file of a request."""
        return base64.b64decode(request["image"])

    def predict(self, x: bytes) -> tuple[str, list[float]]:
        """Classify a PNG file."""
        return self.model.classify_file(x)

    def encode_response(self, output: tuple[str, list[float]]) -> dict[str, Any]:
        """Return the response before its JSON serialisation."""
        return {"label": output[0], "probabilities": output[1]}


if __name__ == "__main__":
    server = litserve.LitServer(ClassifierAPI(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
