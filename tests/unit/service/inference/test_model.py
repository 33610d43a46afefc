"""Loading of a bundle's networks, and the batches of their runs."""

from pathlib import Path

import numpy as np
import pytest

from service.artifact import Bundle, NetworkSpec
from service.artifact.manifest import Manifest
from service.artifact.samplers import ClassKernelDensity, KernelDensity
from service.artifact.specs import SamplerSpec
from service.artifact.store import describe_content
from service.errors import ArtifactError
from service.inference.model import load_model
from service.inference.sampling import load_sampler
from service.runtimes import Floats, Network
from tests.support.fakes import IMAGE, LATENT_SIZE, FakeRuntime, write_bundle


class RecordingNetwork:
    """Passes runs on, and records the size of each batch."""

    def __init__(self, inner: Network, sizes: list[int]) -> None:
        """Wrap a network."""
        self._inner = inner
        self._sizes = sizes

    def run(self, batch: Floats) -> list[Floats]:
        """See `service.runtimes.base.Network.run`."""
        self._sizes.append(len(batch))
        return self._inner.run(batch)


class RecordingRuntime(FakeRuntime):
    """Records loaded graphs and the sizes of batches."""

    def __init__(self) -> None:
        """Start without records."""
        super().__init__()
        self.loaded: list[bytes] = []
        self.sizes: list[int] = []

    def load(self, graph: bytes, spec: NetworkSpec) -> Network:
        """See `service.runtimes.base.Runtime.load`."""
        self.loaded.append(graph)
        return RecordingNetwork(super().load(graph, spec), self.sizes)


def change(bundle: Bundle, **members: object) -> Bundle:
    """Return a bundle with other members in its manifest."""
    manifest = Manifest.model_validate(
        {**{name: getattr(bundle.manifest, name) for name in Manifest.model_fields}, **members}
    )
    return Bundle(bundle.name, bundle.version, bundle.folder, manifest, bundle.digest)


def test_no_run_exceeds_the_largest_batch(tmp_path: Path) -> None:
    """A network with `max_batch` runs in chunks, in the warm-up too."""
    bundle, runtime = write_bundle(tmp_path, "full"), RecordingRuntime()
    networks = {
        name: spec.model_copy(update={"max_batch": 1})
        for name, spec in bundle.manifest.networks.items()
    }

    model = load_model(change(bundle, networks=networks), runtime)
    (latents,) = model.run("encoder", np.zeros((5, *IMAGE.shape), np.float32))

    assert latents.shape == (5, LATENT_SIZE)
    assert set(runtime.sizes) == {1}


def test_networks_with_the_same_graph_are_loaded_once(tmp_path: Path) -> None:
    """A VAE that also serves as the autoencoder has one decoder in memory."""
    bundle, runtime = write_bundle(tmp_path, "full"), RecordingRuntime()
    networks = {**bundle.manifest.networks, "vae_decoder": bundle.manifest.networks["decoder"]}

    model = load_model(change(bundle, networks=networks), runtime)

    assert model.networks["vae_decoder"] is model.networks["decoder"]
    assert len(runtime.loaded) == len(networks) - 1


@pytest.mark.parametrize("shape", [(2, 2), (4, 1, 1), (LATENT_SIZE,)])
def test_shape_of_a_latent_has_its_size(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """A spatial latent is described by its shape."""
    bundle = write_bundle(tmp_path, "full")
    spaces = {
        name: spec.model_copy(update={"shape": shape})
        for name, spec in bundle.manifest.spaces.items()
    }

    assert change(bundle, spaces=spaces).manifest.spaces["autoencoder"].shape == shape
    wrong = {name: spec.model_copy(update={"shape": (*shape, 3)}) for name, spec in spaces.items()}
    with pytest.raises(ValueError, match="have another size than 4"):
        change(bundle, spaces=wrong)


def test_a_sampler_uses_the_latents_of_another_file(tmp_path: Path) -> None:
    """The tensors that a file omits are read from the file that `codes` names."""
    bundle = write_bundle(tmp_path, "full")
    shared = KernelDensity.from_bytes(bundle.read("kde.safetensors"))
    assert shared.labels is not None
    classes = len(shared.labels)
    own = ClassKernelDensity(
        shared.codes,
        shared.labels,
        np.ones((classes, LATENT_SIZE), np.float32),
        np.full(classes, 0.5),
    )
    (bundle.folder / "class_kde.safetensors").write_bytes(own.to_bytes(omit=("codes", "labels")))
    content = (bundle.folder / "class_kde.safetensors").read_bytes()
    spec = SamplerSpec(
        kind="class-kde",
        space="autoencoder",
        file="class_kde.safetensors",
        codes="kde.safetensors",
        class_conditional=True,
    )
    changed = change(
        bundle,
        samplers={**bundle.manifest.samplers, "class-kde": spec},
        files={**bundle.manifest.files, "class_kde.safetensors": describe_content(content)},
    )

    loaded = load_sampler(changed, spec)

    rng = np.random.default_rng(0)
    assert loaded.draw(3, rng, 1, 1e-9).tolist() == [shared.codes[1].tolist()] * 3
    with pytest.raises(ArtifactError, match="tensor codes is missing"):
        load_sampler(changed, spec.model_copy(update={"codes": None}))
