"""Load a bundle's samplers and check them against the rest of the bundle."""

from service.artifact import Bundle, SamplerSpec
from service.artifact.samplers import (
    STORED_SAMPLERS,
    FlowNoise,
    Sampler,
    StandardNormal,
    StoredSampler,
)
from service.artifact.tensor_files import Tensors, read_tensors
from service.errors import ArtifactError

_KINDS = (*STORED_SAMPLERS, "prior", "gan-filtered")


def load_sampler(bundle: Bundle, spec: SamplerSpec) -> Sampler:
    """Return the sampler for one sample source of a bundle's manifest.

    Raises:
        ArtifactError: The kind is unknown, or the file is missing, damaged or does not match the
            bundle.
    """
    if spec.kind == "prior":
        return StandardNormal(bundle.manifest.latent_size(spec.space))
    if spec.kind == "gan-filtered":
        return StandardNormal(bundle.manifest.latent_size("gan"))
    if spec.kind in STORED_SAMPLERS:
        return _load_stored(bundle, spec)
    raise ArtifactError(f"unknown sampler kind {spec.kind!r}; known kinds: {', '.join(_KINDS)}")


def _load_stored(bundle: Bundle, spec: SamplerSpec) -> StoredSampler:
    if spec.file is None:
        raise ArtifactError(f"a sampler of kind {spec.kind!r} needs a file")
    shared = None if spec.codes is None else _read_codes(bundle, spec.codes)
    source = STORED_SAMPLERS[spec.kind].from_bytes(bundle.read(spec.file), shared)
    size = bundle.manifest.latent_size(spec.space)
    if source.latent_size != size:
        raise ArtifactError(
            f"expected latents of size {size} in {spec.file}, got size {source.latent_size}"
        )
    if isinstance(source, FlowNoise):
        _check_input(bundle, spec, source)
    classes = range(len(bundle.manifest.classes or ())) if spec.class_conditional else ()
    missing = sorted(set(classes) - source.classes)
    if missing:
        raise ArtifactError(f"{spec.file} contains no latents for the classes {missing}")
    return source


def _check_input(bundle: Bundle, spec: SamplerSpec, noise: FlowNoise) -> None:
    """Reject noise that the flow of its space cannot take."""
    flow = spec.networks[0]
    shape = bundle.manifest.networks[flow].input.shape
    if shape != (noise.input_size,):
        raise ArtifactError(
            f"expected noise and classes of shape {shape} in {spec.file}, as the {flow} takes, "
            f"got ({noise.input_size},)"
        )


def _read_codes(bundle: Bundle, file: str) -> Tensors:
    """Return the latents of another sampler, and their labels."""
    tensors = read_tensors(bundle.read(file), "codes", "labels")
    return {name: tensors[name] for name in ("codes", "labels")}
