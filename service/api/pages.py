"""HTML pages: the playground, and the API documentation, which works offline."""

import html
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
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


@router.get("/")
async def playground() -> FileResponse:
    """Return the playground; its URLs are relative, so that it works behind any path prefix."""
    headers = {"Content-Security-Policy": _PLAYGROUND_POLICY}
    return FileResponse(_PLAYGROUND / "index.html", headers=headers)


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    """Return Swagger UI."""
    return _make_page(request, "swagger-ui-bundle.js", "swagger-ui.css")


@router.get("/redoc")
async def redoc(request: Request) -> HTMLResponse:
    """Return ReDoc."""
    return _make_page(request, "redoc.standalone.js", "pages.css")


def _make_page(request: Request, script: str, style: str) -> HTMLResponse:
    """Return a page without inline scripts, which the content security policy would block."""
    root = html.escape(request.scope.get("root_path", ""))
    return HTMLResponse(_PAGE.format(root=root, script=script, style=style))


def mount_static_files(app: FastAPI) -> None:
    """Serve the files of the pages; none of them requires an API key."""
    app.mount("/static/playground", StaticFiles(directory=_PLAYGROUND), name="playground_files")
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
