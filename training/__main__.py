"""`python -m training COMMAND`: the same as `latentd COMMAND`."""

import argparse
import sys
from importlib import import_module

COMMANDS = (
    "train",
    "tune",
    "evaluate",
    "export",
    "import",
    "refit",
    "report",
    "tables",
    "reproduce",
)
_MODULES = {"import": "import_model"}
"""Commands whose name is a keyword of Python: their module and function."""


def main() -> int:
    """Run the command that the first argument names, and return its exit status."""
    parser = argparse.ArgumentParser("python -m training")
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    flags = parser.parse_args()
    # Imported by name: `tune` needs optuna, and `report` needs matplotlib.
    name = _MODULES.get(flags.command, flags.command)
    module = import_module(f"training.commands.{name}")
    status: int = getattr(module, name)(flags.arguments)
    return status


if __name__ == "__main__":
    sys.exit(main())
