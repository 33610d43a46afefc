"""An S3 server on a free port, in a separate process."""

import contextlib
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.servers import wait_until
from tests.support.service_process import find_free_port

BUCKET = "bundles"


@dataclass(frozen=True)
class S3Server:
    """A running server with one empty bucket."""

    process: subprocess.Popen[bytes]
    endpoint: str

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which S3 clients use the server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def put(self, key: str, content: bytes) -> None:
        """Write an object."""
        self._open().pipe_file(f"{BUCKET}/{key}", content)

    def make_bucket(self) -> None:
        """Create the bucket."""
        self._open().mkdir(BUCKET)

    def _open(self) -> Any:  # noqa: ANN401 - s3fs has no types
        import s3fs  # noqa: PLC0415 - of an extra

        return s3fs.S3FileSystem(key="test", secret="test", endpoint_url=self.endpoint)  # noqa: S106

    def is_ready(self) -> bool:
        """Return whether the server responds."""
        with contextlib.suppress(OSError):
            urllib.request.urlopen(self.endpoint).close()  # noqa: S310 - http
            return True
        return False


@contextlib.contextmanager
def run_s3_server() -> Iterator[S3Server]:
    """Start moto's server with a bucket; it keeps its objects in memory."""
    port = find_free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "MOTO_S3_CUSTOM_ENDPOINTS": f"http://127.0.0.1:{port}"},
    )
    server = S3Server(process, f"http://127.0.0.1:{port}")
    try:
        wait_until(server.is_ready, timeout=60)
        server.make_bucket()
        yield server
    finally:
        process.kill()
        process.wait()
