"""How many calls the machine can really carry, from how it is doing: the dialer is asked for no more than that.

Down quickly, since callers are already being kept waiting; up slowly, since each step up is a try on callers. A number of
calls that was too much is not tried again for a while, unless as many have meanwhile gone well.

Slow replies alone are weak evidence: a percentile of few of them is one reply, and a slow voice is as slow with one call. So
they take one line at a time, only where enough calls are up for fewer to help, and no further once fewer did not.
"""

from __future__ import annotations

from collections import deque

import msgspec

# Too much, in any one of these. A frame is 20 ms: a path longer than that has no frame left to give when it is asked for one.
SICK_PATH_MS = 20.0
SICK_LATE_SHARE = 0.01  # of the ticks: one gap every two seconds, which is heard
SICK_GAP_MS = 500.0  # the product's promise for p95
SICK_CPU_SHARE = 0.90  # nothing is left for the next burst

# Badly so: what is there already is being lost. A gap never is: it is late, and every word of it comes.
BAD_PATH_MS = 60.0  # the jitter buffer of a phone has run out
BAD_LATE_SHARE = 0.05

# Well, in all of these. Between well and too much nothing changes.
WELL_PATH_MS = 12.0
WELL_LATE_SHARE = 0.002
WELL_GAP_MS = 400.0
WELL_CPU_SHARE = 0.75

SICK_OF_LAST = (3, 5)  # so many seconds of so many: one alone is a log being flushed
UP_AFTER_S = 30.0  # of health without a break, per line
ASK_EVERY_S = 10.0  # VICIdial's remote agents are looked at as often
GAP_SETTLES_S = 30.0  # a percentile of replies still has the old ones in it
GAP_HELPED_SHARE = 0.95  # of the gap before: with fewer calls the replies came sooner
REMEMBER_S = 300.0  # that so many calls were too much
SILENCE_S = 5.0  # without an observation what was seen before proves nothing


class Load(msgspec.Struct, frozen=True):
    """One second. `path_p99_ms`: an audio frame's way through the process; `late_share`: of the 20 ms ticks, 0 to 1;
    `gap_p95_ms`: caller's last speech to our first, over the last `GAP_SETTLES_S` (None: no replies); `cpu_share`: of all
    cores, 0 to 1; `calls`: how many were up."""

    path_p99_ms: float
    late_share: float
    gap_p95_ms: float | None
    cpu_share: float
    calls: int

    @property
    def gap_sick(self) -> bool:
        return self.calls > 0 and self.gap_p95_ms is not None and self.gap_p95_ms > SICK_GAP_MS

    @property
    def path_sick(self) -> bool:
        """The machine itself is behind, whatever the replies do.

        Without a call up nobody suffers, and what keeps the cores busy may be a start or an update.
        """
        if not self.calls:
            return False
        return self.path_p99_ms > SICK_PATH_MS or self.late_share > SICK_LATE_SHARE or self.cpu_share > SICK_CPU_SHARE

    @property
    def sick(self) -> bool:
        return self.path_sick or self.gap_sick

    @property
    def bad(self) -> bool:
        return self.path_p99_ms > BAD_PATH_MS or self.late_share > BAD_LATE_SHARE

    @property
    def well(self) -> bool:
        path = self.path_p99_ms <= WELL_PATH_MS and self.late_share <= WELL_LATE_SHARE
        return path and self.cpu_share <= WELL_CPU_SHARE and (self.gap_p95_ms or 0.0) <= WELL_GAP_MS


class Measured(msgspec.Struct):
    """What was seen with so many calls up: seconds of it, how many of them were too much, and the worst of each."""

    seconds: int = 0
    sick_seconds: int = 0
    path_p99_ms: float = 0.0
    gap_p95_ms: float = 0.0


class Governor:
    """`lines` is what the dialer is to be asked for: `most` at the start, never below `least`.

    `measured` has what was really seen, by number of calls. Feed `observe` about once a second.
    """

    def __init__(self, least: int, most: int) -> None:
        self.lines = most
        self.measured: dict[int, Measured] = {}
        self._least = min(least, most)
        self._most = most
        self._recent: deque[Load] = deque(maxlen=SICK_OF_LAST[1])
        self._well_since: float | None = None
        self._seen_at: float | None = None
        self._changed_at = float("-inf")
        self._too_much: dict[int, float] = {}  # calls -> when that was seen
        self._slow_with: Load | None = None  # when a line was last taken for slow replies alone

    def observe(self, load: Load, now: float) -> int | None:
        """The new `lines`, None where they stay. `now` is monotonic seconds; no two changes within `ASK_EVERY_S`."""
        if self._seen_at is not None and now - self._seen_at > SILENCE_S:
            self._recent.clear()
            self._well_since = None
        self._seen_at = now
        self._remember(load)
        self._recent.append(load)
        if not load.well:
            self._well_since = None
        elif self._well_since is None:
            self._well_since = now
        down = self._down(load, now)
        if down is not None:
            return self._change(down, now)
        up = self._up(load, now)
        if up is not None:
            self._slow_with = None
            return self._change(up, now)
        return None

    def _remember(self, load: Load) -> None:
        seen = self.measured.setdefault(load.calls, Measured())
        seen.seconds += 1
        seen.sick_seconds += load.sick
        seen.path_p99_ms = max(seen.path_p99_ms, load.path_p99_ms)
        seen.gap_p95_ms = max(seen.gap_p95_ms, load.gap_p95_ms or 0.0)

    def _down(self, load: Load, now: float) -> int | None:
        if sum(x.path_sick for x in self._recent) < SICK_OF_LAST[0]:
            return self._down_for_gap(load, now)
        self._note_too_much(max(x.calls for x in self._recent if x.path_sick), now)
        if now - self._changed_at < ASK_EVERY_S:
            return None
        # Lines that nobody is on do not make it better to give away: where it is bad, down to those that are in use.
        bad = sum(x.bad for x in self._recent) >= SICK_OF_LAST[0]
        wanted = max(self._least, min(self.lines - 1, load.calls) if bad else self.lines - 1)
        return wanted if wanted < self.lines else None

    def _down_for_gap(self, load: Load, now: float) -> int | None:
        """The replies alone are slow: the machine keeps up, so the engines are what may have too many calls."""
        slow = [x for x in self._recent if x.gap_sick and 2 * x.calls >= self.lines]
        if len(slow) < SICK_OF_LAST[0] or now - self._changed_at < GAP_SETTLES_S or self.lines <= self._least:
            return None
        if load.calls > self.lines:
            return None  # what was asked for last is not there yet
        before = self._slow_with
        if before is not None and load.calls < before.calls and not _sooner(load, before):
            return None  # fewer calls did not help: it is not their number
        self._slow_with = load
        self._note_too_much(max(x.calls for x in slow), now)
        return self.lines - 1

    def _note_too_much(self, calls: int, now: float) -> None:
        """What is asked for anyway is not to be forbidden: from there the way up must stay open."""
        if calls > self._least:
            self._too_much[calls] = now

    def _up(self, load: Load, now: float) -> int | None:
        if self._well_since is None or now - self._well_since < UP_AFTER_S:
            return None
        self._too_much = {calls: at for calls, at in self._too_much.items() if calls > load.calls and now - at < REMEMBER_S}
        wanted = self.lines + 1
        if wanted > min([self._most, *(calls - 1 for calls in self._too_much)]):
            return None
        return wanted

    def _change(self, lines: int, now: float) -> int:
        self.lines = lines
        self._recent.clear()
        self._well_since = None
        self._changed_at = now
        return lines


def _sooner(load: Load, before: Load) -> bool:
    return (load.gap_p95_ms or 0.0) <= GAP_HELPED_SHARE * (before.gap_p95_ms or 0.0)
