"""The artifact contract: the only modules that training and service share."""

from service.artifact.manifest import Manifest
from service.artifact.specs import (
    SPACE_NETWORKS,
    DetectorSpec,
    GraphFile,
    ImageSpec,
    Metric,
    NetworkSpec,
    Provenance,
    SamplerSpec,
    SpaceSpec,
    TensorSpec,
)
from service.artifact.store import (
    Bundle,
    Fingerprint,
    Store,
    fingerprint,
    list_bundles,
    open_bundle,
    publish,
    stage,
    survey,
    write_manifest,
)

__all__ = [
    "SPACE_NETWORKS",
    "Bundle",
    "DetectorSpec",
    "Fingerprint",
    "GraphFile",
    "ImageSpec",
    "Manifest",
    "Metric",
    "NetworkSpec",
    "Provenance",
    "SamplerSpec",
    "SpaceSpec",
    "Store",
    "TensorSpec",
    "fingerprint",
    "list_bundles",
    "open_bundle",
    "publish",
    "stage",
    "survey",
    "write_manifest",
]
