"""The private names of Starlette that latentd uses.

`pyproject.toml` caps the dependency to the tested minor version.
"""

from starlette._utils import get_route_path

__all__ = ["get_route_path"]
