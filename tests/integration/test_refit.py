"""`latentd refit`: further sample sources for a published bundle."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from service.artifact import open_bundle
from service.artifact.specs import ANOMALY_MAPS
from service.inference import operations
from service.inference.model import load_model
from service.inference.operations import run_alone
from service.runtimes import open_runtime
from training.commands.refit import refit

TINY = ["flow.width=16", "flow.epochs=1", "flow.pairs=64", "flow.distillation_epochs=1"]
NEW = ["flow.blocks=1", 'samplers.sources=["kde", "gmm", "prior", "flow", "vae-flow"]']


@pytest.fixture(scope="module")
def store(digits_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store with a digits bundle without flows, and its refitted next version."""
    store = tmp_path_factory.mktemp("refit") / "store"
    shutil.copytree(digits_store, store)
    folder = store / "digits" / "1"
    manifest = open_bundle(store, "digits", 1).manifest
    recipe = {key: value for key, value in manifest.provenance.recipe.items() if key != "flow"}
    older = manifest.model_copy(
        update={
            "networks": {k: v for k, v in manifest.networks.items() if "flow" not in k},
            "samplers": {k: v for k, v in manifest.samplers.items() if "flow" not in k},
            "provenance": manifest.provenance.model_copy(update={"recipe": recipe}),
        }
    )
    (folder / "manifest.json").write_text(older.model_dump_json())
    sets = [word for text in (*TINY, *NEW) for word in ("--set", text)]
    flags = ["--store", str(store), "--runs", str(store.parent / "runs"), "--device", "cpu"]
    assert refit(["digits", *flags, *sets]) == 0
    return store


def test_the_networks_stay_and_flows_are_added(store: Path) -> None:
    """Graphs and metrics of the earlier version are the same; it gains flows in both spaces."""
    before, after = (open_bundle(store, "digits", version) for version in (1, 2))

    for name, spec in before.manifest.networks.items():
        file = spec.formats["onnx"].file
        assert before.read(file) == after.read(after.manifest.networks[name].formats["onnx"].file)
    assert before.manifest.metrics == after.manifest.metrics
    added = after.manifest.networks.keys() - before.manifest.networks.keys()
    assert added == {"flow", "vae_flow"}
    assert list(after.manifest.samplers) == ["kde", "gmm", "flow", "vae-flow", "prior"]
    assert before.read("kde.safetensors") == after.read("kde.safetensors")
    assert "; latentd refit digits --set flow.width=16" in after.manifest.provenance.command


@pytest.mark.parametrize("source", ["flow", "vae-flow"])
def test_backends_draw_the_same_from_a_flow(store: Path, source: str) -> None:
    """With the same seed and class, latents agree within 1e-4 and images within 1/255."""
    bundle = open_bundle(store, "digits", 2)
    models = [load_model(bundle, open_runtime(backend, 1)) for backend in ("onnx", "torchscript")]

    first, second = (
        run_alone(model, operations.sample(model, source, 50, np.random.default_rng(1), label=3))
        for model in models
    )

    assert np.abs(first.latents - second.latents).max() <= 1e-4
    assert np.abs(first.images - second.images).max() <= 1 / 255


def test_other_images_are_rejected(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sources must be fitted to the images that the networks know."""
    flags = ["--store", str(store), "--runs", str(tmp_path), "--set", "seed=5"]

    assert refit(["digits", *flags]) == 1
    assert "expected the images that digits@2 was trained on" in capsys.readouterr().err


def test_a_missing_bundle_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the bundle and the store."""
    assert refit(["absent", "--store", str(tmp_path)]) == 1
    assert "has no bundle 'absent'" in capsys.readouterr().err


def test_detectors_are_added_to_a_bundle_without_any(digits_store: Path, tmp_path: Path) -> None:
    """An older bundle gains the operation `detect`; its other parts and their files stay."""
    store = tmp_path / "store"
    shutil.copytree(digits_store, store)
    manifest = open_bundle(store, "digits", 1).manifest
    networks = {k: v for k, v in manifest.networks.items() if k not in ANOMALY_MAPS}
    without = {"networks": networks, "detectors": {}, "default_detector": None}
    older = manifest.model_copy(update=without).model_dump_json()
    (store / "digits" / "1" / "manifest.json").write_text(older)
    flags = ["--store", str(store), "--runs", str(tmp_path / "runs"), "--device", "cpu"]

    assert refit(["digits", "--detectors", *flags, "--set", "detection.steps=5"]) == 0

    before, after = (open_bundle(store, "digits", version) for version in (1, 2))
    assert before.manifest.samplers == after.manifest.samplers
    assert before.manifest.metrics == after.manifest.metrics
    assert after.manifest.networks.keys() - before.manifest.networks.keys() == ANOMALY_MAPS
    for name in before.manifest.files.keys() & after.manifest.files.keys():
        if "detector" not in name and not name.startswith(("segmenter", "patch_density")):
            assert before.read(name) == after.read(name)
    assert "; latentd refit digits --detectors" in after.manifest.provenance.command
    model = load_model(after, open_runtime("onnx", 1))
    images = np.random.default_rng(0).random((3, 1, 8, 8), np.float32)
    found = run_alone(
        model, operations.detect(model, images, after.manifest.default_detector or "")
    )
    assert found.scores.shape == (3,)
    assert (found.scores > 1).all()  # noise is no digit
