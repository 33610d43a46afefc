"""The command line's part in closing the service: keys made, and open doors refused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service import __main__ as command
from service.__main__ import main
from service.http.api_keys import find_key, read_keys
from service.settings import Settings
from tests.support.fakes import write_bundle

WRONG = "latentd_a-key-and-no-line-of-one"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LATENTD_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(("flags", "scopes"), [([], "infer"), (["--admin"], "infer,admin")])
def test_a_key_is_made(capsys: pytest.CaptureFixture[str], flags: list[str], scopes: str) -> None:
    """`latentd key` prints a key and the line that keeps it, each on a line of its own."""
    status = main(["key", "ci", *flags])

    text, line = capsys.readouterr().out.splitlines()
    assert status == 0
    assert line.startswith(f"ci {scopes} ")
    assert find_key(read_keys(line, None), text.encode()) is not None


def test_a_key_needs_a_good_name(capsys: pytest.CaptureFixture[str]) -> None:
    """A name that no line can hold ends the command with 2."""
    assert main(["key", "my key"]) == 2
    assert capsys.readouterr().err.startswith("latentd key: ")


def test_a_malformed_file_stops_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line that is none ends the command with 2; it is named, and not shown."""
    keys = tmp_path / "keys"
    keys.write_text(f"# ours\n{WRONG}\n")

    status = main(["serve", "--models-store", str(tmp_path), "--api-keys-file", str(keys)])

    told = capsys.readouterr().err
    assert status == 2
    assert len(told.splitlines()) == 1
    assert told.startswith("LATENTD_API_KEYS_FILE (--api-keys-file): ")
    assert "line 2: wanted NAME SCOPES SHA256" in told
    assert WRONG not in told


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "latentd.example"])  # noqa: S104
def test_open_repository_control_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    """Without keys, nobody from another machine may be able to load and unload models."""
    status = main(
        ["serve", "--models-store", str(tmp_path), "--host", host, "--repository-control"]
    )

    told = capsys.readouterr().err.splitlines()
    assert status == 3
    assert len(told) == 1
    assert told[0].startswith(f"latentd serve: repository_control on {host} ")


def test_repository_control_for_every_page_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without keys, no page that a browser shows may be able to load and unload models."""
    flags = ["--models-store", str(tmp_path), "--repository-control", "--cors-origins", '["*"]']
    status = main(["serve", *flags])

    told = capsys.readouterr().err.splitlines()
    assert status == 3
    assert len(told) == 1
    assert told[0].startswith("latentd serve: repository_control lets every page in a browser ")


@pytest.mark.parametrize(
    "flags",
    [
        ["--host", "127.0.0.1"],
        ["--host", "::1"],
        ["--host", "localhost"],
        ["--host", "0.0.0.0", "--api-keys", "ops infer,admin " + "0" * 64],  # noqa: S104
    ],
)
def test_closed_repository_control_is_not_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    """On the machine itself, or with keys, it may be on: what stops this start is the store."""
    status = main(["serve", "--models-store", str(tmp_path), "--repository-control", *flags])

    assert status == 3
    assert "contains no bundle" in capsys.readouterr().err


def test_keys_that_everybody_reads_are_warned_of(tmp_path: Path) -> None:
    """A file that every user can read is served with, and warned of in one line."""
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

    assert "keys can be read by every user of this machine" in ended.stderr


def test_several_workers_get_their_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers read the keys, as all settings, from the environment they are started in."""
    write_bundle(tmp_path, "full")
    line = "ops infer " + "0" * 64
    for name in Settings.model_fields:  # so that what is set is taken back
        monkeypatch.setenv(f"LATENTD_{name.upper()}", "")
    monkeypatch.setattr(command, "listen", lambda *_: 0)
    monkeypatch.setattr("service.inference.registry.Registry.load", lambda _: None)

    main(["serve", "--models-store", str(tmp_path), "--workers", "2", "--api-keys", line])

    assert os.environ["LATENTD_API_KEYS"] == line
