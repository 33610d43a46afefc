"""The Kubernetes manifests: valid by the published schemas, and consistent with the service."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import Settings
from tests.support.requirements import require_module

FOLDER = Path(__file__).parents[3] / "deploy" / "kubernetes"
APPLIED = [
    FOLDER / name
    for name in yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
]
OPENAPI = FOLDER.parents[1] / "tests" / "api" / "openapi" / "openapi.json"
LABELS = {"app.kubernetes.io/name": "latentd"}


def read(name: str) -> dict[str, Any]:
    """Return the only document of a manifest."""
    (document,) = yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text())
    return dict(document)


PODS = [read("deployment")["spec"]["template"]["spec"], read("kserve")["spec"]["predictor"]]


def test_every_manifest_is_applied() -> None:
    """The kustomization lists every manifest, except those for KServe and the metrics adapter."""
    others = {"kustomization.yaml", "kserve.yaml", "prometheus-adapter.yaml"}
    assert {path.name for path in FOLDER.iterdir()} == {path.name for path in APPLIED} | others


@pytest.mark.parametrize("path", APPLIED, ids=lambda path: path.stem)
def test_manifests_are_valid(path: Path) -> None:
    """Each manifest follows the schema of its kind, without unknown fields."""
    require_module("kubernetes_validate")
    import kubernetes_validate  # noqa: PLC0415 - skips where it is not installed

    for document in yaml.safe_load_all(path.read_text()):
        kubernetes_validate.validate(document, "1.37", strict=True)


def test_the_predictor_of_kserve_is_a_valid_pod() -> None:
    """KServe adds four fields to those of a pod; all others follow the schema of a pod."""
    require_module("kubernetes_validate")
    import kubernetes_validate  # noqa: PLC0415 - as above

    own = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget"}
    spec = {
        key: value for key, value in read("kserve")["spec"]["predictor"].items() if key not in own
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "predictor"}, "spec": spec}
    kubernetes_validate.validate(pod, "1.37", strict=True)


def test_selectors_match_the_pods() -> None:
    """The service, the budget and the policy select the pods of the deployment."""
    spec = read("deployment")["spec"]
    selectors = [
        spec["selector"]["matchLabels"],
        spec["template"]["metadata"]["labels"],
        read("service")["spec"]["selector"],
        read("disruption-budget")["spec"]["selector"]["matchLabels"],
        read("network-policy")["spec"]["podSelector"]["matchLabels"],
    ]
    assert selectors == [LABELS] * len(selectors)
    assert (
        read("autoscaler")["spec"]["scaleTargetRef"]["name"]
        == read("deployment")["metadata"]["name"]
    )


@pytest.mark.parametrize("pod", PODS, ids=["deployment", "kserve"])
def test_pods_are_restricted(pod: dict[str, Any]) -> None:
    """Containers run as another user than root, on a read-only root, without privileges."""
    (container,) = pod["containers"]
    assert pod["enableServiceLinks"] is False
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsUser"] == 10001
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("pod", PODS, ids=["deployment", "kserve"])
def test_pods_have_time_to_stop(pod: dict[str, Any]) -> None:
    """Kubernetes kills a pod later than the service ends itself, with the settings of the pod."""
    (container,) = pod["containers"]
    variables = {entry["name"]: entry["value"] for entry in container["env"]}
    assert variables.keys() <= {f"LATENTD_{name.upper()}" for name in Settings.model_fields}
    drain_seconds = float(variables["LATENTD_DRAIN_SECONDS"])
    body_seconds = Settings.model_fields["body_seconds"].default
    assert pod["terminationGracePeriodSeconds"] > drain_seconds + body_seconds + 2


@pytest.mark.parametrize("pod", PODS, ids=["deployment", "kserve"])
def test_probes_call_existing_paths(pod: dict[str, Any]) -> None:
    """Each probe calls a path of the service; a pod that drains is unready within two seconds."""
    (container,) = pod["containers"]
    paths = json.loads(OPENAPI.read_text())["paths"].keys()
    probes = {name: container[name] for name in container if name.endswith("Probe")}
    assert {"readinessProbe", "livenessProbe"} <= probes.keys()
    assert {probe["httpGet"]["path"] for probe in probes.values()} <= paths
    readiness = probes["readinessProbe"]
    assert readiness["periodSeconds"] * readiness["failureThreshold"] <= 2


def test_the_autoscaler_uses_a_metric_of_the_service() -> None:
    """The metric in flight exists, and the adapter's rule exports it under this name."""
    metrics = [
        entry["pods"]["metric"]["name"] for entry in read("autoscaler")["spec"]["metrics"][:1]
    ]
    (rule,) = read("prometheus-adapter")["rules"]["custom"]
    assert metrics == ["latentd_in_flight"]
    assert re.fullmatch(rule["name"]["matches"], metrics[0])
