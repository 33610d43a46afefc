"""The operations on arrays."""

from pathlib import Path

import numpy as np
import pytest

from service.artifact.samplers import FlowNoise
from service.errors import InvalidInputError
from service.inference import operations
from service.inference.model import Model, load_model
from service.inference.operations import run_alone
from service.runtimes.devices import CPU_IMAGES
from tests.support.fakes import LATENT_SIZE, NOISE_SIZE, FakeRuntime, write_bundle


def make_images(*levels: float) -> np.ndarray:
    """Return uniform images of the fake bundle's shape."""
    return np.broadcast_to(
        np.array(levels, np.float32).reshape(-1, 1, 1, 1), (len(levels), 1, 8, 6)
    )


def make_rng() -> np.random.Generator:
    """Return the same random numbers each time."""
    return np.random.Generator(np.random.PCG64(0))


def test_encode_returns_one_latent_per_image(model: Model) -> None:
    """Latents are in the order of the images; the autoencoder has no variances."""
    outputs = run_alone(model, operations.encode(make_images(0.25, 0.75), "autoencoder"))

    assert [output.tolist() for output in outputs] == [[[0.25] * LATENT_SIZE, [0.75] * LATENT_SIZE]]


def test_encode_in_the_vae_space(model: Model) -> None:
    """The VAE returns means first and log-variances second."""
    means, log_variances = run_alone(model, operations.encode(make_images(0.25), "vae"))

    assert means.tolist() == [[0.25] * LATENT_SIZE]
    assert log_variances.tolist() == [[-2.0] * LATENT_SIZE]


@pytest.mark.parametrize(
    "count", [1, CPU_IMAGES - 1, CPU_IMAGES, CPU_IMAGES + 1, 2 * CPU_IMAGES + 3]
)
def test_large_batches_are_split_and_joined(model: Model, count: int) -> None:
    """A batch of any size gives one output per input, in order."""
    levels = np.linspace(0, 1, count)

    latents = run_alone(model, operations.encode(make_images(*levels), "vae"))[0]

    assert latents.shape == (count, LATENT_SIZE)
    assert np.allclose(latents[:, 0], levels, atol=1e-6)


def test_runs_are_bounded(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run of a network has at most `CPU_IMAGES` images and is contiguous."""
    sizes = []
    encoder = model.networks["encoder"]
    run = encoder.run

    def record(batch: np.ndarray) -> list[np.ndarray]:
        sizes.append((len(batch), batch.flags.c_contiguous))
        return run(batch)

    monkeypatch.setattr(encoder, "run", record)

    run_alone(model, operations.encode(make_images(*[0.5] * (CPU_IMAGES + 1)), "autoencoder"))

    assert sizes == [(CPU_IMAGES, True), (1, True)]


def test_classify_ranks_the_classes(model: Model) -> None:
    """Each image has its `top_k` classes, most probable first, with their probabilities."""
    dark, light = run_alone(model, operations.classify(make_images(0.1, 0.9), 2))

    assert [index for index, _ in dark] == [0, 1]
    assert [index for index, _ in light] == [2, 1]
    assert dark[0][1] > dark[1][1] > 0


def test_reconstruct_measures_each_image(model: Model) -> None:
    """The error is the mean square; the percentile counts the test errors up to it."""
    images = make_images(0.5, 0.5, 0.5).copy()
    images[1, :, :4], images[1, :, 4:] = 0.4, 0.6
    images[2, :, :4], images[2, :, 4:] = 0, 1

    result = run_alone(model, operations.reconstruct(model, images, "autoencoder"))

    assert result.mse == pytest.approx([0, 0.01, 0.25], abs=1e-7)
    assert result.anomaly_percentile[[0, 2]].tolist() == [25, 100]
    assert result.anomaly_percentile[1] in {25, 50}


def test_sample_decodes_its_latents(model: Model) -> None:
    """Each image is decoded from the latent of the same index."""
    result = run_alone(model, operations.sample(model, "kde", 5, make_rng(), label=2))

    assert result.latents.shape == (5, LATENT_SIZE)
    assert np.allclose(result.images[:, 0, 0, 0], np.clip(result.latents[:, 0], 0, 1))


def test_a_gan_decodes_its_noise(model: Model) -> None:
    """The latents of a GAN are its generator's noise, which has another size."""
    result = run_alone(model, operations.sample(model, "gan", 5, make_rng()))

    assert result.latents.shape == (5, NOISE_SIZE)
    assert np.allclose(result.images[:, 0, 0, 0], np.clip(result.latents[:, 0], 0, 1))


@pytest.mark.parametrize("count", [1, CPU_IMAGES + 1])
def test_a_filtered_gan_decodes_the_latents_of_its_images(model: Model, count: int) -> None:
    """The GAN's noise passes through the generator, the encoder and the decoder."""
    plain, filtered = (
        run_alone(model, operations.sample(model, source, count, make_rng()))
        for source in ("gan", "gan-filtered")
    )

    assert filtered.latents.shape == (count, LATENT_SIZE)
    codes = run_alone(model, operations.encode(plain.images, "autoencoder"))[0]
    assert np.allclose(filtered.latents, codes)
    assert np.allclose(filtered.images, plain.images, atol=1e-6)


@pytest.mark.parametrize("steps", [2, 3, 300])
def test_interpolate_is_even_and_includes_both_ends(model: Model, steps: int) -> None:
    """The ends are exact, and the steps between them are equal."""
    ends = np.array([[0.1] * LATENT_SIZE, [0.9, 0, 0, 0]], np.float32)

    result = run_alone(model, operations.interpolate(ends, steps, "autoencoder"))

    assert np.array_equal(result.latents[[0, -1]], ends)
    assert np.allclose(np.diff(result.latents[:, 0]), 0.8 / (steps - 1), atol=1e-6)
    assert len(result.images) == steps


def test_non_finite_outputs_are_rejected(model: Model) -> None:
    """Absurd latents raise an error instead of returning non-finite images."""
    latents = np.full((1, LATENT_SIZE), 3e38, np.float32)

    with pytest.raises(InvalidInputError, match="decoder returns non-finite values"):
        run_alone(model, operations.decode(latents, "autoencoder"))


def make_flow_model(folder: Path) -> Model:
    """Return a fake model with a flow, which gives every latent the mean of noise and class."""
    weights = np.array([0.5, 0.25, 0.25])
    noise = FlowNoise(np.ones(LATENT_SIZE, np.float32), weights)
    return load_model(write_bundle(folder, "flowing", flow=noise), FakeRuntime())


@pytest.mark.parametrize("count", [1, CPU_IMAGES + 1])
def test_a_flow_turns_noise_and_class_into_latents(tmp_path: Path, count: int) -> None:
    """The flow runs on the drawn rows, and the decoder on its latents."""
    model = make_flow_model(tmp_path)

    result = run_alone(model, operations.sample(model, "flow", count, make_rng(), label=1))

    rows = model.samplers["flow"].draw(count, make_rng(), 1, 1.0)
    assert result.latents.shape == (count, LATENT_SIZE)
    assert np.allclose(result.latents, np.clip(rows.mean(axis=1), 0, 1)[:, None])
    assert np.allclose(result.images[:, 0, 0, 0], np.clip(result.latents[:, 0], 0, 1))
