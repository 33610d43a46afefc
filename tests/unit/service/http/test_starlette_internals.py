"""Private names of Starlette, compared with the router."""

import pytest
from starlette.routing import Match, Route

from service.http.starlette_internals import get_route_path


@pytest.mark.parametrize(
    ("path", "root_path", "route_path"),
    [
        ("/v1/encode", "", "/v1/encode"),
        ("/ml/v1/encode", "/ml", "/v1/encode"),
        ("/v1/encode", "/ml", "/v1/encode"),
        ("/mlx/v1", "/ml", "/mlx/v1"),
        ("/ml/", "/ml", "/"),
    ],
)
def test_route_path_is_what_the_router_matches(path: str, root_path: str, route_path: str) -> None:
    """The path loses the prefix of a proxy; security rules and routes decide by the same path."""
    scope = {"type": "http", "method": "GET", "path": path, "root_path": root_path}

    assert get_route_path(scope) == route_path
    assert Route(route_path, endpoint=print).matches(scope)[0] is Match.FULL
