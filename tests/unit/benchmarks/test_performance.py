"""Requests, rows and goals of the performance benchmarks, without measurements."""

import importlib.util
import io
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.bench import MODULES, parse_arguments
from benchmarks.harness.precise_load import TimedResponse
from benchmarks.performance import classify, json_bodies, large_model, latency, tensors, workers
from benchmarks.performance.footprint import parse_size


@pytest.mark.parametrize("module", MODULES.values())
def test_every_section_has_a_module(module: str) -> None:
    """The module of each section exists."""
    assert importlib.util.find_spec(f"benchmarks.performance.{module}") is not None


def test_unknown_section_is_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    """The command line rejects an unknown section and lists the known ones."""
    with pytest.raises(SystemExit):
        parse_arguments(["classify", "speed"])

    assert "unknown section: speed; expected: classify," in capsys.readouterr().err
    assert parse_arguments(["classify", "--rounds", "5"]).rounds == 5


def test_goals_of_the_contenders() -> None:
    """The goals are 1.0 of the bare handler and 1.5 of the plain app, and none for the echo."""
    assert str(classify.GOALS["bare handler"]) == ">= 1"
    assert str(classify.GOALS["plain FastAPI"]) == ">= 1.5"
    assert [name for name, goal in classify.GOALS.items() if goal is None] == ["echo"]
    assert len(classify.MAKERS) == len(classify.GOALS)


def test_installed_size_is_parsed() -> None:
    """The size is parsed from the line that deploy/check.sh prints."""
    script = Path(__file__).parents[3] / "deploy" / "check.sh"
    assert 'echo "Installed size: $size_mb MB' in script.read_text()

    assert parse_size("Installing\nInstalled size: 212 MB (limit 250 MB)\n") == 212
    with pytest.raises(RuntimeError, match="Expected 'Installed size: N MB'"):
        parse_size("Installing\n")


def test_requests_follow_the_api() -> None:
    """PNG and JSON requests ask for ten probabilities; tensors have binary input and output."""
    assert classify.make_request(b"png").path == "/v1/classify?top_k=10"
    assert json.loads(json_bodies.make_request("image").body) == {"images": ["image"], "top_k": 10}

    images = np.zeros((2, 1, 28, 28), np.float32)
    assert np.load(io.BytesIO(tensors.make_npy_request(images).body)).shape == images.shape
    binary = tensors.make_binary_request(images)
    size = int(dict(binary.headers)["Inference-Header-Content-Length"])
    assert json.loads(binary.body[:size])["inputs"][0]["shape"] == [2, 1, 28, 28]
    assert len(binary.body) == size + images.nbytes


def test_binary_tensor_is_read() -> None:
    """The bytes of the only output follow the JSON."""
    latents = np.arange(6, dtype=np.float32).reshape(2, 3)
    output = {"name": "latents", "shape": [2, 3], "parameters": {"binary_data_size": 24}}

    array = tensors.read_binary(json.dumps({"outputs": [output]}).encode() + latents.tobytes())

    assert np.array_equal(array, latents)


def test_tail_of_a_round_is_p99_over_p50() -> None:
    """The latency goal applies to the median of p99 / p50 over the rounds, for latentd only."""
    fast, slow = TimedResponse(0.0, 0.001, ok=True), TimedResponse(0.001, 0.01, ok=True)
    flat = latency.Round(100, [fast] * 100)
    steep = latency.Round(200, [*[fast] * 98, slow, slow])

    assert flat.tail == 1
    assert steep.tail == 10
    row = latency.summarise("latentd", [flat, steep, flat])
    assert len(row) == len(latency.COLUMNS)
    assert row[-3:] == ("1 to 10", "<= 4", "yes")
    assert latency.summarise("latentd", [steep, steep, flat])[-1] == "no"
    assert latency.summarise("plain FastAPI", [flat])[-2:] == ("-", "-")


def test_workers_are_compared_with_one() -> None:
    """The row contains the ratio to the throughput of one worker in the same round."""
    assert workers.to_row(2, [180, 190], [100, 100]) == (2, 185, 1.85, "1.8 to 1.9")


def test_large_model_is_compared_with_the_shipped_one(tmp_path: Path) -> None:
    """The goal is met if the overhead of the large model is the smaller share of its work."""
    (tmp_path / "classifier.onnx").write_bytes(b"\0" * 2_000_000)
    model = large_model.Model("large", tmp_path, session=None)
    rates = {"shipped": [1000.0], "shipped 1": [500.0], "large": [100.0], "large 1": [80.0]}

    row = dict(zip(large_model.COLUMNS, large_model.to_row(model, 1, rates), strict=True))

    assert (row["MB"], row["share"], row["overhead ms per image"]) == (2.0, 0.8, 2.5)
    assert (row["share / share of the shipped model"], row["met"]) == (1.6, "yes")
