"""The training commands, from images to a published bundle."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from service.artifact import open_bundle
from service.artifact.samplers import KernelDensity
from service.artifact.specs import ANOMALY_MAPS
from service.artifact.tensor_files import read_reference_errors
from service.inference import operations
from service.inference.model import load_model
from service.inference.operations import run_alone
from service.runtimes.onnx import OnnxRuntime
from service.runtimes.torchscript import TorchScriptRuntime
from training.commands.evaluate import evaluate
from training.commands.export import export
from training.commands.train import train

FORMS = {"onnx": OnnxRuntime, "torchscript": TorchScriptRuntime}
FEW = ["--set", "density.search_codes=50", "--set", "detection.steps=20"]
QUICK = ["--device", "cpu", "--epochs", "1", *FEW]


def write_images(folder: Path, classes: tuple[str, ...], count: int = 12) -> Path:
    """Write `count` colour images of 32 x 32 per class, each class with its own tint."""
    generator = np.random.default_rng(0)
    for index, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = generator.integers(0, 128, (32, 32, 3))
            pixels[..., index % 3] += 127
            path = folder / name / f"{number}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    return folder


def test_training_publishes_a_complete_bundle(digits_store: Path) -> None:
    """`latentd train digits` publishes all networks, spaces, samplers and metrics."""
    manifest = open_bundle(digits_store, "digits", 1).manifest

    assert set(manifest.networks) == {
        "encoder",
        "decoder",
        "denoiser",
        "classifier",
        "vae_encoder",
        "vae_decoder",
        "flow",
        "vae_flow",
        *ANOMALY_MAPS,
    }
    assert set(manifest.spaces) == {"autoencoder", "vae"}
    assert set(manifest.samplers) == {
        "uniform-global",
        "uniform-per-dimension",
        "centroid",
        "kde",
        "class-kde",
        "pca-kde",
        "gmm",
        "flow",
        "vae-flow",
        "vae-uniform-global",
        "vae-uniform-per-dimension",
        "vae-kde",
        "vae-gmm",
        "prior",
    }
    assert manifest.default_source == "kde"
    assert set(manifest.metrics) == {
        "reconstruction_mse",
        "reconstruction_ssim",
        "pca_mse",
        "pca_ssim",
        "pca_accuracy",
        "noisy_mse_1.0",
        "occluded_mse",
        "denoise_mse_0.3",
        "denoise_mse_0.6",
        "classifier_accuracy",
        "vae_mse",
        "vae_ssim",
        "vae_elbo",
        "vae_kl",
    }
    assert all(metric.split == "test" for metric in manifest.metrics.values())
    assert manifest.classes == tuple("0123456789")


def test_the_manifest_contains_the_provenance(digits_store: Path) -> None:
    """The provenance has the command, data and epochs, without local paths."""
    bundle = open_bundle(digits_store, "digits", 1)
    provenance = bundle.manifest.provenance

    assert provenance.command == ("latentd train digits --epochs 3 --set density.search_codes=200")
    assert provenance.images == {"train": 1293, "validation": 144, "test": 360}
    assert set(provenance.epochs) == {"autoencoder", "denoiser", "vae", "classifier"}
    assert str(digits_store.parent) not in (bundle.folder / "manifest.json").read_text()


def test_no_file_of_a_bundle_contains_local_paths(digits_store: Path) -> None:
    """The stack traces of the exporters are removed."""
    bundle = open_bundle(digits_store, "digits", 1)
    project = str(Path(__file__).parents[2]).encode()

    for file in bundle.manifest.files:
        assert project not in bundle.read(file), file


@pytest.mark.parametrize("form", FORMS)
def test_the_service_runs_every_graph_of_a_trained_bundle(digits_store: Path, form: str) -> None:
    """Each graph loads in the service's runtime and returns the shapes of the manifest."""
    bundle = open_bundle(digits_store, "digits", 1)
    runtime = FORMS[form](1)

    for network in bundle.manifest.networks.values():
        loaded = runtime.load(bundle.read(network.formats[form].file), network)
        outputs = loaded.run(np.zeros((3, *network.input.shape), np.float32))
        assert [output.shape for output in outputs] == [
            (3, *tensor.shape) for tensor in network.outputs
        ]


def test_the_service_samples_from_every_source_of_a_trained_bundle(digits_store: Path) -> None:
    """Each source draws and decodes, for every class if it is class-conditional."""
    model = load_model(open_bundle(digits_store, "digits", 1), OnnxRuntime(1))

    for name, spec in model.manifest.samplers.items():
        for label in [None, *range(10)] if spec.class_conditional else [None]:
            rng = np.random.Generator(np.random.PCG64(0))
            sample = operations.sample(model, name, 20, rng, label=label)
            result = run_alone(model, sample)
            assert result.images.shape == (20, 1, 8, 8), name


def test_densities_and_reference_errors_can_be_read(digits_store: Path) -> None:
    """The density contains labelled latents; there is one error per test image."""
    bundle = open_bundle(digits_store, "digits", 1)

    density = KernelDensity.from_bytes(bundle.read("kde.safetensors"))
    errors = read_reference_errors(bundle.read("autoencoder_errors.safetensors"))

    assert density.codes.shape == (1293, 8)
    assert density.labels is not None
    assert set(density.labels) == set(range(10))
    assert errors.shape == (360,)
    mean = bundle.manifest.metrics["reconstruction_mse"].value
    assert errors.mean() == pytest.approx(mean, rel=1e-4)


def test_evaluating_a_finished_run_gives_the_same_metrics(
    digits_run: Path, digits_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`latentd evaluate` prints the metrics of the manifest."""
    manifest = open_bundle(digits_store, "digits", 1).manifest

    status = evaluate([str(digits_run), "--device", "cpu"])

    printed = capsys.readouterr().out
    assert status == 0
    for metric in manifest.metrics.values():
        assert f"{metric.value:.5g}" in printed


def test_exporting_a_finished_run_publishes_a_version(
    digits_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`latentd export RUN` finds the run by name; the first version is 1."""
    places = ["--runs", str(digits_run.parent), "--store", str(tmp_path), "--device", "cpu"]

    status = export(["digits", *places])

    assert status == 0
    assert "published digits, version 1" in capsys.readouterr().out
    assert open_bundle(tmp_path, "digits", 1).manifest.provenance.dataset == "digits"


def test_a_folder_of_colour_images_becomes_a_bundle(tmp_path: Path) -> None:
    """`latentd train --dataset FOLDER` infers size, channels, classes and name."""
    folder = write_images(tmp_path / "My Photos", ("blue", "green", "red"))
    places = ["--runs", str(tmp_path / "runs"), "--store", str(tmp_path / "store")]

    status = train(["--dataset", str(folder), *places, *QUICK])

    manifest = open_bundle(tmp_path / "store", "my-photos", 1).manifest
    assert status == 0
    assert manifest.image.shape == (3, 32, 32)
    assert manifest.classes == ("blue", "green", "red")
    assert manifest.provenance.dataset == "My Photos"
    assert "classifier" in manifest.networks
    assert str(tmp_path) not in manifest.model_dump_json()


def test_a_flat_folder_becomes_a_bundle_without_a_classifier(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Images without class folders train all networks except the classifier."""
    folder = write_images(tmp_path / "flat", (".",), 24)
    places = ["--runs", str(tmp_path / "runs"), "--store", str(tmp_path / "store")]
    small = ["--set", "autoencoder.channels=[4]", "--set", "autoencoder.latent_size=4"]
    recipe = tmp_path / "small.toml"
    recipe.write_text("[data]\n[autoencoder]\n[classifier]\n")

    status = train([str(recipe), "--dataset", str(folder), *places, *QUICK, *small])

    manifest = open_bundle(tmp_path / "store", "flat", 1).manifest
    assert status == 0
    assert "skipped classifier" in capsys.readouterr().out
    assert set(manifest.networks) == {"encoder", "decoder", *ANOMALY_MAPS}
    assert manifest.classes is None
    assert manifest.samplers["kde"].class_conditional is False


TIMED = ["--device", "cpu", "--minutes", "0.02", *FEW]


def test_a_timed_training_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says the plan and the result, writes previews, and serves networks no worse than PCA."""
    folder = write_images(tmp_path / "tints", ("blue", "green"), 20)
    places = ["--runs", str(tmp_path / "runs"), "--store", str(tmp_path / "store")]

    status = train([str(folder), *places, *TIMED])

    printed = capsys.readouterr().out
    manifest = open_bundle(tmp_path / "store", "tints", 1).manifest
    errors = [manifest.metrics[f"{name}_mse"].value for name in ("reconstruction", "pca")]
    assert status == 0
    assert "training takes about 0.02 minutes" in printed
    assert "The autoencoder is" in printed
    assert "logistic regression on PCA codes" in printed
    assert (tmp_path / "runs" / "tints" / "autoencoder" / "preview.png").exists()
    assert errors[0] <= 1.02 * errors[1]
    assert {form for network in manifest.networks.values() for form in network.formats} == {"onnx"}


def test_a_training_continues_from_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--from NAME` with more images keeps the earlier run, and publishes the next version."""
    folder = write_images(tmp_path / "tints", ("blue", "green"), 20)
    places = ["--runs", str(tmp_path / "runs"), "--store", str(tmp_path / "store")]
    train([str(folder), *places, *TIMED])
    for path in sorted((folder / "blue").glob("*.png")):
        with Image.open(path) as image:
            image.rotate(90).save(path.with_name(f"rotated-{path.name}"))

    status = train([str(folder), "--from", "tints", *places, *TIMED])

    first, second = (open_bundle(tmp_path / "store", "tints", n).manifest for n in (1, 2))
    assert status == 0, capsys.readouterr().err
    assert (tmp_path / "runs" / "tints.1" / "run.json").exists()
    assert first.spaces["autoencoder"].latent_size == second.spaces["autoencoder"].latent_size
    assert sum(second.provenance.images.values()) == sum(first.provenance.images.values()) + 20


def test_a_dry_run_says_the_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Latent sizes, steps and time, and nothing is written."""
    folder = write_images(tmp_path / "tints", ("blue", "green"), 20)

    status = train([str(folder), "--dry-run", "--runs", str(tmp_path / "runs"), *TIMED])

    printed = capsys.readouterr().out
    assert status == 0
    assert "training takes about 0.02 minutes" in printed
    assert "autoencoder: " in printed
    assert not (tmp_path / "runs").exists()


def test_a_run_of_another_recipe_is_rejected(
    digits_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the different keys and --fresh, and the run is unchanged."""
    before = (digits_run / "run.json").read_text()

    status = train(["digits", "--runs", str(digits_run.parent), "--epochs", "4"])

    assert status == 1
    message = capsys.readouterr().err
    assert "autoencoder.epochs" in message
    assert "--fresh" in message
    assert (digits_run / "run.json").read_text() == before


def test_an_unfinished_run_is_not_exported(
    digits_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the missing networks and the command that resumes the run."""
    folder = tmp_path / "started"
    folder.mkdir()
    run = json.loads((digits_run / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(run))

    status = export([str(folder), "--store", str(tmp_path / "store")])

    message = capsys.readouterr().err
    assert status == 1
    assert "missing: autoencoder, denoiser, vae, classifier" in message
    assert "latentd train digits" in message
    assert not (tmp_path / "store").exists()


def test_onnx_graphs_are_single_files_with_a_dynamic_batch(digits_store: Path) -> None:
    """Loading from bytes would fail with external weights."""
    bundle = open_bundle(digits_store, "digits", 1)

    for network in bundle.manifest.networks.values():
        content = bundle.read(network.formats["onnx"].file)
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        assert session.get_inputs()[0].shape == ["batch", *network.input.shape]
