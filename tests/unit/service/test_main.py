"""The command line: what cannot be served ends with one line that says why."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from service.__main__ import main
from tests.support.fakes import write_bundle


def serve(store: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run `latentd serve` on a store that cannot be served."""
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


def _age_manifest(store: Path) -> None:
    manifest = write_bundle(store, "full").folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"schema_version": 1', '"schema_version": 2'))


def _store_no_graph(store: Path) -> None:
    write_bundle(store, "full")


@pytest.mark.parametrize(
    ("prepare", "told"),
    [
        (_leave_empty, "contains no bundle"),
        (_tamper, "full@1: encoder.onnx differs in size or SHA-256 from the manifest"),
        (_break_manifest, "full@1: the manifest is not valid JSON"),
        (_age_manifest, "schema_version 2; this latentd reads 1"),
        (_store_no_graph, "full@1: the graph is truncated"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(
    tmp_path: Path, prepare: Callable[[Path], None], told: str
) -> None:
    """A store that must not be served ends the command with 3 before it listens."""
    prepare(tmp_path)

    ended = serve(tmp_path)

    assert ended.returncode == 3
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert ended.stderr.startswith("latentd serve: ")
    assert told in ended.stderr


def test_several_workers_are_not_started_either(tmp_path: Path) -> None:
    """With many workers, too, it is the parent that ends: no worker fails over and over."""
    ended = serve(tmp_path / "nowhere", "--workers", "4")

    assert ended.returncode == 3
    assert len(ended.stderr.splitlines()) == 1
    assert "cannot be read" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "status"), [([], 2), (["dance"], 2), (["--help"], 0), (["-h"], 0)]
)
def test_usage(capsys: pytest.CaptureFixture[str], arguments: list[str], status: int) -> None:
    """Without a command that there is, the commands are listed."""
    assert main(arguments) == status
    assert "serve" in capsys.readouterr().err
