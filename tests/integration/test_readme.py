"""The commands of the README work, in a copy of the project."""

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
    """Return the code blocks of one language in the README."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def find_free_port() -> int:
    """Return a free TCP port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the project to a folder in which commands may write."""
    copy = tmp_path_factory.mktemp("project")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, copy / name)
    for file in ("Makefile", "pyproject.toml", "constraints.txt", "client/pyproject.toml"):
        # Older than the stamp files of the environment, or make installs this copy into it.
        os.utime(copy / file, (0, 0))
    return copy


def run(command: str, folder: Path, **environment: str) -> str:
    """Run a shell command, check that it succeeds, and return its standard output."""
    venv = {"VENV": str(Path(sys.executable).parents[1])}
    completed = subprocess.run(
        ["bash", "-ec", command],
        cwd=folder,
        env={**os.environ, **venv, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    output = f"{command}\n{completed.stdout}\n{completed.stderr}"
    assert completed.returncode == 0, output
    return completed.stdout


def serve(command: str, folder: Path) -> Iterator[str]:
    """Start a `make serve` command on a free port; yield the base URL when it is ready."""
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
            assert server.poll() is None, f"{command} exited with {server.returncode}"
            assert time.monotonic() < deadline, f"{command} was not ready in time"
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
    """The base URL of the service that the first command starts."""
    yield from serve("make serve", project)


def test_quick_start_has_two_commands(project: Path) -> None:
    """The first code block has `make serve` and `make test`, and the Makefile has both targets."""
    commands = [line.split("#")[0].strip() for line in find_blocks("console")[0].splitlines()]

    assert commands == ["make serve", "make test"]
    assert "pytest" in run("make --dry-run test", project)


def test_curl_tour(project: Path, url: str) -> None:
    """Each curl command succeeds, in order, and writes the image files that it names."""
    commands = [
        line for block in find_blocks("sh") for line in block.splitlines() if "make" not in line
    ]

    outputs = {line: run(line.replace("localhost:8000", url), project) for line in commands}

    assert len(commands) >= 12
    json_outputs = [text for line, text in outputs.items() if " -o " not in line and "curl" in line]
    assert all(text.startswith(("{", "[")) for text in json_outputs)
    classification = next(text for line, text in outputs.items() if "/v1/classify" in line)
    assert '"label":"Ankle boot"' in classification
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


def test_python_tour(project: Path, url: str) -> None:
    """The Python example runs unchanged and classifies the boot correctly."""
    (example,) = (block for block in find_blocks("python") if "classify" in block)
    (make_boot,) = (
        line for block in find_blocks("sh") for line in block.splitlines() if "-o boot.png" in line
    )
    run(make_boot.replace("localhost:8000", url), project)
    script = project / "example.py"
    script.write_text(example.replace("http://localhost:8000", url) + "    print(line.shape)\n")

    output = run(f"{sys.executable} {script}", project)

    assert output.startswith("{'Ankle boot': ")
    assert output.endswith("(9, 1, 28, 28)\n")


def test_training_on_a_folder(project: Path) -> None:
    """The training command, in less time, publishes a bundle that `make serve` serves."""
    draw_images(project / "my_images")
    (command,) = (block for block in find_blocks("sh") if "make train" in block)

    command = command.replace("ARGS=my_images", 'ARGS="my_images --minutes 0.1"')
    run(command, project, LATENTD_MODELS_STORE=str(project / "own_store"))

    for base in serve(f"LATENTD_MODELS_STORE={project / 'own_store'} make serve", project):
        with (project / "my_images" / "cats" / "1.png").open("rb") as image:
            body = httpx.post(f"{base}/v1/classify", files={"images": image}).json()
        sample = httpx.post(f"{base}/v1/sample", headers={"Accept": "image/png"})
    *_, documented = re.findall(r"`models_store/([^`]+)`", README)
    assert (project / "own_store" / documented / "manifest.json").exists()
    assert body["predictions"][0]["label"] in {"cats", "dogs"}
    assert read_png(sample.content).shape == (32, 32, 3)


@pytest.mark.parametrize(
    "command", [c for b in find_blocks("console")[1:] for c in b.splitlines() if "make serve" in c]
)
def test_settings_reach_make_serve(project: Path, command: str) -> None:
    """The settings in the README change the service that `make serve` starts."""
    for base in serve(command, project):
        models = httpx.get(f"{base}/v1/models").json()["models"]
    default = next(model["name"] for model in models if model["default"])
    backends = {model["backend"] for model in models}

    assert (default == "mnist") == ("DEFAULT_MODEL=mnist" in command)
    assert backends == ({"torchscript"} if "torchscript" in command else {"onnx"})


def test_ci_runs_the_build_steps_of_the_image() -> None:
    """The Dockerfile installs with the script of `make image-check`, which CI runs."""
    steps = re.findall(r"^RUN (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    assert [step.split()[:2] for step in steps] == [["sh", "deploy/install.sh"]] * 2
    assert "sh deploy/install.sh" in (ROOT / "deploy" / "check.sh").read_text()
    assert "make image-check" in (ROOT / ".ci" / "run").read_text()


def test_change_of_code_does_not_reinstall_dependencies() -> None:
    """The Dockerfile installs the dependencies before it copies the code."""
    text = (ROOT / "Dockerfile").read_text()

    assert text.index("RUN sh deploy/install.sh") < text.index("COPY service")


def draw_images(folder: Path) -> None:
    """Draw colour images of 32 x 32 pixels: red squares are cats, blue bars are dogs."""
    rng = np.random.default_rng(0)
    for label, channel in (("cats", 0), ("dogs", 2)):
        (folder / label).mkdir(parents=True)
        for index in range(60):
            pixels = rng.integers(0, 60, (32, 32, 3), dtype=np.uint8)
            left, top = rng.integers(2, 16, 2)
            pixels[top : top + 12, left : left + (12 if channel == 0 else 4), channel] = 220
            Image.fromarray(pixels).save(folder / label / f"{index}.png")
