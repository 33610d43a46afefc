"""The undocumented names of prometheus_client that the service relies on.

If a test fails after an upgrade: adapt `prometheus_internals`, then raise the version in
pyproject.toml.
"""

import inspect
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from prometheus_client import mmap_dict, values
from prometheus_client.multiprocess import MultiProcessCollector

import service
from service.observability import exposition, prometheus_internals

PRIVATE = re.compile(r"prometheus_client\.(mmap_dict|multiprocess|values)")


def test_only_one_module_uses_internals() -> None:
    """No other module of the service imports undocumented modules of prometheus_client."""
    root = Path(service.__file__).parent
    users = [
        str(file.relative_to(root))
        for file in root.rglob("*.py")
        if PRIVATE.search(file.read_text())
    ]

    assert users == ["observability/prometheus_internals.py"]


def test_version_is_limited() -> None:
    """pyproject.toml allows the installed minor version only."""
    project = tomllib.loads((Path(service.__file__).parents[1] / "pyproject.toml").read_text())
    (requirement,) = [
        line for line in project["project"]["dependencies"] if line.startswith("prometheus-client")
    ]

    major, minor, _ = map(int, version("prometheus-client").split("."))
    assert requirement == f"prometheus-client>={major}.{minor},<{major}.{minor + 1}"


def test_signatures() -> None:
    """`mmap_key`, `MmapedDict` and `merge` take the arguments that are passed."""
    assert [*inspect.signature(mmap_dict.mmap_key).parameters] == [
        "metric_name",
        "name",
        "labelnames",
        "labelvalues",
        "help_text",
    ]
    assert [*inspect.signature(mmap_dict.MmapedDict).parameters] == ["filename", "read_mode"]
    write_value = mmap_dict.MmapedDict.write_value
    assert [*inspect.signature(write_value).parameters] == ["self", "key", "value", "timestamp"]
    assert callable(mmap_dict.MmapedDict.close)
    assert [*inspect.signature(MultiProcessCollector.merge).parameters] == ["files", "accumulate"]


def test_written_values_are_merged(tmp_path: Path) -> None:
    """`merge` reads what `write_value` wrote under `mmap_key`."""
    path = str(tmp_path / "counter_1.db")
    values = mmap_dict.MmapedDict(path)
    values.write_value(mmap_dict.mmap_key("hits", "hits_total", ["a"], ["b"], "Help."), 2.0, 0)
    values.close()

    (metric,) = MultiProcessCollector.merge([path], accumulate=True)

    (sample,) = metric.samples
    assert (metric.name, metric.type, metric.documentation) == ("hits", "counter", "Help.")
    assert (sample.name, sample.labels, sample.value) == ("hits_total", {"a": "b"}, 2.0)


def test_file_names(tmp_path: Path) -> None:
    """Files are named by the metric type and the process id."""
    program = "import os; from service.observability import metrics; print(os.getpid())"
    worker = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
    )

    pid = worker.stdout.strip()
    names = {file.name for file in tmp_path.iterdir()}
    assert {f"counter_{pid}.db", f"gauge_livesum_{pid}.db", f"gauge_livemax_{pid}.db"} >= names
    assert f"counter_{pid}.db" in names


PROGRAM = """
import logging, os
from pathlib import Path
logging.basicConfig()
full = os.environ["FULL"] == "1"
allocate = os.posix_fallocate
def posix_fallocate(descriptor, offset, length):
    if full and "/shared/" in os.readlink(f"/proc/self/fd/{descriptor}"):
        raise OSError(28, "No space left on device")
    allocate(descriptor, offset, length)
os.posix_fallocate = posix_fallocate
from service.observability import metrics
metrics.LOGS_DROPPED.inc()
"""


@pytest.mark.parametrize("is_full", [False, True])
def test_space_is_allocated_when_a_file_is_created(tmp_path: Path, *, is_full: bool) -> None:
    """No later write fails for want of space; without space values go to the temporary folder."""
    folder, other = tmp_path / "shared", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    variables = {"PROMETHEUS_MULTIPROC_DIR": str(folder), "TMPDIR": str(other)}
    variables |= {"PYTHONPATH": ":".join(sys.path), "FULL": str(int(is_full))}

    worker = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True, env=variables
    )

    files = [*(other if is_full else folder).iterdir()]
    assert files
    assert [file.stat().st_blocks * 512 for file in files] >= [
        prometheus_internals.FILE_BYTES
    ] * len(files)
    assert ("/metrics lacks this process" in worker.stderr) == is_full
    assert not (is_full and [*folder.iterdir()])


def test_values_use_the_replaced_class() -> None:
    """`values` looks up `MmapedDict` by this name."""
    assert values.MmapedDict in {mmap_dict.MmapedDict, prometheus_internals._AllocatedDict}


def test_full_shared_memory_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without enough space in shared memory, workers share the temporary folder."""
    monkeypatch.setattr(exposition, "_MIN_BYTES", 2**60)
    monkeypatch.setattr(exposition.tempfile, "tempdir", str(tmp_path))

    with exposition.share_metrics_folder() as folder:
        assert folder.parent == tmp_path
