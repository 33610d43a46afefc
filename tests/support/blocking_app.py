"""An application whose event loop a request can block.

Usage: `python -m tests.support.blocking_app PORT WORKERS`.
"""

import os
import sys
import time

from fastapi import FastAPI

from service.server.serve import serve_application
from service.settings import Settings


def create_app() -> FastAPI:
    """Return the application; `POST /block` blocks the event loop but no other thread."""
    app = FastAPI()

    @app.get("/")
    async def read_process_id() -> int:
        return os.getpid()

    @app.post("/block")
    async def block() -> None:
        time.sleep(600)  # noqa: ASYNC251 - the fault under test

    return app


if __name__ == "__main__":
    port, workers = map(int, sys.argv[1:])
    settings = Settings(port=port, workers=workers, drain_seconds=0, body_seconds=1)
    sys.exit(serve_application(settings, "tests.support.blocking_app:create_app"))
