"""The examples in the OpenAPI document, where the default model lacks what an operation needs."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from service.artifact import ImageSpec
from service.settings import Settings
from tests.support.fakes import write_bundle
from tests.support.problem_checks import OPERATIONS
from tests.support.servers import run_service

BARE = frozenset({"denoiser", "classes", "vae", "gan"})


def list_examples(client: httpx.Client) -> dict[str, dict[str, Any]]:
    """Return the example of each operation that has one."""
    paths = client.get("/openapi.json").json()["paths"]
    bodies = {
        operation: paths[f"/v1/{operation}"]["post"]["requestBody"]["content"]["application/json"]
        for operation in OPERATIONS
    }
    return {operation: body["example"] for operation, body in bodies.items() if "example" in body}


@pytest.mark.parametrize("newest", [frozenset(), BARE], ids=["highest version", "lower version"])
def test_an_example_names_a_model_that_can(tmp_path: Path, newest: frozenset[str]) -> None:
    """Each example is answered as sent: by another model, or its lower version, where need be."""
    write_bundle(tmp_path, "bare", without=BARE)
    write_bundle(tmp_path, "full", image=ImageSpec(channels=1, height=9, width=9))
    if newest:
        write_bundle(tmp_path, "full", without=newest)
    with run_service(Settings(models_store=tmp_path, default_model="bare")) as client:
        examples = list_examples(client)
        answers = {
            operation: client.post(f"/v1/{operation}", json=example)
            for operation, example in examples.items()
        }

    assert examples.keys() == set(OPERATIONS)
    assert {operation: answer.status_code for operation, answer in answers.items()} == (
        dict.fromkeys(OPERATIONS, 200)
    )
    named = {operation for operation, example in examples.items() if "model" in example}
    assert named == {"denoise", "classify"}


def test_no_example_of_what_no_model_can(tmp_path: Path) -> None:
    """An operation that no model has is documented without an example."""
    write_bundle(tmp_path, "bare", without=BARE)
    with run_service(Settings(models_store=tmp_path)) as client:
        examples = list_examples(client)

    assert examples.keys() == set(OPERATIONS) - {"denoise", "classify"}


def test_examples_follow_every_model(tmp_path: Path) -> None:
    """A model that is taken away is named no more."""
    write_bundle(tmp_path, "bare", without=BARE)
    write_bundle(tmp_path, "full")
    settings = Settings(models_store=tmp_path, default_model="bare", repository_control=True)
    with run_service(settings) as client:
        before = list_examples(client)["denoise"]["model"]
        client.post("/v2/repository/models/full/unload")
        after = list_examples(client)

    assert before == "full@1"
    assert "denoise" not in after
