"""Exit with 0 if the service of this container is ready; the health check of the image."""

import os
import sys
import urllib.request
from http import HTTPStatus

port = os.environ.get("LATENTD_PORT") or "8000"
if "://" in port:  # the address of a Kubernetes Service, which the service ignores as well
    port = "8000"
try:
    # Without the proxy of the environment: the service runs in the same container.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"http://127.0.0.1:{port}/readyz", timeout=2) as response:
        sys.exit(response.status != HTTPStatus.OK)
except OSError as error:
    sys.exit(str(error))
