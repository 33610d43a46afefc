"""The manifest of a bundle: networks, files, provenance and metrics.

The name and version of a bundle are its folder, `<store>/<name>/<version>/`. They are not in the
manifest, so a bundle can be copied to another store or renumbered without changes.
"""

import math
from collections.abc import Iterator
from typing import Annotated, Literal, Self

import jiter
from pydantic import Field, ValidationError, model_validator

from service.artifact.specs import (
    ANOMALY_MAPS,
    DECODERS,
    DETECTOR_NETWORKS,
    FLOWS,
    SPACE_NETWORKS,
    DetectorSpec,
    FileEntry,
    FileName,
    ImageSpec,
    Metric,
    NetworkName,
    NetworkSpec,
    Provenance,
    SamplerSpace,
    SamplerSpec,
    SpaceName,
    SpaceSpec,
    StrictModel,
    is_copying,
)
from service.errors import ArtifactError

SCHEMA_VERSION: Literal[2] = 2
"""The version that is written. Version 1 lacks the optional `shape`, `max_batch`, `codes`,
`examples`, `detectors` and `default_detector`."""
MAX_MANIFEST_BYTES = 256 * 1024

_QUALITY_METRIC = "validation_frechet"
"""The distance by which samplers are compared; lower is better."""
_MAP_RANK = 2
_ENCODER_OUTPUTS: dict[SpaceName, int] = {"autoencoder": 1, "vae": 2}


class Manifest(StrictModel):
    """A bundle; `files` lists every file that the other members name."""

    schema_version: Literal[1, 2] = SCHEMA_VERSION
    image: ImageSpec
    classes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    networks: dict[NetworkName, NetworkSpec]
    spaces: dict[SpaceName, SpaceSpec]
    samplers: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")], SamplerSpec]
    default_source: str | None = None
    detectors: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")], DetectorSpec] = Field(
        default_factory=dict
    )
    default_detector: str | None = None
    maps: dict[SpaceName, FileName] = Field(default_factory=dict)
    """The latent map of each space that has one."""
    report: FileName | None = None
    """A self-contained HTML page of metrics and images."""
    examples: FileName | None = None
    """A few test images, for the playground."""
    metrics: dict[str, Metric] = Field(default_factory=dict)
    provenance: Provenance
    files: dict[FileName, FileEntry]

    def find_default_source(self, *, class_conditional: bool) -> str | None:
        """Return the default sample source, or None if the bundle has no sample source.

        Without `default_source` the first source in the manifest's order is the default.

        Args:
            class_conditional: Whether the request selects a class. Then the result is a
                class-conditional source, if the bundle has one: the default source, else the
                source with the lowest `validation_frechet` that does not copy training images,
                else the first.
        """
        default = self.default_source or next(iter(self.samplers), None)
        conditional = [name for name, spec in self.samplers.items() if spec.class_conditional]
        if not class_conditional or not conditional or default in conditional:
            return default
        qualities = {
            name: self.samplers[name].quality.get(_QUALITY_METRIC)
            for name in conditional
            if not is_copying(self.samplers[name].quality)
        }
        distances = {name: metric.value for name, metric in qualities.items() if metric}
        return min(distances, key=distances.__getitem__, default=conditional[0])

    def list_detector_networks(self, name: str) -> tuple[NetworkName, ...]:
        """Return the networks that a detector of the bundle runs, in order."""
        spec = self.detectors[name]
        kinds = [self.detectors[member].kind for member in spec.members] or [spec.kind]
        return tuple(dict.fromkeys(network for k in kinds for network in DETECTOR_NETWORKS[k]))

    def latent_size(self, space: SamplerSpace) -> int:
        """Return the number of values in a latent that the decoder of `space` takes."""
        return self.networks[DECODERS[space]].input.shape[0]

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        problems = [
            *self._space_problems(),
            *self._network_problems(),
            *self._flow_problems(),
            *self._sampler_problems(),
            *self._detector_problems(),
            *(f"{file} is not in files" for file in self._named_files() if file not in self.files),
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _named_files(self) -> Iterator[str]:
        yield from (space.reference for space in self.spaces.values())
        for network in self.networks.values():
            yield from (graph.file for graph in network.formats.values())
        for sampler in self.samplers.values():
            yield from (file for file in (sampler.file, sampler.codes) if file is not None)
        yield from (detector.file for detector in self.detectors.values())
        yield from self.maps.values()
        yield from (file for file in (self.report, self.examples) if file is not None)

    def _space_problems(self) -> Iterator[str]:
        if "autoencoder" not in self.spaces:
            yield "space 'autoencoder' is missing"
        for name in self.maps.keys() - self.spaces.keys():
            yield f"map of space {name!r}, which is missing"
        for name, pair in SPACE_NETWORKS.items():
            if name not in self.spaces:
                if self.networks.keys() & set(pair):
                    yield f"networks of space {name!r}, which is missing"
                continue
            encoder, decoder = (self.networks.get(network) for network in pair)
            if encoder is None or decoder is None:
                yield f"space {name!r} needs the networks {' and '.join(pair)}"
                continue
            shapes = [*(output.shape for output in encoder.outputs), decoder.input.shape]
            size = self.spaces[name].latent_size
            shape = self.spaces[name].shape or (size,)
            if math.prod(shape) != size:
                yield f"space {name!r}: latents of shape {shape} have another size than {size}"
            if shapes != [(size,)] * (_ENCODER_OUTPUTS[name] + 1):
                yield f"space {name!r}: networks have latents {shapes}, latent_size is {size}"

    def _network_problems(self) -> Iterator[str]:
        for name, network in self.networks.items():
            takes_latents = name in DECODERS.values()
            if takes_latents and len(network.input.shape) != 1:
                yield f"{name} needs an input of shape (L,), has {network.input.shape}"
            takes_images = not takes_latents and name not in FLOWS.values()
            if takes_images and network.input.shape != self.image.shape:
                yield f"{name} needs an input of shape {self.image.shape}"
            if (takes_latents or name == "denoiser") and (
                network.outputs[0].shape != self.image.shape
            ):
                yield f"{name} needs an output of shape {self.image.shape}"
            if name in ANOMALY_MAPS and len(network.outputs[0].shape) != _MAP_RANK:
                yield f"{name} needs an output of shape (h, w), has {network.outputs[0].shape}"
        classifier = self.networks.get("classifier")
        classes = len(self.classes or ())
        if classifier and classifier.outputs[0].shape != (classes,):
            yield f"classifier has output {classifier.outputs[0].shape} for {classes} classes"

    def _flow_problems(self) -> Iterator[str]:
        classes = len(self.classes or ())
        for space, name in FLOWS.items():
            if name not in self.networks:
                continue
            if space not in self.spaces:
                yield f"{name} of space {space!r}, which is missing"
                continue
            network, size = self.networks[name], self.spaces[space].latent_size
            shapes = (network.input.shape, network.outputs[0].shape)
            if shapes != ((size + classes,), (size,)):
                yield (
                    f"{name} needs an input of shape ({size + classes},), for {size} latents and "
                    f"{classes} classes, and an output of shape ({size},), has {shapes}"
                )

    def _sampler_problems(self) -> Iterator[str]:
        for name, sampler in self.samplers.items():
            for network in sampler.networks:
                if network not in self.networks:
                    yield f"sampler {name!r} needs the {network}, which is missing"
        if self.default_source is not None and self.default_source not in self.samplers:
            yield f"default_source {self.default_source!r} is not a sampler"

    def _detector_problems(self) -> Iterator[str]:
        for name, detector in self.detectors.items():
            wrong = [m for m in detector.members if m not in self._list_single_detectors()]
            if wrong:
                yield f"detector {name!r} has members that are no single detectors: {wrong}"
                continue
            for network in self.list_detector_networks(name):
                if network not in self.networks:
                    yield f"detector {name!r} needs the {network}, which is missing"
        if self.default_detector not in {None, *self.detectors}:
            yield f"default_detector {self.default_detector!r} is not a detector"

    def _list_single_detectors(self) -> set[str]:
        return {name for name, spec in self.detectors.items() if not spec.members}


def parse_manifest(content: bytes) -> Manifest:
    """Parse a manifest.json strictly: unknown, duplicate and ill-typed members are rejected.

    Raises:
        ArtifactError: the content is not a valid manifest of this schema version.
    """
    if len(content) > MAX_MANIFEST_BYTES:
        raise ArtifactError(f"the manifest is larger than {MAX_MANIFEST_BYTES} bytes")
    try:
        members = jiter.from_json(content, catch_duplicate_keys=True, allow_inf_nan=False)
    except ValueError as error:
        raise ArtifactError(f"the manifest is not valid JSON: {error}") from error
    version = members.get("schema_version") if isinstance(members, dict) else None
    if version not in (1, SCHEMA_VERSION):
        raise ArtifactError(
            f"the manifest has schema_version {version!r}; expected 1 or {SCHEMA_VERSION}"
        )
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "manifest"
        raise ArtifactError(f"the manifest is invalid: {place}: {first['msg']}") from error
