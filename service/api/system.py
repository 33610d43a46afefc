"""Health, and documentation pages that need no internet."""

from http import HTTPStatus
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles

from service.api.answers import give_json
from service.api.calls import Engine
from service.api.schemas import Liveness, Readiness
from service.scrape import CONTENT_TYPE, expose

router = APIRouter()

_STATIC = Path(__file__).parent / "static"


@router.get("/livez", tags=["system"])
async def livez() -> Liveness:
    """Tell that the process answers."""
    return Liveness(status="alive")


@router.get("/readyz", tags=["system"], responses={"503": {"model": Readiness}})
async def readyz(request: Request) -> Response:
    """Tell whether every model that should be served is loaded and warmed."""
    engine: Engine = request.app.state.engine
    missing = engine.registry.missing
    state = Readiness(status="not ready" if missing else "ready", missing=missing)
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
    return Response(expose(), headers={"Content-Type": CONTENT_TYPE})


@router.get("/", include_in_schema=False)
async def index() -> RedirectResponse:
    """Lead a browser to the documentation."""
    return RedirectResponse("docs")


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    """Show Swagger UI, from files that the service holds itself."""
    root = request.scope.get("root_path", "")
    return get_swagger_ui_html(
        openapi_url=f"{root}/openapi.json",
        title="latentd",
        swagger_js_url=f"{root}/static/swagger-ui-bundle.js",
        swagger_css_url=f"{root}/static/swagger-ui.css",
        swagger_favicon_url=f"{root}/static/favicon.png",
    )


@router.get("/redoc", include_in_schema=False)
async def redoc(request: Request) -> HTMLResponse:
    """Show ReDoc, from files that the service holds itself."""
    root = request.scope.get("root_path", "")
    return get_redoc_html(
        openapi_url=f"{root}/openapi.json",
        title="latentd",
        redoc_js_url=f"{root}/static/redoc.standalone.js",
        redoc_favicon_url=f"{root}/static/favicon.png",
        with_google_fonts=False,
    )


def mount_static(app: FastAPI) -> None:
    """Serve the documentation pages' files."""
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
