"""The audit of packages: flaws fail it, the want of a database does not."""

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLAW = {
    "id": "TEST-1",
    "summary": "",
    "details": "",
    "published": "2020-01-01T00:00:00Z",
    "modified": "2020-01-01T00:00:00Z",
    "affected": [
        {"package": {"name": "idna", "ecosystem": "PyPI"}, "ranges": [], "versions": ["3.20"]}
    ],
}


class Database(http.server.BaseHTTPRequestHandler):
    """Knows of one flaw in one package, as osv.dev would tell it."""

    def do_POST(self) -> None:
        """Answer a query."""
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = json.dumps({"vulns": [FLAW]} if query["package"]["name"] == "idna" else {})
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def database() -> Iterator[str]:
    """The address of a database."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Database) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()


def audit(pins: Path, database: str) -> subprocess.CompletedProcess[str]:
    """Run the audit of a file of pinned packages."""
    venv = str(Path(sys.executable).parents[1])
    return subprocess.run(
        ["sh", "deploy/audit.sh", str(pins)],
        cwd=ROOT,
        env={**os.environ, "VENV": venv, "PIP_AUDIT_OSV_URL": database},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("pin", "status", "told"),
    [("h11==0.16.0", 0, "No package has a known flaw"), ("idna==3.20", 1, "TEST-1")],
)
def test_a_known_flaw_fails(
    tmp_path: Path, database: str, pin: str, status: int, told: str
) -> None:
    """A flaw ends the audit with 1 and is named; without one it ends with 0."""
    (tmp_path / "pins").write_text(pin)

    done = audit(tmp_path / "pins", database)

    assert done.returncode == status, done.stderr
    assert told in done.stdout + done.stderr


def test_without_a_database_nothing_fails(tmp_path: Path) -> None:
    """Where nobody answers the audit says so, and passes."""
    (tmp_path / "pins").write_text("h11==0.16.0")

    done = audit(tmp_path / "pins", "http://127.0.0.1:9/v1/query")

    assert done.returncode == 0
    assert "could not be audited" in done.stdout
