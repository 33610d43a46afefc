"""The command of the image with exactly the environment that Kubernetes injects."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.servers import wait_until
from tests.support.service_process import ROOT, Service, find_free_port

CLUSTER = {
    "HOSTNAME": "latentd-6d5f7b8c9-x2x7k",
    "HOME": "/",
    "KUBERNETES_PORT": "tcp://10.96.0.1:443",
    "KUBERNETES_PORT_443_TCP": "tcp://10.96.0.1:443",
    "KUBERNETES_PORT_443_TCP_ADDR": "10.96.0.1",
    "KUBERNETES_PORT_443_TCP_PORT": "443",
    "KUBERNETES_PORT_443_TCP_PROTO": "tcp",
    "KUBERNETES_SERVICE_HOST": "10.96.0.1",
    "KUBERNETES_SERVICE_PORT": "443",
    "KUBERNETES_SERVICE_PORT_HTTPS": "443",
}
"""Variables of every container."""
SERVICE_LINKS = {
    "LATENTD_PORT": "tcp://10.96.14.7:80",
    "LATENTD_PORT_80_TCP": "tcp://10.96.14.7:80",
    "LATENTD_PORT_80_TCP_ADDR": "10.96.14.7",
    "LATENTD_PORT_80_TCP_PORT": "80",
    "LATENTD_PORT_80_TCP_PROTO": "tcp",
    "LATENTD_SERVICE_HOST": "10.96.14.7",
    "LATENTD_SERVICE_PORT": "80",
    "LATENTD_SERVICE_PORT_HTTP": "80",
}
"""Variables of a Service named `latentd`, in pods that do not disable service links."""


def read_image() -> tuple[dict[str, str], list[str]]:
    """Return the environment and the command of the Dockerfile."""
    dockerfile = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    stage = dockerfile[dockerfile.rindex("\nFROM ") :]
    (variables,) = re.findall(r"^ENV (.*)$", stage, re.MULTILINE)
    entrypoint, command = re.findall(r"^(?:ENTRYPOINT|CMD) (.*)$", stage, re.MULTILINE)
    environment = dict(re.findall(r"(\w+)=(\S+)", variables))
    return environment, [*json.loads(entrypoint), *json.loads(command)]


@pytest.mark.parametrize("links", [{}, SERVICE_LINKS], ids=["no_links", "links"])
def test_the_command_of_the_image_starts(links: dict[str, str], tmp_path: Path) -> None:
    """It is ready, classifies, warns about no variable but the port, and ends with 0."""
    image, (program, *arguments) = read_image()
    pod = yaml.safe_load((ROOT / "deploy/kubernetes/deployment.yaml").read_text())
    (container,) = pod["spec"]["template"]["spec"]["containers"]
    variables = {entry["name"]: entry["value"] for entry in container["env"]}
    variables["LATENTD_STORE_CACHE"] = str(tmp_path)
    port = find_free_port()
    assert program == "latentd"
    process = subprocess.Popen(
        # Not the port and the folder of the image: tests share this machine.
        [sys.executable, "-m", "service", *arguments, f"--port={port}", "--host=127.0.0.1"],
        env=image
        | {"LATENTD_MODELS_STORE": str(ROOT / "models_store")}
        | {"PYTHONPATH": str(ROOT)}
        | CLUSTER
        | links
        | variables
        | {"LATENTD_DRAIN_SECONDS": "0"},
        cwd="/",
        stderr=subprocess.PIPE,
    )
    service = Service(process, f"http://127.0.0.1:{port}")
    try:
        wait_until(service.is_ready, timeout=60)
        assert service.classify() == 200
    finally:
        process.terminate()
    log = [json.loads(line) for line in service.read_log().splitlines()]
    assert process.returncode == 0
    assert [entry["message"] for entry in log if entry["level"] not in {"debug", "info"}] == []
