"""The examples in the OpenAPI document when the default model lacks some operations."""

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
def test_example_names_a_model_with_the_operation(tmp_path: Path, newest: frozenset[str]) -> None:
    """An example names another model or version if the default model lacks the operation."""
    write_bundle(tmp_path, "bare", without=BARE)
    write_bundle(tmp_path, "full", image=ImageSpec(channels=1, height=9, width=9))
    if newest:
        write_bundle(tmp_path, "full", without=newest)
    with run_service(Settings(models_store=tmp_path, default_model="bare")) as client:
        examples = list_examples(client)
        responses = {
            operation: client.post(f"/v1/{operation}", json=example)
            for operation, example in examples.items()
        }

    assert examples.keys() == set(OPERATIONS)
    assert {operation: response.status_code for operation, response in responses.items()} == (
        dict.fromkeys(OPERATIONS, 200)
    )
    with_model = {operation for operation, example in examples.items() if "model" in example}
    assert with_model == {"denoise", "classify"}


def test_operation_without_a_model_has_no_example(tmp_path: Path) -> None:
    """An operation that no model has is documented without an example."""
    write_bundle(tmp_path, "bare", without=BARE)
    with run_service(Settings(models_store=tmp_path)) as client:
        examples = list_examples(client)

    assert examples.keys() == set(OPERATIONS) - {"denoise", "classify"}


def test_example_does_not_name_an_unloaded_model(tmp_path: Path) -> None:
    """The examples stop naming a model after it is unloaded."""
    write_bundle(tmp_path, "bare", without=BARE)
    write_bundle(tmp_path, "full")
    settings = Settings(models_store=tmp_path, default_model="bare", repository_control=True)
    with run_service(settings) as client:
        before = list_examples(client)["denoise"]["model"]
        client.post("/v2/repository/models/full/unload")
        after = list_examples(client)

    assert before == "full@1"
    assert "denoise" not in after
