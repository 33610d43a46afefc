"""Detectors on the networks of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from service.artifact.detectors import Detector, Measurement, StoredDetector, run_networks
from service.artifact.specs import DETECTOR_NETWORKS, NetworkName
from training.anomaly.made_up import Floats
from training.fitting.examples import Examples
from training.networks.layers import find_device

_CHUNK = 128


@dataclass(frozen=True, slots=True)
class NetworkRunner:
    """Runs networks by their names in a manifest."""

    modules: dict[NetworkName, nn.Module]

    @torch.no_grad()
    def run(self, networks: tuple[NetworkName, ...], images: Floats) -> dict[NetworkName, Floats]:
        """Return the first output of each network for images (N, C, H, W)."""
        steps = run_networks(networks, images)
        try:
            name, batch = next(steps)
            while True:
                name, batch = steps.send([self._run(self.modules[name], batch)])
        except StopIteration as stop:
            outputs: dict[NetworkName, Floats] = stop.value
            return outputs

    @staticmethod
    def _run(module: nn.Module, batch: Floats) -> Floats:
        device = find_device(module)
        batches = Examples(torch.from_numpy(np.ascontiguousarray(batch))).batches()
        outputs: Floats = torch.cat([module(b.to(device)).cpu() for b, _ in batches]).numpy()
        return outputs

    def measure_raw(
        self, detectors: Mapping[str, StoredDetector], images: Floats
    ) -> dict[str, Floats]:
        """Return the raw scores (N,) of images (N, C, H, W) by each detector, by its kind."""
        raw: dict[str, list[Floats]] = {kind: [] for kind in detectors}
        for start in range(0, len(images), _CHUNK):
            chunk = images[start : start + _CHUNK]
            outputs = self.run(list_networks([*detectors]), chunk)
            for kind, detector in detectors.items():
                raw[kind].append(detector.measure(chunk, outputs).scores)
        return {kind: np.concatenate(scores) for kind, scores in raw.items()}

    def detect(self, detector: Detector, kinds: Sequence[str], images: Floats) -> Measurement:
        """Return the standard scores of images (N, C, H, W) by a detector of some kinds."""
        found = []
        for start in range(0, len(images), _CHUNK):
            chunk = images[start : start + _CHUNK]
            found.append(detector.detect(chunk, self.run(list_networks(kinds), chunk)))
        maps = [each.maps for each in found if each.maps is not None]
        scores = np.concatenate([each.scores for each in found])
        return Measurement(scores, np.concatenate(maps) if maps else None)


def list_networks(kinds: Sequence[str]) -> tuple[NetworkName, ...]:
    """Return the networks that detectors of some kinds run, in order."""
    return tuple(dict.fromkeys(network for kind in kinds for network in DETECTOR_NETWORKS[kind]))
