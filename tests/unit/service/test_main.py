"""The command line: exit statuses and one-line errors."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from service.__main__ import main
from tests.support.fakes import write_bundle


def serve(store: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run `latentd serve` on an invalid store."""
    environment = {name: value for name, value in os.environ.items() if "LATENTD" not in name}
    command = [sys.executable, "-m", "service", "serve", "--models-store", str(store), *flags]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=30, env=environment
    )


def _leave_empty(_: Path) -> None:
    pass


def _tamper(store: Path) -> None:
    bundle = write_bundle(store, "full")
    content = bytearray((bundle.folder / "encoder.onnx").read_bytes())
    content[0] ^= 1
    (bundle.folder / "encoder.onnx").write_bytes(content)


def _break_manifest(store: Path) -> None:
    (write_bundle(store, "full").folder / "manifest.json").write_text("{")


def _change_schema_version(store: Path) -> None:
    manifest = write_bundle(store, "full").folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"schema_version": 2', '"schema_version": 3'))


def _use_fake_graphs(store: Path) -> None:
    write_bundle(store, "full")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (_leave_empty, "contains no bundle"),
        (_tamper, "full@1: encoder.onnx differs in size or SHA-256 from the manifest"),
        (_break_manifest, "full@1: the manifest is not valid JSON"),
        (_change_schema_version, "schema_version 3; expected 1 or 2"),
        (_use_fake_graphs, "full@1: the graph is truncated"),
    ],
)
def test_invalid_store_is_one_line(
    tmp_path: Path, prepare: Callable[[Path], None], reason: str
) -> None:
    """An invalid store exits with 3 and one line before the service listens."""
    prepare(tmp_path)

    ended = serve(tmp_path)

    assert ended.returncode == 3
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert ended.stderr.startswith("latentd serve: ")
    assert reason in ended.stderr


@pytest.mark.slow
def test_invalid_store_starts_no_workers(tmp_path: Path) -> None:
    """With several workers the parent exits, so no worker is restarted again and again."""
    ended = serve(tmp_path / "nowhere", "--workers", "4")

    assert ended.returncode == 3
    assert len(ended.stderr.splitlines()) == 1
    assert "does not exist" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "status"), [([], 2), (["dance"], 2), (["--help"], 0), (["-h"], 0)]
)
def test_usage(capsys: pytest.CaptureFixture[str], arguments: list[str], status: int) -> None:
    """Without a known command, the usage lists the commands."""
    assert main(arguments) == status
    assert "serve" in capsys.readouterr().err
