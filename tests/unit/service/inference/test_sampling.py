"""The samplers of a bundle: loaded, or refused with the reason."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from service.artifact import Bundle, SamplerSpec
from service.artifact.densities import KernelDensity
from service.errors import ArtifactError
from service.inference.model import load_model
from service.inference.sampling import load_sampler
from tests.support.fakes import FakeRuntime, write_bundle

CODES = np.zeros((3, 4), dtype=np.float32)
LABELS = np.array([0, 1, 1])
ONES = np.ones(4, np.float32)


def refuse_to_run(*_: object) -> list[NDArray[np.float32]]:
    """Stand in for the networks of a model."""
    raise AssertionError("no network is run while a sampler is loaded")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A whole bundle."""
    return write_bundle(tmp_path, "full")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (
            SamplerSpec(kind="flow", space="autoencoder"),
            "'flow' is unknown; known: uniform,",
        ),
        (SamplerSpec(kind="kde", space="autoencoder"), "needs a file"),
        (SamplerSpec(kind="kde", space="vae", file="errors.safetensors"), "missing"),
    ],
)
def test_a_sampler_that_cannot_be_loaded(bundle: Bundle, spec: SamplerSpec, reason: str) -> None:
    """A sampler of an unknown kind, or without its file, is refused with the reason."""
    with pytest.raises(ArtifactError, match=reason):
        load_sampler(bundle, spec, refuse_to_run)


@pytest.mark.parametrize(
    ("density", "reason"),
    [
        (KernelDensity(CODES[:, :3], ONES[:3], 0.2, LABELS), "another latent size"),
        (KernelDensity(CODES, ONES, 0.2, LABELS), "lacks codes for some classes"),
        (KernelDensity(CODES, ONES, 0.2), "lacks codes for some classes"),
    ],
)
def test_a_density_of_another_bundle(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, density: KernelDensity, reason: str
) -> None:
    """A density must be of the space's size and hold codes of every class it can be asked for."""
    monkeypatch.setattr(Bundle, "read", lambda *_: density.to_bytes())

    with pytest.raises(ArtifactError, match=reason):
        load_sampler(bundle, bundle.manifest.samplers["kde"], refuse_to_run)


def test_a_bad_sampler_names_its_bundle(bundle: Bundle) -> None:
    """The bundle stands in the error, once."""
    manifest = bundle.manifest.model_copy(
        update={"samplers": {"flow": SamplerSpec(kind="flow", space="vae")}}
    )

    with pytest.raises(ArtifactError, match=r"^full@1: sampler kind 'flow'"):
        load_model(dataclasses.replace(bundle, manifest=manifest), FakeRuntime())
