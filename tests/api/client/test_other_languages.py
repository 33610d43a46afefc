"""The programs of docs/clients.md, run against the service."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.image_files import make_png
from tests.support.requirements import require_program

PAGE = Path(__file__).parents[3] / "docs" / "clients.md"
PROGRAMS = dict(re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(), re.DOTALL))
COMMANDS = {
    "js": ("node", [], "classify.mjs"),
    "java": ("java", [], "Classify.java"),
    "go": ("go", ["run"], "classify.go"),
}


def test_every_program_is_run() -> None:
    """A program that is added to the page is added to this test."""
    assert PROGRAMS.keys() == COMMANDS.keys()


@pytest.mark.parametrize(("level", "label"), [(0, "dark"), (128, "grey"), (255, "light")])
@pytest.mark.parametrize("language", COMMANDS)
def test_program_prints_the_label(
    url: str, tmp_path: Path, language: str, level: int, label: str
) -> None:
    """Each program prints the label of an image."""
    program, flags, name = COMMANDS[language]
    (tmp_path / name).write_text(PROGRAMS[language])
    (tmp_path / "image.png").write_bytes(make_png(level))
    command = [require_program(program), *flags, name, url, "image.png"]

    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.stdout.strip(), done.returncode) == (label, 0), done.stderr
