"""Health and metrics."""

from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from service.api.engine import get_engine
from service.api.schemas import Liveness, Readiness
from service.codecs.responses import respond_json
from service.observability.exposition import CONTENT_TYPE, render_metrics

router = APIRouter(tags=["system"])


@router.get("/livez")
async def livez() -> Liveness:
    """Report that the process responds."""
    return Liveness(status="alive")


@router.get("/readyz", responses={"503": {"model": Readiness}})
async def readyz(request: Request) -> Response:
    """Report whether every required model is loaded and warmed up, 200 or 503."""
    engine = get_engine(request)
    missing = engine.missing
    unready: Literal["draining", "not ready"] = (
        "draining" if engine.lifecycle.draining else "not ready"
    )
    state = Readiness(
        status=unready if missing else "ready",
        missing=missing,
        store="degraded" if engine.registry.is_degraded else "ok",
    )
    response = respond_json(state.model_dump())
    if missing:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        response.headers["Retry-After"] = "1"
    return response


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={"200": {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics() -> Response:  # on a thread: reading the files of several workers takes milliseconds
    """Return the metrics of all workers in Prometheus' text format."""
    return Response(render_metrics(), headers={"Content-Type": CONTENT_TYPE})
