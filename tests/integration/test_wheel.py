"""The wheel of the service: it has its data files, and runs outside of a checkout."""

import contextlib
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers import wait_until
from tests.support.service_process import ROOT, Service, find_free_port
from tests.support.wheels import build_wheel

DATA_SUFFIXES = {".typed", ".toml", ".html", ".css", ".js", ".png", ".svg", ".woff2", ".LICENSE"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the content of the wheel, as pip installs it."""
    folder = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(build_wheel(ROOT, folder)) as wheel:
        wheel.extractall(folder / "installed")
    return folder / "installed"


def start(installed: Path, folder: Path, *flags: str) -> subprocess.Popen[str]:
    """Start `latentd serve` of the wheel in a folder."""
    script = (
        "import sys, service, service.__main__ as command; print(service.__file__); "
        "sys.exit(command.main())"
    )
    return subprocess.Popen(
        [sys.executable, "-P", "-c", script, "serve", *flags],
        cwd=folder,
        env={"PYTHONPATH": str(installed)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextlib.contextmanager
def running(process: subprocess.Popen[str]) -> Iterator[None]:
    """End a process with the context."""
    try:
        yield
    finally:
        process.kill()
        process.communicate()


def test_the_wheel_has_all_data_files(installed: Path) -> None:
    """Pages, fonts, recipes and markers are in the wheel, without what only a checkout needs."""
    data = {
        path.relative_to(ROOT)
        for package in ("service", "training")
        for path in (ROOT / package).rglob("*")
        if path.suffix in DATA_SUFFIXES and "reproduction" not in path.parts
    }
    assert len(data) > 40
    assert [path for path in sorted(data) if not (installed / path).is_file()] == []


def test_a_missing_store_is_explained(installed: Path, tmp_path: Path) -> None:
    """Where no store is, the command ends with 3 and one line that says what to set."""
    process = start(installed, tmp_path)
    with running(process):
        output, errors = process.communicate(timeout=60)
    assert output.startswith(str(installed))
    assert process.returncode == 3
    (line,) = errors.splitlines()
    assert line.startswith("latentd serve: the models store models_store does not exist")
    assert "LATENTD_MODELS_STORE" in line


def test_the_wheel_serves(installed: Path, tmp_path: Path) -> None:
    """With a store it classifies, and its page has its script and font."""
    port = find_free_port()
    store = f"--models-store={ROOT / 'models_store'}"
    process = start(installed, tmp_path, store, f"--port={port}", "--threads=1")
    with running(process):
        service = Service(process, f"http://127.0.0.1:{port}")  # type: ignore[arg-type]
        wait_until(service.is_ready, timeout=60)
        assert service.classify() == 200
        files = ("", "static/playground/main.js", "static/playground/fonts/newsreader.woff2")
        assert [service.get(f"/{file}").status_code for file in files] == [200] * len(files)
