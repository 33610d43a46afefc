"""`latentd refit`: further sample sources, or new networks, for a published bundle."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from service.artifact import open_bundle
from service.artifact.specs import ANOMALY_MAPS
from service.artifact.tensor_files import read_reference_errors, read_tensors
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


def test_a_retrained_network_replaces_its_space(store: Path, tmp_path: Path) -> None:
    """The VAE, its sources and its metrics change; all other networks and metrics are the same.

    A density with other settings is fitted again too.
    """
    other = tmp_path / "store"
    shutil.copytree(store, other)
    flags = ["--store", str(other), "--runs", str(tmp_path / "runs"), "--device", "cpu"]
    values = ["vae.epochs=1", "density.max_codes=50"]
    values.append('samplers.sources=["kde", "vae-gmm", "prior"]')
    sets = [word for value in values for word in ("--set", value)]

    assert refit(["digits", "--networks", "vae", *flags, *sets]) == 0

    before, after = (open_bundle(other, "digits", version) for version in (1, 3))
    same = {
        name
        for name, spec in before.manifest.networks.items()
        if before.read(spec.formats["onnx"].file)
        == after.read(after.manifest.networks[name].formats["onnx"].file)
    }
    changed_networks = before.manifest.networks.keys() - same - set(ANOMALY_MAPS)
    assert changed_networks == {"vae_encoder", "vae_decoder"}  # detectors are fitted again too
    metrics = before.manifest.metrics, after.manifest.metrics
    changed = {name for name in metrics[0] if metrics[0][name] != metrics[1][name]}
    assert changed == {"vae_mse", "vae_ssim", "vae_elbo", "vae_kl"}
    errors = read_reference_errors(after.read(after.manifest.spaces["vae"].reference))
    assert errors.mean() == pytest.approx(metrics[1]["vae_mse"].value)
    assert len(read_tensors(after.read("kde.safetensors"))["codes"]) == 50
    assert before.read("vae_gmm.safetensors") != after.read("vae_gmm.safetensors")
    assert after.manifest.provenance.epochs["vae"] == 1
    assert "; latentd refit digits --networks vae --set" in after.manifest.provenance.command


def test_a_recipe_without_the_section_is_rejected(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the missing section, the recipe and the flag that chooses another."""
    flags = ["--store", str(store), "--runs", str(tmp_path)]

    assert refit(["digits", "--networks", "gan", *flags]) == 1
    error = capsys.readouterr().err
    assert "in the recipe digits, it lacks gan; choose another with --recipe" in error
    assert not list(tmp_path.iterdir())


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
