"""LitServe: a picture in base64 in JSON, one worker; usage: app.py PORT."""

import base64
import sys
from typing import Any

import litserve
from classifier import Classifier


class ClassifierAPI(litserve.LitAPI):
    """The four steps of a request."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's
        """Load the graph."""
        self.model = Classifier()

    def decode_request(self, request: dict[str, str]) -> bytes:
        """Return the PNG file."""
        return base64.b64decode(request["image"])

    def predict(self, x: bytes) -> tuple[str, list[float]]:
        """Classify it."""
        return self.model.classify_file(x)

    def encode_response(self, output: tuple[str, list[float]]) -> dict[str, Any]:
        """Return what becomes JSON."""
        return {"label": output[0], "probabilities": output[1]}


if __name__ == "__main__":
    server = litserve.LitServer(ClassifierAPI(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
