"""Clients that disconnect before the response."""

from collections.abc import Callable

import httpx
import pytest

from tests.support.metric_series import read_series
from tests.support.servers import connect, count_files, wait_until

HEAD = b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"


def disconnect_in_upload(base: str) -> None:
    """Send a part of a body, then disconnect."""
    with connect(base) as connection:
        connection.sendall(HEAD + b"Content-Length: 2000\r\n\r\nabc")


def disconnect_before_response(base: str) -> None:
    """Send a complete request, then disconnect without reading the response."""
    body = b'{"count": 200, "encoding": "array"}'
    with connect(base) as connection:
        connection.sendall(
            b"POST /v1/sample HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            + f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )


@pytest.mark.parametrize("disconnect", [disconnect_in_upload, disconnect_before_response])
def test_disconnected_clients_leave_no_state(
    url: str,
    client: httpx.Client,
    disconnect: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After 400 disconnects no socket, no traceback and no request in progress remains."""
    client.get("/livez")
    before = count_files()
    for _ in range(400):
        disconnect(url)

    wait_until(lambda: count_files() <= before, timeout=10)
    wait_until(
        lambda: read_series(client)["latentd_in_flight"] == 1
    )  # the request for /metrics itself

    assert client.get("/readyz").status_code == 200
    assert client.post("/v1/sample").status_code == 200
    assert [record for record in caplog.records if record.exc_info] == []
