"""Health, and documentation pages that need no internet."""

import html
from http import HTTPStatus
from pathlib import Path
from typing import Literal

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles

from service.api.request_context import Engine
from service.api.schemas import Liveness, Readiness
from service.codecs.responses import give_json
from service.observability.exposition import CONTENT_TYPE, render_metrics

router = APIRouter()

_STATIC = Path(__file__).parent / "static"
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>latentd</title>
<link rel="icon" href="{root}/static/favicon.png">
<link rel="stylesheet" href="{root}/static/{style}">
<link rel="service-desc" href="{root}/openapi.json">
</head>
<body>
<div id="page"></div>
<script src="{root}/static/{script}"></script>
<script src="{root}/static/pages.js"></script>
</body>
</html>
"""


@router.get("/livez", tags=["system"])
async def livez() -> Liveness:
    """Tell that the process answers."""
    return Liveness(status="alive")


@router.get("/readyz", tags=["system"], responses={"503": {"model": Readiness}})
async def readyz(request: Request) -> Response:
    """Tell whether every model that should be served is loaded and warmed."""
    engine: Engine = request.app.state.engine
    missing = engine.missing
    unready: Literal["draining", "not ready"] = (
        "draining" if engine.lifecycle.draining else "not ready"
    )
    state = Readiness(
        status=unready if missing else "ready",
        missing=missing,
        store="degraded" if engine.registry.is_degraded else "ok",
    )
    response = give_json(state.model_dump())
    if missing:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        response.headers["Retry-After"] = "1"
    return response


@router.get(
    "/metrics",
    tags=["system"],
    response_class=PlainTextResponse,
    responses={"200": {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics() -> Response:  # in a thread: several workers' files take milliseconds to read
    """Give Prometheus what was counted and timed, by all workers together."""
    return Response(render_metrics(), headers={"Content-Type": CONTENT_TYPE})


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    """Show Swagger UI, from files that the service holds itself."""
    return _give_page(request, "swagger-ui-bundle.js", "swagger-ui.css")


@router.get("/redoc", include_in_schema=False)
async def redoc(request: Request) -> HTMLResponse:
    """Show ReDoc, from files that the service holds itself."""
    return _give_page(request, "redoc.standalone.js", "pages.css")


def _give_page(request: Request, script: str, style: str) -> HTMLResponse:
    """Return a page without a script in it, which the content security policy would refuse."""
    root = html.escape(request.scope.get("root_path", ""))
    return HTMLResponse(_PAGE.format(root=root, script=script, style=style))


def mount_static(app: FastAPI) -> None:
    """Serve the documentation pages' files."""
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
