"""Import, serve and compare models of other frameworks: `python -m benchmarks.import.peers`.

For each row a script of `models/` makes a network in its own framework and saves what that returns
for some images. `latentd import` publishes it, `latentd serve` serves it, every operation is called
with curl, the page is opened in Chromium, and the results are compared with the saved ones. The
table in docs/importing.md is written at the end.

The scripts need keras, pythae, diffusers, pytorch-lightning and skl2onnx in the environment of
`--python`, and MNIST in LATENTD_DATA.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.harness.servers import HOST, run_latentd

from .checks import check_row
from .page import write_rows

MODELS = Path(__file__).parent / "models"


@dataclass(frozen=True, slots=True)
class Peer:
    """A model of another framework."""

    title: str
    script: str
    kind: str = ""
    note: str = ""
    """What is special about it."""


PEERS = {
    "pythae-vae": Peer("pythae 0.1 `VAE`", "pythae_models.py", "vae", "mean and log-covariance"),
    "pythae-rae": Peer("pythae 0.1 `RAE_L2`", "pythae_models.py", "rae"),
    "tiny": Peer(
        "diffusers `AutoencoderTiny`",
        "diffusers_models.py",
        "tiny",
        "random weights",
    ),
    "kl": Peer(
        "diffusers `AutoencoderKL`",
        "diffusers_models.py",
        "kl",
        "random weights, attention",
    ),
    "lightning": Peer("Lightning module", "torch_models.py", "lightning", "`export_torch`"),
    "keras": Peer("Keras 3 convolutions", "keras_model.py", "", "`model.export`, channels last"),
    "sklearn": Peer("scikit-learn `PCA`", "sklearn_model.py", "", "skl2onnx, with a classifier"),
    "torchscript": Peer("TorchScript", "torch_models.py", "torchscript", "traced and scripted"),
    "pt2": Peer("`torch.export`", "torch_models.py", "pt2"),
    "vanilla": Peer("PyTorch `VanillaVAE`", "torch_models.py", "vanilla", "colour, pixels -1..1"),
    "fixed": Peer("PyTorch, fixed batch of 1", "torch_models.py", "fixed", "made dynamic"),
    "large": Peer(
        "PyTorch, decoder of 200 MB", "torch_models.py", "large", "codes of 16,384 numbers"
    ),
}


def main() -> int:
    """Make, import, serve and compare the chosen rows; return 1 if a row failed."""
    parser = argparse.ArgumentParser("python -m benchmarks.import.peers", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(PEERS)}")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the frameworks")
    parser.add_argument("--folder", type=Path, default=Path("build/import"), help="working folder")
    flags = parser.parse_args()
    store = flags.folder / "store"
    results = {name: make(name, flags.folder, flags.python) for name in flags.rows or PEERS}
    with run_latentd(["--models-store", str(store), "--load-seconds", "0"]) as server:
        base = f"http://{HOST}:{server.port}"
        checked = {
            name: row if "error" in row else {**row, **check_row(base, name, flags.folder / name)}
            for name, row in results.items()
        }
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    write_rows({name: {**row, "date": date} for name, row in checked.items()}, PEERS)
    for name, row in checked.items():
        print(name, json.dumps(row))
    return int(any("error" in row for row in checked.values()))


def make(name: str, folder: Path, python: str) -> dict[str, object]:
    """Make a model and import it, unless the folder has it; return the duration of the import."""
    peer, own = PEERS[name], folder / name
    own.mkdir(parents=True, exist_ok=True)
    if not (own / "arguments.json").exists():
        command = [python, str(MODELS / peer.script), str(own), *([peer.kind] if peer.kind else [])]
        made = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if made.returncode:
            return {"error": made.stderr.strip().splitlines()[-1]}
    record = own / "import.json"
    if record.exists():
        kept: dict[str, object] = json.loads(record.read_text())
        return kept
    arguments = json.loads((own / "arguments.json").read_text())
    files = [str(own / word) if (own / word).exists() else word for word in arguments]
    store = ["--data", str(own / "images.npz"), "--store", str(folder / "store")]
    start, used = time.perf_counter(), _child_seconds()
    imported = subprocess.run(  # noqa: S603 - this project's command
        [sys.executable, "-m", "training", "import", name, *files, *store],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
    )
    if imported.returncode:
        return {"error": imported.stderr.strip().splitlines()[-1]}
    (own / "import.log").write_text(imported.stdout)
    result: dict[str, object] = {
        "seconds": round(time.perf_counter() - start),
        "cpu_seconds": round(_child_seconds() - used),
    }
    record.write_text(json.dumps(result))
    return result


def _child_seconds() -> float:
    """Return the CPU time of all child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    sys.exit(main())
