"""What falls due when: the double's daemons, and its answers to what was asked of it."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

Job = Callable[[float], None]


class Schedule:
    """Jobs in order of their time. A job gets the time for which it was set, however late it runs."""

    def __init__(self) -> None:
        self._jobs: list[tuple[float, int, Job]] = []
        self._order = itertools.count()

    def at(self, due: float, job: Job) -> None:
        heapq.heappush(self._jobs, (due, next(self._order), job))

    @property
    def next_due(self) -> float | None:
        return self._jobs[0][0] if self._jobs else None

    def run(self, now: float) -> None:
        """Run all that is due at `now`, what those jobs set for a time up to `now` included."""
        while self._jobs and self._jobs[0][0] <= now:
            due, _, job = heapq.heappop(self._jobs)
            job(due)
