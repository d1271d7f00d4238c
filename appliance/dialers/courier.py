"""Delivers what is owed to the dialer: in order for each lead, each at most once, for as long as it takes."""

from __future__ import annotations

import asyncio
import logging
import random
import traceback
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import Protocol, assert_never

import msgspec

from appliance.dialers.protocol import Delivered, Delivery, Entry, EntryKind, OutboxCounts

log = logging.getLogger(__name__)

AT_ONCE = 4
DOWN_AFTER = 3  # failures in a row, and the dialer is taken to be away: one request at a time finds out when it is back
OLD_S = 300.0
LOOK_S = 5.0  # the clock may be set, and an entry grows old without anything happening
MAX_AHEAD_S = 3600.0  # nothing is put off for longer: the clock was set back meanwhile
STOPPING_S = 0.02


class Pace(msgspec.Struct, frozen=True):
    """A failed entry is tried again after `first_s`, then twice that, up to `most_s`, each less up to a half by chance.

    `probe_s`: how long a dialer that is away is left alone at most, whatever its entries wait for. `attempt_s`: the
    longest request.
    """

    first_s: float = 1.0
    most_s: float = 60.0
    probe_s: float = 5.0
    attempt_s: float = 60.0


PACE = Pace()


class OutboxStorage(Protocol):
    """See `store.outbox.OutboxStore`, which is one."""

    def add(
        self,
        kind: EntryKind,
        call_id: str,
        lead_id: int,
        data: dict[str, str],
        now: float,
        *,
        not_before: float = 0.0,
        transferred: bool = False,
    ) -> Entry: ...
    def heads(self) -> list[Entry]: ...
    def pending(self) -> list[Entry]: ...
    def settle_of(self, call_id: str) -> Entry | None: ...
    def kinds_of(self, call_id: str) -> frozenset[EntryKind]: ...
    def counts(self, now: float) -> OutboxCounts: ...
    def trying(self, id: int) -> bool: ...
    def done(self, id: int, what: Delivery, now: float, detail: str = "") -> None: ...
    def later(self, id: int, not_before: float, error: str) -> None: ...
    def park(self, id: int, error: str) -> None: ...
    def unpark_all(self, now: float) -> int: ...
    def hasten(self, now: float) -> None: ...
    def flush(self) -> bool: ...


# Decisions -----------------------------------------------------------------------------------------------------------


def ready_at(entry: Entry, now: float, away: bool = False) -> float:
    """When it may be tried, seconds since 1970. While the dialer is `away`, whatever was tried looks for it."""
    if (away and entry.attempts) or entry.not_before - now > MAX_AHEAD_S:
        return min(entry.not_before, now)
    return entry.not_before


def again_s(attempts: int, chance: float, pace: Pace) -> float:
    """How long after failure number `attempts` (from 1) to wait; `chance` is 0..1."""
    doublings = min(attempts - 1, 32)
    return min(pace.most_s, pace.first_s * float(2**doublings)) * (1 - chance / 2)


def chosen(heads: Collection[Entry], busy: Collection[int], now: float, room: int, away: bool = False) -> list[Entry]:
    """What to send now: whose time has come, of leads for which nothing is under way, the least tried first."""
    ready = [entry for entry in heads if entry.lead_id not in busy and ready_at(entry, now, away) <= now]
    return sorted(ready, key=lambda entry: (entry.attempts, entry.id))[: max(0, room)]


def pause_s(heads: Collection[Entry], busy: Collection[int], now: float, quiet_until: float, away: bool = False) -> float:
    """How long nothing will have to be sent, if nothing happens; at most LOOK_S."""
    times = [ready_at(entry, now, away) for entry in heads if entry.lead_id not in busy]
    return min(LOOK_S, max(min(times), quiet_until) - now) if times else LOOK_S


class Watch:
    """Which conditions an operator was told of: each once when it begins and once when it is over. Pure."""

    def __init__(self) -> None:
        self._old = self._failing = False

    def look(self, counts: OutboxCounts) -> list[tuple[str, str]]:
        """The alarms to raise now, as kind and message."""
        alarms = []
        old, failing = counts.oldest_s >= OLD_S, bool(counts.failing)
        if old and not self._old:
            waited_min = counts.oldest_s / 60
            alarms.append(
                ("outbox_old", f"{counts.open} entries are owed to the dialer, the oldest for {waited_min:.0f} minutes")
            )
        if self._old and not old:
            alarms.append(("outbox_ok", "nothing in the outbox is old any more"))
        if failing and not self._failing:
            alarms.append(("outbox_disk", f"{counts.failing}; what is owed to the dialer waits in memory"))
        if self._failing and not failing:
            alarms.append(("outbox_ok", f"the outbox is written again, {counts.lost} entries were lost"))
        self._old, self._failing = old, failing
        return alarms


# The courier ---------------------------------------------------------------------------------------------------------


class _Running(msgspec.Struct, frozen=True):
    entry_id: int
    task: asyncio.Task[Delivered]


class Courier:
    """For the thread of one asyncio loop, which the outbox belongs to as well. `deliver` never raises for what the world does.

    `wall` gives seconds since 1970. `alarm(kind, message)` is called for what an operator should know: "outbox_parked",
    "outbox_old", "outbox_disk", "outbox_ok" (one of the last two is over), "locked".
    """

    def __init__(
        self,
        outbox: OutboxStorage,
        deliver: Callable[[Entry], Awaitable[Delivered]],
        *,
        wall: Callable[[], float],
        alarm: Callable[[str, str], None],
        pace: Pace = PACE,
    ) -> None:
        self._outbox = outbox
        self._deliver = deliver
        self._wall = wall
        self._alarm = alarm
        self._pace = pace
        self._watch = Watch()
        self._running: dict[int, _Running] = {}  # by lead: one request at a time for each
        self._wake = asyncio.Event()
        self._stopping = False
        self._locked: str | None = None
        self._failures = 0  # in a row
        self._quiet_until = 0.0

    @property
    def counts(self) -> OutboxCounts:
        return self._outbox.counts(self._wall())

    def owe(
        self,
        kind: EntryKind,
        call_id: str,
        lead_id: int,
        data: dict[str, str],
        *,
        not_before: float = 0.0,
        transferred: bool = False,
    ) -> Entry:
        """Owe it from now on, whatever happens to this process. Delivered by `run`, from `not_before` on."""
        entry = self._outbox.add(kind, call_id, lead_id, data, self._wall(), not_before=not_before, transferred=transferred)
        self.nudge()
        return entry

    def settle_of(self, call_id: str) -> Entry | None:
        """What the dialer's log of this call must come to say, delivered or not; None when it was never decided."""
        return self._outbox.settle_of(call_id)

    def kinds_of(self, call_id: str) -> frozenset[EntryKind]:
        """What was ever owed for this call, delivered or not."""
        return self._outbox.kinds_of(call_id)

    async def deliver_now(self, entry: Entry, within_s: float) -> Delivered:
        """Deliver it while somebody waits, and before it what else is owed for the same lead.

        LATER when that does not go, or not within `within_s`: it stays owed and `run` goes on with it.
        """
        try:
            async with asyncio.timeout(within_s):
                return await self._in_turn(entry)
        except TimeoutError:
            return Delivered(Delivery.LATER, f"not within {within_s:g} s")

    async def run(self) -> None:
        """Deliver whatever is due, till `stop`."""
        while not self._stopping:
            self._wake.clear()
            now = self._wall()
            self._outbox.flush()
            for kind, message in self._watch.look(self._outbox.counts(now)):
                self._alarm(kind, message)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._start_due(now)):
                    await self._wake.wait()

    def nudge(self) -> None:
        """Something may be due now: look."""
        self._wake.set()

    def retry(self) -> None:
        """An operator says that it goes now: try everything, also what was parked, also after a refused password."""
        now = self._wall()
        self._locked = None
        self._failures, self._quiet_until = 0, 0.0
        self._outbox.unpark_all(now)
        self._outbox.hasten(now)
        self.nudge()

    async def stop(self, limit_s: float) -> None:
        """Go on with what can be delivered within `limit_s`, end what is still under way then, end `run`.

        What is not delivered stays owed; what was under way is looked up before it is tried again.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                ends_at = self._wall() + limit_s
                while self._worth_waiting(ends_at):
                    if tasks := [running.task for running in self._running.values()]:
                        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                    await asyncio.sleep(STOPPING_S)
        self._stopping = True
        self.nudge()
        tasks = [running.task for running in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._outbox.flush()

    # One request -----------------------------------------------------------------------------------------------------

    def _start_due(self, now: float) -> float:
        """Send what can be sent; returns how long to wait then, if nothing happens."""
        if self._locked is not None:
            return LOOK_S
        heads = self._outbox.heads()
        if now >= self._quiet_until or self._quiet_until - now > self._pace.probe_s:
            room = (1 if self._is_away else AT_ONCE) - len(self._running)
            for entry in chosen(heads, self._running, now, room, self._is_away):
                self._start(entry)
            if len(self._running) >= AT_ONCE or (self._is_away and self._running):
                return LOOK_S  # the end of a request wakes
        return pause_s(heads, self._running, now, self._quiet_until, self._is_away)

    def _start(self, entry: Entry) -> _Running:
        running = _Running(entry.id, asyncio.create_task(self._attempt(entry)))
        self._running[entry.lead_id] = running
        return running

    async def _attempt(self, entry: Entry) -> Delivered:
        try:
            if not self._outbox.trying(entry.id):
                done = Delivered(Delivery.LATER, "the disk does not take note of the try")
                self._outbox.later(entry.id, self._wall() + self._pace.first_s, done.detail)
                return done
            done = await self._delivered(entry)
            self._record(entry, done)
            return done
        finally:
            del self._running[entry.lead_id]
            self.nudge()

    async def _delivered(self, entry: Entry) -> Delivered:
        try:
            async with asyncio.timeout(self._pace.attempt_s):
                return await self._deliver(entry)
        except TimeoutError:
            return Delivered(Delivery.LATER, f"no answer within {self._pace.attempt_s:g} s")
        except Exception as bug:  # noqa: BLE001 - the boundary of one entry: its bug must not stop the others
            # Without the exception's own text: what a library says of a request may have the password in it.
            where = "".join(traceback.format_tb(bug.__traceback__))
            log.error("outbox: entry %d: a bug, %s\n%s", entry.id, type(bug).__name__, where)
            return Delivered(Delivery.LATER, f"a bug ({type(bug).__name__}), see the log")

    def _record(self, entry: Entry, done: Delivered) -> None:
        now = self._wall()
        match done.what:
            case Delivery.DONE | Delivery.ALREADY | Delivery.SUPERSEDED:
                self._outbox.done(entry.id, done.what, now, done.detail)
                self._answered(now)
            case Delivery.PARKED:
                self._outbox.park(entry.id, done.detail)
                of_call = f" of call {entry.call_id}" if entry.call_id else ""
                self._alarm("outbox_parked", f"entry {entry.id} ({entry.kind.value}{of_call}): {done.detail}")
                self._answered(now)
            case Delivery.LATER:
                self._outbox.later(entry.id, now + again_s(entry.attempts + 1, random.random(), self._pace), done.detail)
                self._failures += 1
                if self._is_away:
                    failures = self._failures - DOWN_AFTER + 1
                    self._quiet_until = now + min(self._pace.probe_s, again_s(failures, random.random(), self._pace))
            case Delivery.LOCKED:
                self._outbox.later(entry.id, now, done.detail)
                if self._locked is None:
                    self._locked = done.detail
                    self._alarm("locked", f"nothing more is sent to the dialer: {done.detail}")
            case _:
                assert_never(done.what)

    @property
    def _is_away(self) -> bool:
        return self._failures >= DOWN_AFTER

    def _answered(self, now: float) -> None:
        was_away = self._is_away
        self._failures, self._quiet_until = 0, 0.0
        if was_away:
            self._outbox.hasten(now)

    # In a call -------------------------------------------------------------------------------------------------------

    async def _in_turn(self, entry: Entry) -> Delivered:
        while True:
            if self._locked is not None:
                return Delivered(Delivery.LOCKED, self._locked)
            if self._stopping:
                return Delivered(Delivery.LATER, "sidetone stops")
            running = self._running.get(entry.lead_id)
            if running is None:
                head = next((head for head in self._outbox.heads() if head.lead_id == entry.lead_id), None)
                if head is None or head.id > entry.id:
                    return self._past(entry)
                now = self._wall()
                if not head.attempts and (wait_s := ready_at(head, now) - now) > 0:
                    await asyncio.sleep(wait_s)
                    continue
                running = self._start(head)
            await asyncio.wait([running.task])
            if running.task.cancelled():
                return Delivered(Delivery.LATER, "sidetone stops")
            done = running.task.result()
            if running.entry_id == entry.id:
                return done
            if done.what is Delivery.LATER:
                return Delivered(Delivery.LATER, f"entry {running.entry_id} goes first: {done.detail}")

    def _past(self, entry: Entry) -> Delivered:
        parked = next((owed for owed in self._outbox.pending() if owed.id == entry.id), None)
        if parked is not None:
            return Delivered(Delivery.PARKED, parked.error)
        return Delivered(Delivery.ALREADY, "it is no longer owed")

    def _worth_waiting(self, ends_at: float) -> bool:
        if self._running:
            return True
        if self._locked is not None or self._is_away:
            return False
        return any(ready_at(entry, self._wall()) < ends_at for entry in self._outbox.heads())
