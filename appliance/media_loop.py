"""Every 20 ms: all calls' audio to the speech worker in one message, and its rows back to the core."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from appliance.audio.levels import level_dbov
from appliance.audio.tick import Lateness, LatenessReport, TickClock
from appliance.calls import events
from appliance.calls.events import AnyEvent
from appliance.engines.wire import Audio, Frames, Rows
from appliance.leg import Leg

MAX_IN_FLIGHT = 50  # ticks: a second without an answer, and the worker is as good as dead


class MediaLoop:
    """The daemon's tick. All methods are for the loop's thread.

    `beat_at` gives the media clock's last beat (monotonic seconds, None before the first). `path` counts how long a
    frame is with us: from the beat that brought it to the core having handled the engines' row for it.
    """

    def __init__(
        self,
        beat_at: Callable[[], float | None],
        send: Callable[[Frames], object],
        happened: Callable[[AnyEvent], None],
        record: Callable[[str, bytes, bytes], None],
    ) -> None:
        self.legs: dict[str, Leg] = {}
        self.path = Lateness()
        self._path_lately = Lateness()
        self.unanswered_ticks = 0
        self._beat_at = beat_at
        self._send = send
        self._happened = happened
        self._record = record
        self._loop = asyncio.get_running_loop()
        self.clock = TickClock(self._loop.time())
        self._timer: asyncio.TimerHandle | None = None
        self._seq = 0
        self._past_underruns = 0
        self._past_overruns = 0
        self._waiting_since = 0.0
        self._in_flight: dict[int, tuple[float, list[tuple[str, int, float]]]] = {}

    def start(self) -> None:
        """Begin ticking."""
        self.clock = TickClock(self._loop.time())
        self._timer = self._loop.call_at(self.clock.deadline, self._tick)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def rows(self, answer: Rows) -> None:
        """The speech worker's rows for one tick."""
        self._waiting_since = self._loop.time()  # one that is behind does not hang
        # Answers come in order: what was asked before this one and is still here was lost with a worker.
        for seq in [s for s in self._in_flight if s < answer.seq]:
            del self._in_flight[seq]
        asked = self._in_flight.pop(answer.seq, None)
        if asked is None:
            return
        came_at, moments = asked
        for row, (call, at_samples, outbound_dbov) in zip(answer.rows, moments, strict=True):
            self._happened(events.Heard(call, at_samples, row.speech, row.level_dbov, outbound_dbov, row.text))
        with_us_s = self._loop.time() - came_at
        self.path.add(with_us_s)
        self._path_lately.add(with_us_s)

    def audio(self, piece: Audio) -> None:
        """A piece of a clause from the voice."""
        leg = self.legs.get(piece.call)
        for event in leg.audio(piece) if leg is not None else []:
            self._happened(event)

    def lately(self) -> LatenessReport:
        """`path` since the last time that this was asked."""
        lately, self._path_lately = self._path_lately, Lateness()
        return lately.report()

    def remove(self, call: str) -> None:
        """The call is over; what it counted is kept."""
        leg = self.legs.pop(call, None)
        if leg is not None:
            self._past_underruns += leg.underruns
            self._past_overruns += leg.overruns

    @property
    def underruns(self) -> int:
        return self._past_underruns + sum(leg.underruns for leg in self.legs.values())

    @property
    def overruns(self) -> int:
        return self._past_overruns + sum(leg.overruns for leg in self.legs.values())

    @property
    def waiting_s(self) -> float:
        """How long the worker has left ticks unanswered; 0 while it is asked nothing."""
        return self._loop.time() - self._waiting_since if self._in_flight else 0.0

    def worker_gone(self) -> None:
        """What was asked will not be answered."""
        self._in_flight.clear()

    def _tick(self) -> None:
        now = self._loop.time()
        beat_at = self._beat_at()
        self.clock.tick(now, beat_at)
        self._timer = self._loop.call_at(self.clock.deadline, self._tick)
        frames: list[tuple[str, bytes]] = []
        moments: list[tuple[str, int, float]] = []
        for leg in self.legs.values():
            for caller, agent in leg.frames():
                self._record(leg.call, caller, agent)
                frames.append((leg.call, caller))
                moments.append((leg.call, leg.next_moment(), level_dbov(agent)))
        if frames:
            self._ask(frames, moments, beat_at if beat_at is not None and beat_at <= now else now)
        for leg in list(self.legs.values()):
            for event in leg.progress():
                self._happened(event)

    def _ask(self, frames: list[tuple[str, bytes]], moments: list[tuple[str, int, float]], came_at: float) -> None:
        if len(self._in_flight) >= MAX_IN_FLIGHT:
            del self._in_flight[next(iter(self._in_flight))]
            self.unanswered_ticks += 1
        if not self._in_flight:
            self._waiting_since = self._loop.time()
        self._seq += 1
        self._in_flight[self._seq] = (came_at, moments)
        self._send(Frames(self._seq, frames))
