"""`python -m training COMMAND`: the same as `latentd COMMAND`."""

import argparse
import sys
from importlib import import_module

COMMANDS = ("train", "tune", "evaluate", "export", "report", "tables", "reproduce")


def main() -> int:
    """Run the command that the first argument names, and return its exit status."""
    parser = argparse.ArgumentParser("python -m training")
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    flags = parser.parse_args()
    # Imported by name: `tune` needs optuna, and `report` needs matplotlib.
    module = import_module(f"training.commands.{flags.command}")
    status: int = getattr(module, flags.command)(flags.arguments)
    return status


if __name__ == "__main__":
    sys.exit(main())
