"""An application that can be made to hang, behind two workers.

Usage: `python -m tests.support.blocking_app PORT`.
"""

import os
import sys
import time

from fastapi import FastAPI

from service.server.serve import listen
from service.settings import Settings


def create_app() -> FastAPI:
    """Return the application; `POST /block` stops its event loop, not its threads."""
    app = FastAPI()

    @app.get("/")
    async def tell() -> int:
        return os.getpid()

    @app.post("/block")
    async def block() -> None:
        time.sleep(600)  # noqa: ASYNC251 - that is the fault

    return app


if __name__ == "__main__":
    settings = Settings(port=int(sys.argv[1]), workers=2, drain_seconds=0, body_seconds=1)
    sys.exit(listen(settings, "tests.support.blocking_app:create_app", None))
