"""The files of GitHub: valid by the published schemas, with bounded rights and time."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.requirements import require_module

GITHUB = Path(__file__).parents[3] / ".github"
WORKFLOWS = sorted(GITHUB.glob("workflows/*.yaml"))


def read(path: Path) -> dict[str, Any]:
    """Return the content of a workflow."""
    return dict(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("vendor.github-workflows", "workflows/*.yaml"),
        ("vendor.dependabot", "dependabot.yml"),
        ("vendor.github-issue-forms", "ISSUE_TEMPLATE/[bf]*.yml"),
    ],
)
def test_files_are_valid(schema: str, pattern: str) -> None:
    """Each file follows its schema."""
    require_module("check_jsonschema")
    files = [str(path) for path in sorted(GITHUB.glob(pattern))]
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *files]
    assert files
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_may_only_read_by_default(path: Path) -> None:
    """A job that writes declares it; no checkout leaves its token in the folder."""
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    steps = [step for job in workflow["jobs"].values() for step in job.get("steps", [])]
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_the_release_stores_no_token() -> None:
    """PyPI trusts the workflow: its job has an identity and no secret."""
    job = read(GITHUB / "workflows" / "release.yaml")["jobs"]["pypi"]
    assert job["permissions"] == {"id-token": "write"}
    assert "secrets." not in (GITHUB / "workflows" / "release.yaml").read_text()
