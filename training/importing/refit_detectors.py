"""Detectors for a published bundle: everything else in it stays as it is."""

from collections.abc import Callable
from pathlib import Path

from service.artifact import Bundle, Manifest, Store, publish, stage, write_manifest
from service.artifact.manifest import SCHEMA_VERSION
from service.artifact.specs import ANOMALY_MAPS, NetworkName
from service.artifact.store import describe_content
from training.anomaly.detectors import FittedDetectors, fit_detectors
from training.data.datasets import read_data
from training.evaluation.detectors import measure_detectors
from training.files import explain_full_disk
from training.fitting.runs.run_folders import DETECTORS_FOLDER, Run, start_run
from training.importing.refit import check_images, load_networks
from training.pipeline import report_summary
from training.publishing.bundle import PublishedNetwork, export_detector_networks


def refit_detectors(
    bundle: Bundle, run: Run, store: Store, report_progress: Callable[[str], None]
) -> Bundle:
    """Fit the detectors of a bundle again, and publish the next version with all its other parts.

    Arguments and errors are those of `training.importing.refit.refit_bundle`.
    """
    run = start_run(run, fresh=True)
    splits = read_data(run.recipe, Path(run.data_root), run.folder)
    report_summary(splits, report_progress)
    check_images(bundle, splits)
    folder = run.folder / DETECTORS_FOLDER
    fitted = fit_detectors(run.recipe, splits, load_networks(bundle), folder, report_progress)
    detectors = measure_detectors(fitted, splits)
    exported = export_detector_networks(detectors, splits, run.recipe)
    files = _keep_files(bundle) | detectors.list_files()
    for network in exported.values():
        files |= network.files
    manifest = _renew_manifest(bundle.manifest, run, detectors, exported, files)
    with explain_full_disk(store), stage(store, bundle.name) as staged:
        for name, content in files.items():
            (staged / name).write_bytes(content)
        write_manifest(staged, manifest)
        return publish(staged, store, bundle.name)


def _keep_files(bundle: Bundle) -> dict[str, bytes]:
    """Return the files of a bundle, without those of its detectors."""
    manifest = bundle.manifest
    dropped = {spec.file for spec in manifest.detectors.values()}
    for name in ANOMALY_MAPS & manifest.networks.keys():
        dropped |= {graph.file for graph in manifest.networks[name].formats.values()}
    return {name: bundle.read(name) for name in manifest.files if name not in dropped}


def _renew_manifest(
    manifest: Manifest,
    run: Run,
    detectors: FittedDetectors,
    exported: dict[NetworkName, PublishedNetwork],
    files: dict[str, bytes],
) -> Manifest:
    recipe = {**manifest.provenance.recipe, "detection": run.recipe.detection.model_dump()}
    provenance = manifest.provenance.model_copy(update={"command": run.command, "recipe": recipe})
    return manifest.model_copy(
        update={
            "schema_version": SCHEMA_VERSION,
            "networks": manifest.networks | {name: n.spec for name, n in exported.items()},
            "detectors": detectors.specs,
            "default_detector": detectors.default,
            "provenance": provenance,
            "files": {name: describe_content(content) for name, content in files.items()},
        }
    )
