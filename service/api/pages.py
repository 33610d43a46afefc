"""HTML pages: the playground, and the API documentation, which works offline."""

from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse, HTMLResponse
from fastapi.staticfiles import StaticFiles

router = APIRouter(include_in_schema=False)

_STATIC = Path(__file__).parent / "static"
_PLAYGROUND = Path(__file__).parents[1] / "playground"
# Stricter than the policy of the documentation: no inline style, and only images that it makes.
_PLAYGROUND_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>latentd</title>
<link rel="icon" href="static/favicon.png">
<link rel="stylesheet" href="static/{style}">
<link rel="service-desc" href="openapi.json">
</head>
<body>
<div id="page"></div>
<script src="static/{script}"></script>
<script src="static/pages.js"></script>
</body>
</html>
"""


@router.get("/")
async def playground() -> FileResponse:
    """Return the playground; its URLs are relative, so that it works behind any path prefix."""
    headers = {"Content-Security-Policy": _PLAYGROUND_POLICY}
    return FileResponse(_PLAYGROUND / "index.html", headers=headers)


@router.get("/docs")
async def docs() -> HTMLResponse:
    """Return Swagger UI."""
    return _make_page("swagger-ui-bundle.js", "swagger-ui.css")


@router.get("/redoc")
async def redoc() -> HTMLResponse:
    """Return ReDoc."""
    return _make_page("redoc.standalone.js", "pages.css")


def _make_page(script: str, style: str) -> HTMLResponse:
    """Return a page with relative URLs, which work behind any path prefix.

    The content security policy would block inline scripts.
    """
    return HTMLResponse(_PAGE.format(script=script, style=style))


def mount_static_files(app: FastAPI) -> None:
    """Serve the files of the pages; none of them requires an API key."""
    app.mount("/static/playground", StaticFiles(directory=_PLAYGROUND), name="playground_files")
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
