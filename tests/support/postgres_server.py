"""A PostgreSQL server on a Unix socket in a temporary folder, run by a user other than root."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.requirements import require_module, require_program

_USER = "nobody"
"""PostgreSQL refuses to run as root."""


def find_programs() -> Path:
    """Return the folder of initdb and postgres, which Debian does not put into PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    path = os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")])
    return Path(shutil.which("initdb", path=path) or require_program("initdb")).parent


@contextlib.contextmanager
def run_postgres(folder: Path) -> Iterator[str]:
    """Start a server with an empty database; yield its SQLAlchemy URL."""
    require_module("psycopg")
    programs = find_programs()
    run_as = ["setpriv", f"--reuid={_USER}", "--regid=nogroup", "--clear-groups"]
    prefix = run_as if os.getuid() == 0 else []
    data, sockets = folder / "data", folder / "sockets"
    for path in (folder, data, sockets):
        path.mkdir(exist_ok=True)
        if prefix:
            shutil.chown(path, _USER)
    options = ["--username=latentd", "--auth=trust", "--no-sync", "--no-locale", "--encoding=UTF8"]
    initialize = [*prefix, str(programs / "initdb"), "-D", str(data), *options]
    subprocess.run(initialize, check=True, stdout=subprocess.DEVNULL)
    control = [*prefix, str(programs / "pg_ctl"), "-D", str(data), "-s", "-w"]
    server = f"-k {sockets} -h '' -F"
    start = [*control, "-o", server, "-l", str(folder / "log"), "start"]
    subprocess.run(start, check=True, stdout=subprocess.DEVNULL)
    try:
        yield f"postgresql+psycopg://latentd@/postgres?host={sockets}"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=True)
