"""Ray Serve: an image file as the body; one replica. Usage: app.py PORT."""

import sys
from typing import Any

from classifier import Classifier
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=1)
class ClassifierDeployment:
    """Classifies images."""

    def __init__(self) -> None:
        """Load the graph."""
        self.model = Classifier()

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Classify a PNG file in the body."""
        label, probabilities = self.model.classify_file(await request.body())
        return {"label": label, "probabilities": probabilities}


if __name__ == "__main__":
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(ClassifierDeployment.bind(), blocking=True)
