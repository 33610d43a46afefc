"""The playground: a page that shows each operation at work, by the public API alone."""

from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

router = APIRouter()

_PLAYGROUND = Path(__file__).parents[1] / "playground"
# Stricter than the documentation pages': no style in markup, and pictures only of our own making.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@router.get("/", include_in_schema=False)
async def playground() -> FileResponse:
    """Show the playground; its addresses are relative, so that any prefix before it will do."""
    return FileResponse(_PLAYGROUND / "index.html", headers={"Content-Security-Policy": _POLICY})


def mount_playground(app: FastAPI) -> None:
    """Serve the page's files, below the folder that needs no key."""
    app.mount("/static/playground", StaticFiles(directory=_PLAYGROUND), name="playground_files")
