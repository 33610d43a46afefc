"""Exit 0 where the service of this container is ready; the image's health check."""

import os
import sys
import urllib.request
from http import HTTPStatus

port = os.environ.get("LATENTD_PORT", "8000")
try:
    # Not through a proxy that the environment names: this is our own container.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
        sys.exit(answer.status != HTTPStatus.OK)
except OSError as error:
    sys.exit(str(error))
