"""`deploy/audit.sh`: vulnerabilities and a damaged file fail the audit, no network does not."""

import http.server
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VULNERABILITY = {
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
    """HTTP handler of a database like osv.dev with one vulnerability of one package."""

    def do_POST(self) -> None:
        """Respond to a query."""
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        response = json.dumps(
            {"vulns": [VULNERABILITY]} if query["package"]["name"] == "idna" else {}
        )
        self.send_response(200)
        self.send_header("Content-Length", str(len(response)))
        self.end_headers()
        self.wfile.write(response.encode())

    def log_message(self, *_: object) -> None:
        """Discard the log."""


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of a database."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Database) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()


def audit(pins: Path, database: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the audit for a file of pinned packages."""
    venv = str(Path(sys.executable).parents[1])
    return subprocess.run(
        ["sh", "deploy/audit.sh", str(pins)],
        cwd=ROOT,
        env={**os.environ, "VENV": venv, "PIP_AUDIT_OSV_URL": database, **variables},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("pin", "status", "message"),
    [("h11==0.16.0", 0, "No package has a known vulnerability"), ("idna==3.20", 1, "TEST-1")],
)
def test_known_vulnerability_fails_the_audit(
    tmp_path: Path, database: str, pin: str, status: int, message: str
) -> None:
    """A vulnerability ends the audit with 1 and its id; otherwise the audit ends with 0."""
    (tmp_path / "pins").write_text(pin)

    completed = audit(tmp_path / "pins", database)

    assert completed.returncode == status, completed.stderr
    assert message in completed.stdout + completed.stderr


def test_unreachable_database_does_not_fail_the_audit(tmp_path: Path) -> None:
    """An unreachable database is reported, and the audit ends with 0."""
    (tmp_path / "pins").write_text("h11==0.16.0")

    completed = audit(tmp_path / "pins", "http://127.0.0.1:9/v1/query")

    assert completed.returncode == 0
    assert "NOT AUDITED" in completed.stdout


def write_database(file: Path, *affected: dict[str, object]) -> str:
    """Write an archive with one record per entry; return its path."""
    with zipfile.ZipFile(file, "w") as archive:
        for number, entry in enumerate(affected, 1):
            package = {"package": {"name": "Some.Package", "ecosystem": "PyPI"}}
            record = {"id": f"TEST-{number}", "affected": [package | entry]}
            archive.writestr(f"TEST-{number}.json", json.dumps(record))
    return str(file)


def make_range(**events: str) -> dict[str, object]:
    """Return versions between events."""
    steps = [{kind: version} for kind, version in events.items()]
    return {"ranges": [{"type": "ECOSYSTEM", "events": steps}]}


@pytest.mark.parametrize(
    ("affected", "is_vulnerable"),
    [
        ({"versions": ["1.9", "1.10"]}, True),
        ({"versions": ["1.1"]}, False),
        (make_range(introduced="0"), True),
        (make_range(introduced="0", fixed="1.9"), False),
        (make_range(introduced="1.2", fixed="1.11"), True),
        (make_range(introduced="1.2", last_affected="1.10"), True),
        (make_range(introduced="1.11"), False),
    ],
)
def test_database_file(tmp_path: Path, affected: dict[str, object], *, is_vulnerable: bool) -> None:
    """A file of the database is used instead of the network; it names each vulnerability."""
    (tmp_path / "pins").write_text("some_package==1.10")
    database = write_database(tmp_path / "all.zip", {"versions": ["0.1"]}, affected)

    completed = audit(tmp_path / "pins", "http://127.0.0.1:9/v1/query", DATABASE=database)

    assert completed.returncode == int(is_vulnerable), completed.stderr
    assert ("some-package 1.10: TEST-2" in completed.stdout) == is_vulnerable
    assert ("in 2 records" in completed.stdout) != is_vulnerable


@pytest.mark.parametrize("content", [None, b"not an archive", b"PK\x05\x06" + bytes(18)])
def test_unusable_database_file_fails_the_audit(tmp_path: Path, content: bytes | None) -> None:
    """A missing, damaged or empty file ends the audit with 2 and its name."""
    (tmp_path / "pins").write_text("some_package==1.10")
    file = tmp_path / "all.zip"
    if content is not None:
        file.write_bytes(content)

    completed = audit(tmp_path / "pins", "http://127.0.0.1:9/v1/query", DATABASE=str(file))

    assert completed.returncode == 2
    assert str(file) in completed.stderr
