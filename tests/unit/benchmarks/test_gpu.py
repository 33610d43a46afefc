"""The comparison of a CUDA device with the CPU, with the CPU as both."""

from pathlib import Path

import pytest

from benchmarks.performance import gpu
from service.runtimes import Device, Runtime, open_runtime
from tests.support.service_process import ROOT


def test_rows_compare_both_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch size has the speed of both devices and a difference, here 0, with its bound."""
    opened: list[Device] = []

    def open_cpu(backend: str, threads: int, device: Device) -> Runtime:
        opened.append(device)
        return open_runtime(backend, threads, "cpu")  # type: ignore[arg-type]

    monkeypatch.setattr(gpu, "open_runtime", open_cpu)
    monkeypatch.setattr(gpu, "_SECONDS", 0.01)
    monkeypatch.setattr(gpu, "_BATCHES", (1, 3))
    record = gpu.make_record(gpu.compare("onnx", ROOT / "models_store", 1))
    assert opened == ["cpu", "cuda"]
    assert [row[:2] for row in record.rows] == [["onnx", 1], ["onnx", 3]]
    assert [row[-1] for row in record.rows] == [0.0, 0.0]
    assert record.list_violations(0) == []


@pytest.mark.slow  # imports torch
def test_the_script_uses_the_flags_of_the_commands() -> None:
    """Every flag of the commands in the script exists, because it runs rarely."""
    from training.commands.train import make_train_parser  # noqa: PLC0415 - imports torch

    script = Path(ROOT / "benchmarks" / "gpu.sh").read_text().replace("\\\n", " ")
    (train,) = (line for line in script.splitlines() if " -m training train" in line)
    arguments = train.partition("training train")[2].replace('"', "").split()
    flags = make_train_parser().parse_args(arguments)
    assert (flags.recipe, flags.device, flags.epochs) == ("digits", "cuda", 3)
