"""The operations on arrays."""

import numpy as np
import pytest

from service.errors import InvalidInputError
from service.inference import operations
from service.inference.model import CHUNK, Model
from tests.support.fakes import LATENT_SIZE, NOISE_SIZE


def make_images(*levels: float) -> np.ndarray:
    """Return flat images of the fake bundle's shape."""
    return np.broadcast_to(
        np.array(levels, np.float32).reshape(-1, 1, 1, 1), (len(levels), 1, 8, 6)
    )


def test_encode_gives_one_latent_an_image(model: Model) -> None:
    """Latents come in the images' order; the autoencoder has no variances."""
    encoding = operations.encode(model, make_images(0.25, 0.75), "autoencoder")

    assert encoding.latents.tolist() == [[0.25] * LATENT_SIZE, [0.75] * LATENT_SIZE]
    assert encoding.log_variances is None


def test_encode_in_the_vae_space(model: Model) -> None:
    """The VAE gives means first and log-variances second."""
    encoding = operations.encode(model, make_images(0.25), "vae")

    assert encoding.latents.tolist() == [[0.25] * LATENT_SIZE]
    assert encoding.log_variances is not None
    assert encoding.log_variances.tolist() == [[-2.0] * LATENT_SIZE]


@pytest.mark.parametrize("count", [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 3])
def test_large_batches_are_split_and_put_together(model: Model, count: int) -> None:
    """A batch of any size gives one output an input, in order."""
    levels = np.linspace(0, 1, count)

    latents = operations.encode(model, make_images(*levels), "vae").latents

    assert latents.shape == (count, LATENT_SIZE)
    assert np.allclose(latents[:, 0], levels, atol=1e-6)


def test_runs_are_bounded(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """No run of a network sees more images than the bound, and each is contiguous."""
    sizes = []
    encoder = model.networks["encoder"]
    run = encoder.run

    def record(batch: np.ndarray) -> list[np.ndarray]:
        sizes.append((len(batch), batch.flags.c_contiguous))
        return run(batch)

    monkeypatch.setattr(encoder, "run", record)

    operations.encode(model, make_images(*[0.5] * (CHUNK + 1)), "autoencoder")

    assert sizes == [(CHUNK, True), (1, True)]


def test_reconstruct_measures_each_image(model: Model) -> None:
    """The error is the mean square; the percentile is the share of the test set at most as bad."""
    images = make_images(0.5, 0.5, 0.5).copy()
    images[1, :, :4], images[1, :, 4:] = 0.4, 0.6
    images[2, :, :4], images[2, :, 4:] = 0, 1

    result = operations.reconstruct(model, images, "autoencoder")

    assert result.mse == pytest.approx([0, 0.01, 0.25], abs=1e-7)
    assert result.anomaly_percentile[[0, 2]].tolist() == [25, 100]
    assert result.anomaly_percentile[1] in {25, 50}


def test_sample_decodes_what_it_drew(model: Model) -> None:
    """Each image is decoded from the latent beside it."""
    generator = np.random.Generator(np.random.PCG64(0))

    result = operations.sample(model, "kde", 5, generator, label=2)

    assert result.latents.shape == (5, LATENT_SIZE)
    assert np.allclose(result.images[:, 0, 0, 0], np.clip(result.latents[:, 0], 0, 1))


def test_a_gan_decodes_its_noise(model: Model) -> None:
    """The latents of a GAN are what its generator takes, of a size of their own."""
    generator = np.random.Generator(np.random.PCG64(0))

    result = operations.sample(model, "gan", 5, generator)

    assert result.latents.shape == (5, NOISE_SIZE)
    assert np.allclose(result.images[:, 0, 0, 0], np.clip(result.latents[:, 0], 0, 1))


@pytest.mark.parametrize("count", [1, CHUNK + 1])
def test_a_filtered_gan_decodes_the_codes_of_its_images(model: Model, count: int) -> None:
    """The same noise as the GAN's goes through the generator, the encoder and the decoder."""
    plain, filtered = (
        operations.sample(model, source, count, np.random.Generator(np.random.PCG64(0)))
        for source in ("gan", "gan-filtered")
    )

    assert filtered.latents.shape == (count, LATENT_SIZE)
    assert np.allclose(
        filtered.latents, operations.encode(model, plain.images, "autoencoder").latents
    )
    assert np.allclose(filtered.images, plain.images, atol=1e-6)


@pytest.mark.parametrize("steps", [2, 3, 300])
def test_interpolate_is_even_and_ends_at_its_ends(model: Model, steps: int) -> None:
    """The ends are exact, and the steps between them equal."""
    ends = np.array([[0.1] * LATENT_SIZE, [0.9, 0, 0, 0]], np.float32)

    result = operations.interpolate(model, ends, steps, "autoencoder")

    assert np.array_equal(result.latents[[0, -1]], ends)
    assert np.allclose(np.diff(result.latents[:, 0]), 0.8 / (steps - 1), atol=1e-6)
    assert len(result.images) == steps


def test_numbers_that_are_not_finite_are_refused(model: Model) -> None:
    """What a network makes of absurd latents is never answered."""
    with pytest.raises(InvalidInputError, match="decoder gives non-finite numbers"):
        operations.decode(model, np.full((1, LATENT_SIZE), 3e38, np.float32), "autoencoder")
