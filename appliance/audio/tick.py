"""Keeping 20 ms time: how late a beat is, and a tick that follows another clock's beat."""

from __future__ import annotations

import math

import msgspec

from appliance.audio.formats import FRAME_S

BUCKETS_MS = (1, 2, 5, 10, 20, 50)
"""Upper bounds of the reported buckets; a last one counts everything later."""

_STEP_MS = 0.1
_STEPS = round(BUCKETS_MS[-1] / _STEP_MS)


class LatenessReport(msgspec.Struct, frozen=True):
    """`buckets` counts by upper bound ("1" is <= 1 ms, ">50" the rest). Percentiles are exact to 0.1 ms up to 50 ms;
    beyond that they are the largest lateness seen."""

    count: int
    buckets: dict[str, int]
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class Lateness:
    """A histogram of bounded size. One thread adds, any thread may read a report."""

    def __init__(self) -> None:
        self._counts = [0] * (_STEPS + 1)
        self._max_ms = 0.0

    def add(self, late_s: float) -> None:
        """One more observation; early counts as on time."""
        late_ms = max(0.0, late_s * 1000.0)
        # rounded first, so that 5.0 ms written in binary does not land beyond its bucket
        step = min(math.ceil(round(late_ms / _STEP_MS, 6)), _STEPS + 1)
        self._counts[max(step, 1) - 1] += 1
        self._max_ms = max(self._max_ms, late_ms)

    def report(self) -> LatenessReport:
        counts = list(self._counts)
        buckets: dict[str, int] = {}
        start = 0
        for bound_ms in BUCKETS_MS:
            end = round(bound_ms / _STEP_MS)
            buckets[str(bound_ms)] = sum(counts[start:end])
            start = end
        buckets[f">{BUCKETS_MS[-1]}"] = counts[_STEPS]
        return LatenessReport(
            count=sum(counts),
            buckets=buckets,
            p50_ms=self._percentile(counts, 0.50),
            p95_ms=self._percentile(counts, 0.95),
            p99_ms=self._percentile(counts, 0.99),
            max_ms=round(self._max_ms, 3),
        )

    def _percentile(self, counts: list[int], fraction: float) -> float:
        wanted = math.ceil(sum(counts) * fraction)
        seen = 0
        for step, count in enumerate(counts[:_STEPS], start=1):
            seen += count
            if wanted and seen >= wanted:
                return min(round(step * _STEP_MS, 1), round(self._max_ms, 3))
        return round(self._max_ms, 3)


class Grid:
    """How late each beat of a periodic clock is against the grid that its most punctual beats draw.

    The clock may leave beats out (it was stalled and gave up on them): they are counted as `skipped`, the beat after
    them is not late for their sake. The grid leaks later by 0.1 ms a second, so that one early beat does not make all
    that follow late for ever.
    """

    LEAK = 1e-4
    RESET_S = 0.5
    """A lateness of this much is a new start of the clock, as pjmedia's does after a stall (MAX_JUMP_MSEC)."""

    def __init__(self, period_s: float = FRAME_S) -> None:
        self._period_s = period_s
        self._due: float | None = None
        self.skipped = 0

    def beat(self, now: float) -> float:
        """A beat came at `now` (monotonic seconds). Returns how late it is, in seconds."""
        if self._due is None:
            self._due = now + self._period_s
            return 0.0
        late_s = now - self._due
        if late_s >= self.RESET_S:
            self.skipped += int(late_s / self._period_s)
            self._due = now + self._period_s
            return late_s
        if late_s < 0:
            self._due = now + self._period_s
            return 0.0
        self._due += self._period_s * (1 + self.LEAK)
        return late_s


class TickClock:
    """When the daemon's next 20 ms tick is due: a fixed offset after the media clock's beat, without drift.

    A phase-locked loop in software: each tick moves the next deadline by a part of the phase error, at most 1 ms, so
    that a single odd beat does not shake the tick. Missed ticks are skipped and counted, never made up in a burst.
    """

    GAIN = 0.1
    MAX_NUDGE_S = 0.001
    STALE_S = 1.0
    """A beat older than this says nothing about the phase any more."""

    def __init__(self, now: float, *, period_s: float = FRAME_S, offset_s: float = 0.003) -> None:
        self._period_s = period_s
        self._offset_s = offset_s
        self.deadline = now + period_s
        self.ticks = 0
        self.missed = 0
        self.lateness = Lateness()

    def tick(self, now: float, beat_at: float | None) -> int:
        """The tick due at `deadline` begins at `now`; the media clock's last beat was at `beat_at`.

        Sets the next deadline, which lies after `now`. Returns the number of ticks that had to be skipped.
        """
        late_s = max(0.0, now - self.deadline)
        self.lateness.add(late_s)
        self.ticks += 1
        missed = int(late_s / self._period_s)
        self.deadline += self._period_s * (1 + missed)
        if beat_at is not None and now - beat_at <= self.STALE_S:
            error_s = math.remainder(beat_at + self._offset_s - self.deadline, self._period_s)
            self.deadline += min(max(error_s * self.GAIN, -self.MAX_NUDGE_S), self.MAX_NUDGE_S)
        if self.deadline <= now:  # nearly a whole period late, and the nudge took the rest
            self.deadline += self._period_s
            missed += 1
        self.missed += missed
        return missed
