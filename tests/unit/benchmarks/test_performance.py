"""What the figures of speed are made of, where it can be tested without measuring."""

import importlib.util
import io
import json
from pathlib import Path

import numpy as np
import pytest
from bench import FIGURES, parse
from performance import classify, giant, json_bodies, latency, tensors, workers
from performance.footprint import parse_size
from performance.options import Options
from performance.steady import Sent

OPTIONS = Options(rounds=1, seconds=1)


@pytest.mark.parametrize("module", FIGURES.values())
def test_every_figure_has_a_module(module: str) -> None:
    """Each figure that can be named is measured by a module that exists."""
    assert importlib.util.find_spec(f"performance.{module}") is not None


def test_an_unknown_figure_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A figure that does not exist is answered with those that do."""
    with pytest.raises(SystemExit):
        parse(["classify", "speed"])

    assert "no figure speed" in capsys.readouterr().err
    assert parse(["classify", "--rounds", "5"]).rounds == 5


def test_the_size_of_the_install_is_read() -> None:
    """The size is what deploy/check.sh prints, and nothing else will do."""
    script = Path(__file__).parents[3] / "deploy" / "check.sh"
    assert 'echo "Installed size: $size_mb MB' in script.read_text()

    assert parse_size("Installing\nInstalled size: 212 MB (limit 250 MB)\n") == 212
    with pytest.raises(RuntimeError, match="no size"):
        parse_size("Installing\n")


def test_latentd_is_sent_what_it_documents() -> None:
    """A raw PNG and JSON ask for all ten probabilities; tensors come and go as bytes."""
    assert classify.send_png(b"png").path == "/v1/classify?top_k=10"
    assert json.loads(json_bodies.send_json("image").body) == {"images": ["image"], "top_k": 10}

    images = np.zeros((2, 1, 28, 28), np.float32)
    assert np.load(io.BytesIO(tensors.send_npy(images).body)).shape == images.shape
    binary = tensors.send_binary(images)
    size = int(dict(binary.headers)["Inference-Header-Content-Length"])
    assert json.loads(binary.body[:size])["inputs"][0]["shape"] == [2, 1, 28, 28]
    assert len(binary.body) == size + images.nbytes


def test_a_tensor_is_read_from_the_end_of_an_answer() -> None:
    """The bytes of the one output stand behind the JSON."""
    latents = np.arange(6, dtype=np.float32).reshape(2, 3)
    output = {"name": "latents", "shape": [2, 3], "parameters": {"binary_data_size": 24}}

    read = tensors.read_binary(json.dumps({"outputs": [output]}).encode() + latents.tobytes())

    assert np.array_equal(read, latents)


def test_the_tail_of_a_round_is_p99_over_p50() -> None:
    """Latency is judged by the median of p99 / p50 over the rounds, and latentd's alone."""
    calm = latency.Round(100, [Sent(0.0, 0.001, good=True)] * 100)
    slow = [Sent(0.001, 0.01, good=True)] * 2
    rough = latency.Round(200, [*[Sent(0.0, 0.001, good=True)] * 98, *slow])

    assert calm.tail == 1
    assert rough.tail == 10
    row = latency.summarise("latentd", [calm, rough, calm])
    assert len(row) == len(latency.COLUMNS)
    assert row[-3:] == ("1 to 10", "<= 4", "yes")
    assert latency.summarise("latentd", [rough, rough, calm])[-1] == "no"
    assert latency.summarise("plain FastAPI", [calm])[-2:] == ("-", "-")


def test_workers_are_told_beside_one() -> None:
    """The second worker's row tells what it gives of one worker's rate in the same round."""
    assert workers.to_row(2, [180, 190], [100, 100]) == (2, 185, 1.85, "1.8 to 1.9", "-", "-")


def test_a_large_model_is_judged_by_the_shipped_ones_share(tmp_path: Path) -> None:
    """A model whose serving costs a smaller share of the work than the shipped one's is good."""
    (tmp_path / "classifier.onnx").write_bytes(b"\0" * 2_000_000)
    model = giant.Model("large", tmp_path, session=None)
    figures = {"shipped": [1000.0], "shipped 1": [500.0], "large": [100.0], "large 1": [80.0]}

    row = dict(zip(giant.COLUMNS, giant.to_row(model, 1, figures), strict=True))

    assert (row["MB"], row["share"], row["ms an image besides"]) == (2.0, 0.8, 2.5)
    assert (row["its share / the shipped one's"], row["met"]) == (1.6, "yes")
