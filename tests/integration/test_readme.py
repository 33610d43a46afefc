"""Every command of the README, run as a user would run it, in a copy of the project."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.support.image_files import read_png

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COPIED = (
    "Makefile",
    "pyproject.toml",
    "constraints.txt",
    "README.md",
    "client",
    "service",
    "training",
    "models_store",
)


def find_blocks(language: str) -> list[str]:
    """Return the README's code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def find_free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the project, where commands may write what they like."""
    copy = tmp_path_factory.mktemp("project")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, copy / name)
    for file in ("Makefile", "pyproject.toml", "constraints.txt", "client/pyproject.toml"):
        # Older than the stamps of the environment, or make would install this copy into it.
        os.utime(copy / file, (0, 0))
    return copy


def run(command: str, folder: Path, **environment: str) -> str:
    """Run a shell command that must succeed; return its standard output."""
    venv = {"VENV": str(Path(sys.executable).parents[1])}
    done = subprocess.run(
        ["bash", "-ec", command],
        cwd=folder,
        env={**os.environ, **venv, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def serve(command: str, folder: Path) -> Iterator[str]:
    """Start a `make serve` command on a free port; give the base URL once it is ready."""
    port = str(find_free_port())
    environment = {**os.environ, "VENV": str(Path(sys.executable).parents[1]), "PORT": port}
    server = subprocess.Popen(
        ["bash", "-ec", f"exec env {re.sub(r'PORT=[0-9]+ ', '', command)}"],
        cwd=folder,
        env=environment,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while not _is_ready(url):
            assert server.poll() is None, f"{command} ended with {server.returncode}"
            assert time.monotonic() < deadline, f"{command} did not get ready"
            time.sleep(0.1)
        yield url
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=20)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").is_success
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def url(project: Path) -> Iterator[str]:
    """The base URL of what the README's first command starts."""
    yield from serve("make serve", project)


def test_the_two_commands_are_the_first(project: Path) -> None:
    """The README begins with the two commands, and the Makefile has both."""
    commands = [line.split("#")[0].strip() for line in find_blocks("console")[0].splitlines()]

    assert commands == ["make serve", "make test"]
    assert "pytest" in run("make --dry-run test", project)


def test_the_tour(project: Path, url: str) -> None:
    """Each curl command of the tour works, in order, and leaves the pictures that it names."""
    tour = [
        line for block in find_blocks("sh") for line in block.splitlines() if "make" not in line
    ]

    answers = {line: run(line.replace("localhost:8000", url), project) for line in tour}

    assert len(tour) >= 12
    asked_for_json = {
        line: text for line, text in answers.items() if " -o " not in line and "curl" in line
    }
    assert all(text.startswith(("{", "[")) for text in asked_for_json.values())
    classified = next(text for line, text in answers.items() if "/v1/classify" in line)
    assert '"label":"Ankle boot"' in classified
    shapes = {
        name: read_png((project / name).read_bytes()).shape
        for name in (
            "sneaker.png",
            "boot.png",
            "decoded.png",
            "clean.png",
            "digits.png",
            "line.png",
        )
    }
    assert shapes["boot.png"] == shapes["decoded.png"] == shapes["clean.png"] == (28, 28)
    assert shapes["digits.png"] == (148, 148)
    assert shapes["line.png"] == (88, 88)


def test_the_python_client(project: Path, url: str) -> None:
    """The Python example runs as it stands, and knows a boot when it sees one."""
    (example,) = find_blocks("python")
    (make_boot,) = (
        line for block in find_blocks("sh") for line in block.splitlines() if "-o boot.png" in line
    )
    run(make_boot.replace("localhost:8000", url), project)
    script = project / "example.py"
    script.write_text(example.replace("http://localhost:8000", url) + "    print(line.shape)\n")

    told = run(f"{sys.executable} {script}", project)

    assert told.startswith("{'Ankle boot': ")
    assert told.endswith("(9, 1, 28, 28)\n")


def test_training_on_ones_own_folder(project: Path) -> None:
    """The training command makes a bundle of colour pictures that the next serve answers with."""
    _draw_pictures(project / "my_images")
    (command,) = (block for block in find_blocks("sh") if "make train" in block)

    run(command, project, LATENTD_MODELS_STORE=str(project / "own_store"))

    for base in serve(f"LATENTD_MODELS_STORE={project / 'own_store'} make serve", project):
        with (project / "my_images" / "cats" / "1.png").open("rb") as picture:
            answer = httpx.post(f"{base}/v1/classify", files={"images": picture}).json()
        rebuilt = httpx.post(f"{base}/v1/sample", headers={"Accept": "image/png"})
    (said,) = re.findall(r"`models_store/([^`]+)`", README)
    assert (project / "own_store" / said / "manifest.json").exists()
    assert answer["predictions"][0]["label"] in {"cats", "dogs"}
    assert read_png(rebuilt.content).shape == (32, 32, 3)


@pytest.mark.parametrize(
    "command", [c for b in find_blocks("console")[1:] for c in b.splitlines() if "make serve" in c]
)
def test_settings_reach_make_serve(project: Path, command: str) -> None:
    """The README's settings change what `make serve` starts."""
    for base in serve(command, project):
        models = httpx.get(f"{base}/v1/models").json()["models"]
    default = next(model["name"] for model in models if model["default"])
    backends = {model["backend"] for model in models}

    assert (default == "mnist") == ("DEFAULT_MODEL=mnist" in command)
    assert backends == ({"torchscript"} if "torchscript" in command else {"onnx"})


def test_the_image_is_built_by_steps_that_ci_runs() -> None:
    """The Dockerfile installs with the script that `make image-check` runs, which CI calls."""
    steps = re.findall(r"^RUN (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    assert [step.split()[:2] for step in steps] == [["sh", "deploy/install.sh"]]
    assert "sh deploy/install.sh" in (ROOT / "deploy" / "check.sh").read_text()
    assert "make image-check" in (ROOT / ".ci" / "run").read_text()


def _draw_pictures(folder: Path) -> None:
    """Draw 32 x 32 colour pictures: reddish squares are cats, bluish bars are dogs."""
    generator = np.random.default_rng(0)
    for label, channel in (("cats", 0), ("dogs", 2)):
        (folder / label).mkdir(parents=True)
        for index in range(60):
            pixels = generator.integers(0, 60, (32, 32, 3), dtype=np.uint8)
            left, top = generator.integers(2, 16, 2)
            pixels[top : top + 12, left : left + (12 if channel == 0 else 4), channel] = 220
            Image.fromarray(pixels).save(folder / label / f"{index}.png")
