"""Two clocks for one double: the machine's, and one that a test moves by hand."""

from __future__ import annotations

import time
from typing import Protocol

START = 1795356000.0  # 2026-11-22 14:00:00 UTC, so that times of day look like those of VICIDIAL.md


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since 1970."""


class RealClock:
    def now(self) -> float:
        return time.time()


class SteppedClock:
    """Stands still until told. Moved by `Double.step` alone, which runs everything that falls due on the way."""

    def __init__(self, start: float = START) -> None:
        self._now = start

    def now(self) -> float:
        return self._now

    def set(self, now: float) -> None:
        self._now = max(self._now, now)
