"""Samplers: each is loaded, or rejected with the reason."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from service.artifact import Bundle, SamplerSpec
from service.artifact.samplers import FlowNoise, KernelDensity
from service.errors import ArtifactError
from service.inference.model import load_model
from service.inference.sampling import load_sampler
from tests.support.fakes import FakeRuntime, write_bundle

CODES = np.zeros((3, 4), dtype=np.float32)
LABELS = np.array([0, 1, 1])
ONES = np.ones(4, np.float32)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A complete bundle."""
    return write_bundle(tmp_path, "full")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (
            SamplerSpec(kind="spline", space="autoencoder"),
            "unknown sampler kind 'spline'; known kinds: uniform,",
        ),
        (SamplerSpec(kind="kde", space="autoencoder"), "needs a file"),
        (SamplerSpec(kind="kde", space="vae", file="errors.safetensors"), "missing"),
    ],
)
def test_invalid_sampler_is_rejected(bundle: Bundle, spec: SamplerSpec, reason: str) -> None:
    """A sampler of an unknown kind or without its file is rejected with the reason."""
    with pytest.raises(ArtifactError, match=reason):
        load_sampler(bundle, spec)


@pytest.mark.parametrize(
    ("density", "reason"),
    [
        (
            KernelDensity(CODES[:, :3], ONES[:3], 0.2, LABELS),
            "expected latents of size 4 in kde.safetensors, got size 3",
        ),
        (KernelDensity(CODES, ONES, 0.2, LABELS), r"contains no latents for the classes \[2\]"),
        (KernelDensity(CODES, ONES, 0.2), r"contains no latents for the classes \[0, 1, 2\]"),
    ],
)
def test_density_of_another_bundle_is_rejected(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, density: KernelDensity, reason: str
) -> None:
    """A density must have the latent size of its space and latents for every class."""
    monkeypatch.setattr(Bundle, "read", lambda *_: density.to_bytes())

    with pytest.raises(ArtifactError, match=reason):
        load_sampler(bundle, bundle.manifest.samplers["kde"])


def test_error_names_the_bundle_once(bundle: Bundle) -> None:
    """The error of an invalid sampler begins with the bundle's reference, once."""
    manifest = bundle.manifest.model_copy(
        update={"samplers": {"spline": SamplerSpec(kind="spline", space="vae")}}
    )

    with pytest.raises(ArtifactError, match=r"^full@1: unknown sampler kind 'spline'"):
        load_model(dataclasses.replace(bundle, manifest=manifest), FakeRuntime())


@pytest.mark.parametrize(
    ("noise", "reason"),
    [
        (FlowNoise(ONES, np.array([0.5, 0.5, 0])), r"contains no latents for the classes \[2\]"),
        (FlowNoise(ONES, np.full(4, 0.25)), r"shape \(7,\) .* as the flow takes, got \(8,\)"),
        (FlowNoise(ONES[:3], np.full(3, 1 / 3)), "expected latents of size 4 .*, got size 3"),
    ],
)
def test_noise_of_another_flow_is_rejected(tmp_path: Path, noise: FlowNoise, reason: str) -> None:
    """The noise must have the latent size of its space and the classes of the bundle."""
    bundle = write_bundle(tmp_path, "full", flow=noise)

    with pytest.raises(ArtifactError, match=reason):
        load_model(bundle, FakeRuntime())
