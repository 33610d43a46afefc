"""The examples in the client's README, run against the shipped models."""

import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from latentd_client import Client
from service.runtimes import open_runtime
from service.settings import Settings
from tests.support.servers import run_service

ROOT = Path(__file__).parents[3]
README = (ROOT / "client" / "README.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each example runs as written, and gives the shapes and labels that it names."""
    monkeypatch.chdir(tmp_path)
    results: list[dict[str, Any]] = []
    with run_service(Settings(models_store=ROOT / "models_store"), open_runtime) as running:
        url = str(running.base_url).rstrip("/")
        with Client(url, model="mnist") as client:
            for digit, file in (("7", "seven.png"), ("9", "nine.jpg")):
                pixels = client.sample(class_=digit, seed=3).images[0, 0] * 255
                Image.fromarray(pixels.round().astype("u1")).save(file)
        for example in EXAMPLES:
            names: dict[str, Any] = {}
            exec(example.replace("http://localhost:8000", url), names)  # noqa: S102 - our own
            results.append(names)

    first, second, third = results
    assert (first["prediction"].label, first["images"].shape) == ("7", (2, 1, 28, 28))
    assert second["images"].shape == (16, 1, 28, 28)
    assert [predictions[0].label for predictions in third["predictions"]] == ["7", "9"]


def test_every_method_is_mentioned() -> None:
    """The README names each method of the client."""
    methods = {name for name in vars(Client) if not name.startswith("_")} - {"close"}

    assert {name for name in methods if f"`{name}`" not in README} == set()
