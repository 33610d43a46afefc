"""The progress bar of a whole training whose time is planned: it counts seconds, not steps."""

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from tqdm import tqdm

LOG_INTERVAL = 30.0  # seconds between updates of a bar that is written to a file


class TimeBar:
    """One bar for all networks. A step advances it by the planned seconds of such a step."""

    def __init__(self, seconds: Mapping[str, float], steps: Mapping[str, int]) -> None:
        """Open the bar.

        Args:
            seconds: Planned seconds of each network.
            steps: Planned steps of each network.
        """
        self._seconds, self._steps = dict(seconds), dict(steps)
        self._name, self._ended = "", 0.0
        self._bar = tqdm(
            total=sum(seconds.values()),
            desc="training",
            bar_format="{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}{postfix}]",
            mininterval=0.2 if sys.stderr.isatty() else LOG_INTERVAL,
            disable=not seconds,
        )

    def enter(self, name: str, share: float) -> Self:
        """Start a network, of which a resumed training has completed `share`, [0, 1]."""
        self._name = name
        self._advance(share * self._seconds.get(name, 0.0))
        return self

    def __enter__(self) -> Self:
        """Return the bar."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        """Complete the network's share: an early stop leaves steps out."""
        if kind is None:
            self._advance(self._seconds.get(self._name, 0.0))
            self._ended += self._seconds.get(self._name, 0.0)

    def update(self) -> None:
        """Count a step."""
        steps = max(self._steps.get(self._name, 1), 1)
        self._advance(self._seconds.get(self._name, 0.0) / steps)

    def set_postfix_str(self, text: str, *, refresh: bool) -> None:
        """Show the state of the network."""
        self._bar.set_postfix_str(f"{self._name}: {text}", refresh=refresh)

    def _advance(self, seconds: float) -> None:
        """Advance to at most the end of the current network's share."""
        end = self._ended + self._seconds.get(self._name, 0.0)
        self._bar.update(max(min(seconds, end - self._bar.n), 0.0))

    def close(self) -> None:
        """Close the bar."""
        self._bar.close()
