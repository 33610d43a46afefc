"""The peers: pinned packages, verified predictions, and networks equal to latentd's."""

import asyncio
import importlib.util
import json
import re
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from benchmarks.harness.contenders import (
    make_list_reader,
    make_tensor_reader,
    pack_multipart,
    pack_tensor,
)
from benchmarks.harness.dataset import find_bundle, to_png
from benchmarks.harness.peer_environments import PEERS, is_current, read_versions
from benchmarks.harness.response_checks import check_prediction, classify, read_classes
from benchmarks.performance.training_epoch import EpochTimer, make_spec

PINS = sorted(PEERS.glob("*/requirements.txt"))
EXPECTED = {"shirt": 0.25, "shoe": 0.75}


def load_module(file: Path) -> ModuleType:
    """Return a peer's module, which belongs to no package."""
    spec = importlib.util.spec_from_file_location(f"peer_{file.parent.name}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("file", PINS, ids=lambda file: file.parent.name)
def test_every_package_of_a_peer_is_pinned(file: Path) -> None:
    """Each line names a package and one version, and no path or address."""
    lines = file.read_text().splitlines()

    assert lines
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.!+]+", line)] == []


def test_changed_pins_invalidate_an_environment(tmp_path: Path) -> None:
    """An environment is current if it was installed from the same pins."""
    pins = tmp_path / "requirements.txt"
    pins.write_text("a==1\n")
    environment = tmp_path / "environment"
    environment.mkdir()
    assert not is_current(environment, pins)

    (environment / "requirements.txt").write_text("a==1\n")
    assert is_current(environment, pins)

    pins.write_text("a==2\n")
    assert not is_current(environment, pins)


def test_versions_are_read_from_an_environment() -> None:
    """The versions are those of the installed packages."""
    expected = f"numpy {version('numpy')}, pillow {version('pillow')}"

    assert read_versions(sys.executable, ("numpy", "pillow")) == expected


def test_correct_prediction_passes() -> None:
    """Probabilities may differ within single precision."""
    body = json.dumps({"label": "shoe", "probabilities": [0.25001, 0.74999]})

    check_prediction(body.encode(), make_list_reader(["shirt", "shoe"]), EXPECTED)


@pytest.mark.parametrize(
    ("label", "probabilities", "message"),
    [
        ("shirt", [0.25, 0.75], "Expected the label shoe, got shirt"),
        ("shoe", [0.26, 0.74], "deviates by 0.01"),
    ],
)
def test_wrong_prediction_is_rejected(label: str, probabilities: list[float], message: str) -> None:
    """A wrong label or probability stops the measurement."""
    body = json.dumps({"label": label, "probabilities": probabilities})

    with pytest.raises(RuntimeError, match=message):
        check_prediction(body.encode(), make_list_reader(["shirt", "shoe"]), EXPECTED)


def test_open_inference_response_is_read() -> None:
    """The reader finds label and probabilities among the output tensors."""
    outputs = [
        {"name": "label", "data": ["shoe"]},
        {"name": "probabilities", "data": [0.25, 0.75]},
    ]

    assert make_tensor_reader(["shirt", "shoe"])({"outputs": outputs}) == ("shoe", EXPECTED)


def test_multipart_form_contains_the_file() -> None:
    """The form has one part with the bytes of the file, between two boundaries."""
    body, content_type = pack_multipart("image", b"\x89PNG")
    boundary = content_type.partition("boundary=")[2].encode()

    assert body.count(boundary) == 2
    assert b"\r\n\r\n\x89PNG\r\n--" in body


def test_tensor_contains_the_file_in_base64() -> None:
    """The tensor declares its bytes as base64."""
    (tensor,) = json.loads(pack_tensor(b"\x89PNG"))["inputs"]

    assert (tensor["datatype"], tensor["data"]) == ("BYTES", ["iVBORw=="])
    assert tensor["parameters"] == {"content_type": "base64"}


async def respond(app: Callable[..., Any], chunks: list[bytes]) -> tuple[dict[str, Any], bytes]:
    """Return the response's start message and body for a request body in chunks."""
    sent: list[dict[str, Any]] = []
    messages = iter(chunks)
    remaining = len(chunks)

    async def receive() -> dict[str, Any]:
        nonlocal remaining
        remaining -= 1
        return {"type": "http.request", "body": next(messages), "more_body": remaining > 0}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app({"type": "http"}, receive, send)
    start, body = sent
    return start, body["body"]


def test_bare_handler_classifies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bare handler reads a body in chunks and returns the prediction of ONNX Runtime."""
    bundle = find_bundle()
    monkeypatch.setenv("BENCHMARK_BUNDLE", str(bundle))
    monkeypatch.syspath_prepend(str(PEERS / "common"))
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    png = to_png(pixels)
    handler = load_module(PEERS / "bare_handler" / "app.py")

    start, body = asyncio.run(respond(handler.app, [png[:100], png[100:]]))

    assert start["status"] == 200
    assert dict(start["headers"])[b"content-length"] == str(len(body)).encode()
    check_prediction(body, make_list_reader(read_classes(bundle)), classify(bundle, pixels))


def test_lightning_peer_trains_the_network_of_the_recipe() -> None:
    """The peer's network has the parameter shapes of latentd's recipe `seed`."""
    from benchmarks.performance import own_epoch  # noqa: PLC0415 - imports torch

    spec = make_spec(0)
    own = own_epoch.Autoencoder(own_epoch.SHAPE, own_epoch.make_recipe(spec))
    peer = load_module(PEERS / "lightning" / "network.py").make_network(spec["latent_size"])

    assert [one.shape for one in peer.parameters()] == [one.shape for one in own.parameters()]


def test_other_number_of_parameters_is_rejected() -> None:
    """The training benchmark stops if the networks differ in size."""
    timer = EpochTimer()
    timer.check_parameters(1000)
    timer.check_parameters(1000)

    with pytest.raises(RuntimeError, match=r"Expected 1000 parameters.*got 999"):
        timer.check_parameters(999)
