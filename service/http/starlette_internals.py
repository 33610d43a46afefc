"""The undocumented names of Starlette; other files import them from here.

pyproject.toml caps Starlette to the minor version that this code was tested with, and
tests/unit/service/http/test_starlette_internals.py compares the function with the router.
"""

from starlette._utils import get_route_path

__all__ = ["get_route_path"]
