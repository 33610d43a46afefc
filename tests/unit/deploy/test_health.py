"""The health check of the image asks the service's own port."""

import contextlib
import runpy
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

SCRIPT = Path(__file__).parents[3] / "deploy" / "health.py"


@pytest.mark.parametrize(
    ("variable", "port"),
    [(None, "8000"), ("", "8000"), ("9000", "9000"), ("tcp://10.96.14.7:80", "8000")],
)
@pytest.mark.parametrize("status", [200, 204])
def test_health(
    monkeypatch: pytest.MonkeyPatch, variable: str | None, port: str, status: int
) -> None:
    """It reads LATENTD_PORT as the service does, and exits with 0 only if `/readyz` is 200."""
    urls = []

    @contextlib.contextmanager
    def fake_open(_: object, url: str, timeout: float) -> Iterator[SimpleNamespace]:  # noqa: ARG001 - as urllib
        urls.append(url)
        yield SimpleNamespace(status=status)

    monkeypatch.delenv("LATENTD_PORT", raising=False)
    if variable is not None:
        monkeypatch.setenv("LATENTD_PORT", variable)
    monkeypatch.setattr(urllib.request.OpenerDirector, "open", fake_open)

    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPT))

    assert urls == [f"http://127.0.0.1:{port}/readyz"]
    assert ended.value.code is (status != 200)
