"""The profile that counts what a request executes."""

import asyncio
import sys
import threading
from pathlib import Path

import pytest

from benchmarks.request_path import PathProfile, draw_digit, make_call

MODULE = """
def outer(depth):
    return sum(inner() for _ in range(2)) + (outer(depth - 1) if depth else 0)

def inner():
    return 1
"""


def test_profile_counts_own_functions_only(tmp_path: Path) -> None:
    """Calls, modules and nesting cover functions defined in the folder while active."""
    file = tmp_path / "package" / "module.py"
    namespace = dict[str, object]()
    exec(compile(MODULE, str(file), "exec"), namespace)  # noqa: S102 - the code above
    profile = PathProfile(file.parent)
    before = sys.getprofile()

    sys.setprofile(profile)
    namespace["outer"](0)  # type: ignore[operator]
    profile.active = True
    namespace["outer"](1)  # type: ignore[operator]
    profile.active = False
    sys.setprofile(before)

    # Each generator is entered three times: for two values and its end.
    assert profile.calls == {
        "module.py:outer": 2,
        "module.py:outer.<locals>.<genexpr>": 6,
        "module.py:inner": 4,
    }
    assert profile.modules == {"module.py"}
    assert profile.nesting == 4  # outer, outer, generator, inner
    assert threading.getprofile() is None


def test_failed_request_is_an_error() -> None:
    """A status other than 200 stops the measurement."""

    async def app(_scope: object, receive: object, send: object) -> None:
        message = await receive()  # type: ignore[operator]
        assert message["body"] == draw_digit()
        await send({"type": "http.response.start", "status": 404})  # type: ignore[operator]

    with pytest.raises(RuntimeError, match="Expected status 200, got 404"):
        asyncio.run(make_call(app, draw_digit())())  # type: ignore[arg-type]
