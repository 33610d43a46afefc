"""Clients that hang up before they have their answer."""

from collections.abc import Callable

import httpx
import pytest

from tests.support.servers import connect, count_files, wait_until

HEAD = b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"


def read_in_flight(client: httpx.Client) -> float:
    """Return how many requests are being answered, by the service's own count."""
    (line,) = [
        line
        for line in client.get("/metrics").text.splitlines()
        if line.startswith("latentd_in_flight")
    ]
    return float(line.rpartition(" ")[2])


def leave_in_upload(base: str) -> None:
    """Send a part of a body and be gone."""
    with connect(base) as connection:
        connection.sendall(HEAD + b"Content-Length: 2000\r\n\r\nabc")


def leave_in_answer(base: str) -> None:
    """Ask for something that is worked on, and be gone before it is answered."""
    body = b'{"count": 200, "encoding": "array"}'
    with connect(base) as connection:
        connection.sendall(
            b"POST /v1/sample HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            + f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )


@pytest.mark.parametrize("leave", [leave_in_upload, leave_in_answer])
def test_clients_that_leave(
    url: str,
    client: httpx.Client,
    leave: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """400 clients that go away leave no socket, no traceback and nothing in flight."""
    client.get("/livez")
    before = count_files()
    for _ in range(400):
        leave(url)

    wait_until(lambda: count_files() <= before, timeout=10)
    wait_until(lambda: read_in_flight(client) == 1)  # the one that asks

    assert client.get("/readyz").status_code == 200
    assert client.post("/v1/sample").status_code == 200
    assert [record for record in caplog.records if record.exc_info] == []
