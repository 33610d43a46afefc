"""Samplers: how latents are drawn. Training judges the same classes that the service draws with."""

from service.artifact.samplers.base import Sampler, StandardNormal, StoredSampler
from service.artifact.samplers.densities import (
    Centroids,
    ClassKernelDensity,
    GaussianMixture,
    KernelDensity,
    ProjectedDensity,
    Uniform,
)
from service.artifact.samplers.flow import FlowNoise

__all__ = [
    "STORED_SAMPLERS",
    "Centroids",
    "ClassKernelDensity",
    "FlowNoise",
    "GaussianMixture",
    "KernelDensity",
    "ProjectedDensity",
    "Sampler",
    "StandardNormal",
    "StoredSampler",
    "Uniform",
]

STORED_SAMPLERS: dict[str, type[StoredSampler]] = {
    "uniform": Uniform,
    "centroid": Centroids,
    "kde": KernelDensity,
    "class-kde": ClassKernelDensity,
    "pca-kde": ProjectedDensity,
    "gmm": GaussianMixture,
    "flow": FlowNoise,
}
"""The class that reads the file of each sampler kind."""
