"""The samplers: each of a bundle's sources, loaded and checked against the rest of the bundle."""

from service.artifact import Bundle, SamplerSpec
from service.artifact.samplers import (
    STORED_SAMPLERS,
    FilteredGan,
    RunNetwork,
    Sampler,
    StandardNormal,
    StoredSampler,
)
from service.errors import ArtifactError

_KINDS = (*STORED_SAMPLERS, "prior", "gan-filtered")


def load_sampler(bundle: Bundle, spec: SamplerSpec, run: RunNetwork) -> Sampler:
    """Return the source that a manifest describes.

    Args:
        bundle: Where its file lies.
        spec: What the manifest says of it.
        run: Runs the bundle's networks, for a source that needs them.

    Raises:
        ArtifactError: its kind is unknown, or its file is not what it should be.
    """
    if spec.kind == "prior":
        return StandardNormal(bundle.manifest.latent_size(spec.space))
    if spec.kind == "gan-filtered":
        return FilteredGan(StandardNormal(bundle.manifest.latent_size("gan")), run)
    if spec.kind in STORED_SAMPLERS:
        return _load_stored(bundle, spec)
    raise ArtifactError(f"sampler kind {spec.kind!r} is unknown; known: {', '.join(_KINDS)}")


def _load_stored(bundle: Bundle, spec: SamplerSpec) -> StoredSampler:
    if spec.file is None:
        raise ArtifactError(f"a {spec.kind} sampler needs a file")
    source = STORED_SAMPLERS[spec.kind].from_bytes(bundle.read(spec.file))
    if source.latent_size != bundle.manifest.latent_size(spec.space):
        raise ArtifactError(f"{spec.file} holds codes of another latent size")
    wanted = range(len(bundle.manifest.classes or ())) if spec.class_conditional else ()
    if not source.classes.issuperset(wanted):
        raise ArtifactError(f"{spec.file} lacks codes for some classes")
    return source
