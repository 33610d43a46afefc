"""The wheel of the client, and what it shares with that of the service: nothing."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.wheels import build_wheel

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.slow  # builds wheels and starts processes


@pytest.fixture(scope="module")
def client_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel of the client."""
    return build_wheel(ROOT / "client", tmp_path_factory.mktemp("client_wheel"))


def list_packages(wheel: Path) -> set[str]:
    """Return the top-level folders of a wheel, without its metadata."""
    names = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    return {name for name in names if not name.endswith(".dist-info")}


def test_the_wheel_of_the_client_holds_the_client_only(client_wheel: Path) -> None:
    """The wheel has one package with every module and the marker of its types."""
    files = {name for name in zipfile.ZipFile(client_wheel).namelist() if ".dist-info" not in name}

    source = ROOT / "client" / "latentd_client"
    assert list_packages(client_wheel) == {"latentd_client"}
    assert files == {f"latentd_client/{path.name}" for path in source.glob("*.py*")} | {
        "latentd_client/py.typed"
    }


def test_the_client_depends_on_three_distributions(client_wheel: Path) -> None:
    """Installing the client installs httpx, NumPy and Pillow, and no server."""
    archive = zipfile.ZipFile(client_wheel)
    (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))

    required = re.findall(r"^Requires-Dist: (\w+)", archive.read(name).decode(), re.MULTILINE)

    assert required == ["httpx", "numpy", "pillow"]


def test_the_wheel_of_the_service_does_not_hold_the_client(tmp_path: Path) -> None:
    """The service's wheel has the packages of the service and of training."""
    assert list_packages(build_wheel(ROOT, tmp_path)) == {"service", "training"}


def test_a_users_own_service_module_does_not_shadow_the_client(
    client_wheel: Path, tmp_path: Path
) -> None:
    """A script next to a `service.py` and a `client.py` imports both of these and the client."""
    (tmp_path / "service.py").write_text("NAME = 'own service'")
    (tmp_path / "client.py").write_text("NAME = 'own client'")
    script = tmp_path / "script.py"
    script.write_text(
        "import client, latentd_client, service\n"
        "print(service.NAME, client.NAME, latentd_client.Client.__name__, latentd_client.__file__)"
    )

    result = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(client_wheel)},
        check=True,
        capture_output=True,
        text=True,
    )

    assert result.stdout.startswith(f"own service own client Client {client_wheel}")


def test_the_service_does_not_import_httpx() -> None:
    """Serving needs neither the client nor httpx."""
    script = "import sys, service.app; sys.exit(bool({'httpx', 'latentd_client'} & {*sys.modules}))"

    assert subprocess.run([sys.executable, "-c", script], check=False, cwd=ROOT).returncode == 0
