"""API keys on the command line, and insecure settings that are rejected."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service import __main__ as command
from service.__main__ import main
from service.http.api_keys import read_keys
from service.settings import Settings
from tests.support.fakes import write_bundle

WRONG = "latentd_a-key-instead-of-a-line"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LATENTD_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(("flags", "scopes"), [([], "infer"), (["--admin"], "infer,admin")])
def test_key_is_created(capsys: pytest.CaptureFixture[str], flags: list[str], scopes: str) -> None:
    """`latentd key` prints a key and the line that authorizes it."""
    status = main(["key", "ci", *flags])

    text, line = capsys.readouterr().out.splitlines()
    assert status == 0
    assert line.startswith(f"ci {scopes} ")
    (stored,) = read_keys(line, None)
    assert stored.digest == hashlib.sha256(text.encode()).digest()


def test_invalid_key_name(capsys: pytest.CaptureFixture[str]) -> None:
    """A key name with a space exits with 2."""
    assert main(["key", "my key"]) == 2
    assert capsys.readouterr().err.startswith("latentd key: ")


def test_malformed_key_file_stops_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A malformed line exits with 2; the error has its number and not its text."""
    keys = tmp_path / "keys"
    keys.write_text(f"# comment\n{WRONG}\n")

    status = main(["serve", "--models-store", str(tmp_path), "--api-keys-file", str(keys)])

    output = capsys.readouterr().err
    assert status == 2
    assert len(output.splitlines()) == 1
    assert output.startswith("LATENTD_API_KEYS_FILE (--api-keys-file): ")
    assert "line 2: expected NAME SCOPES SHA256" in output
    assert WRONG not in output


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "latentd.example"])  # noqa: S104
def test_open_repository_control_is_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    """Without keys, repository control is rejected on addresses that other machines reach."""
    status = main(
        ["serve", "--models-store", str(tmp_path), "--host", host, "--repository-control"]
    )

    output = capsys.readouterr().err.splitlines()
    assert status == 3
    assert len(output) == 1
    assert output[0].startswith(f"latentd serve: repository_control on {host} ")


def test_repository_control_for_every_origin_is_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without keys, repository control is rejected with CORS origin '*'."""
    flags = ["--models-store", str(tmp_path), "--repository-control", "--cors-origins", '["*"]']
    status = main(["serve", *flags])

    output = capsys.readouterr().err.splitlines()
    assert status == 3
    assert len(output) == 1
    assert output[0].startswith("latentd serve: repository_control with cors_origins '*' ")


@pytest.mark.parametrize(
    "flags",
    [
        ["--host", "127.0.0.1"],
        ["--host", "::1"],
        ["--host", "localhost"],
        ["--host", "0.0.0.0", "--api-keys", "ops infer,admin " + "0" * 64],  # noqa: S104
    ],
)
def test_protected_repository_control_is_accepted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    """Repository control is accepted on loopback addresses or with keys; the store is empty."""
    status = main(["serve", "--models-store", str(tmp_path), "--repository-control", *flags])

    assert status == 3
    assert "contains no bundle" in capsys.readouterr().err


def test_readable_key_file_is_a_warning(tmp_path: Path) -> None:
    """A key file that every user can read is used, with a warning."""
    keys = tmp_path / "keys"
    keys.write_text("ops infer " + "0" * 64)
    keys.chmod(0o644)
    flags = ["--models-store", str(tmp_path), "--api-keys-file", str(keys)]

    ended = subprocess.run(
        [sys.executable, "-m", "service", "serve", *flags],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert "keys is readable by every user of this machine" in ended.stderr


def test_workers_inherit_the_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers read the keys, as all settings, from the environment."""
    write_bundle(tmp_path, "full")
    line = "ops infer " + "0" * 64
    for name in Settings.model_fields:  # so that the changes are undone
        monkeypatch.setenv(f"LATENTD_{name.upper()}", "")
    monkeypatch.setattr(command, "serve_application", lambda *_: 0)
    monkeypatch.setattr("service.inference.registry.registry.Registry.load", lambda _: None)

    main(["serve", "--models-store", str(tmp_path), "--workers", "2", "--api-keys", line])

    assert os.environ["LATENTD_API_KEYS"] == line
