"""The dead-man's switch: a process of its own that pauses the dialer when the daemon cannot take calls any more.

A dialer does not notice a dead phone: its lines stay ready and every customer goes to the phone's voicemail. So somebody
else must tell it, and get out those who are there already. `Guard` is pure; `watch` is the loop around it.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import json
import logging
import os
import signal
from pathlib import Path

import msgspec

from appliance.api.client import ApiClient
from appliance.api.wire import RegistrationState, Status
from appliance.config.settings import Settings
from appliance.dialers.protocol import ALREADY_SO, Control, Dialer
from appliance.dialers.vicidial.correlation import dialer_call
from appliance.errors import ApiError, NotRunningError, StoreError
from appliance.supervised import Supervised

log = logging.getLogger("sidetone.guard")

ANSWER_S = 2.0
STUCK_S = 60.0
"""A round that takes so long is no round any more: the service manager may start us anew."""


class Times(msgspec.Struct, frozen=True):
    """All in seconds.

    look_s: between two looks. grace_s: longer than a crashed daemon needs to be back, for a pause takes the dialer 20 s to
    carry out. alone_s: a daemon that is gone for so long has left its callers in silence. healthy_s: it must be back for
    so long. again_s: between two tries, and between two looks for customers who sit with nobody. sends_s: a paused
    remote agent is sent calls for 16 s, and its lines vanish after 36 to 46 s; later nobody can be found on them.
    renew_s: between two pauses while nobody takes calls: an operator may have ended ours without looking here.
    """

    look_s: float = 1.0
    grace_s: float = 8.0
    alone_s: float = 2.0
    healthy_s: float = 3.0
    again_s: float = 2.0
    sends_s: float = 50.0
    renew_s: float = 30.0


class Sight(enum.Enum):
    """The daemon as it looks from outside."""

    SERVING = "registered"
    DRAINING = "draining"
    UNREGISTERED = "not registered"
    SILENT = "silent"
    GONE = "gone"


class Seen(msgspec.Struct, frozen=True):
    """One look. `ours`: the dialer's ids of the calls that it talks to, None where one of them has none that we know.

    `lines` is how many it has asked the dialer for, None where that is not known. `took_s`: how long the look took.
    """

    sight: Sight
    ours: frozenset[str] | None = frozenset()
    lines: int | None = None
    took_s: float = 0.0


class Pause(msgspec.Struct, frozen=True):
    """Have the dialer send no more calls. `planned`: the daemon has done so itself, and will end it itself."""

    planned: bool


class Resume(msgspec.Struct, frozen=True):
    """End our own pause; `lines` as in `Seen`."""

    lines: int | None


class Rescue(msgspec.Struct, frozen=True):
    """Find the customers who sit with nobody, but for those on `ours`, and send them to a human."""

    ours: frozenset[str]


Action = Pause | Resume | Rescue


class Guard:
    """What to do about what was seen. Times are monotonic seconds; `owns` says whether the pause that is on is ours.

    Tell it by `paused`, `failed` and `resumed` what came of it; what was not done is asked for again.
    """

    def __init__(self, *, owns: bool = False, times: Times | None = None) -> None:
        self.owns = owns
        self._times = times or Times()
        self._away_since: float | None = None
        self._well_since: float | None = None
        self._planned = False
        self._paused_at: float | None = None
        self._tried = False
        self._ask_at = 0.0
        self._rescue_at = 0.0

    def observe(self, seen: Seen, now: float) -> list[Action]:
        match seen.sight:
            case Sight.SERVING:
                return self._well(seen, now)
            case Sight.DRAINING:
                self._planned = True
                self._begin_anew()
                return []
            case _:
                return self._away(seen, now)

    def paused(self, now: float, *, changed: bool) -> None:
        """The dialer is paused. Without `changed` it had been before: by somebody else, who will end it, or by a try of ours
        whose answer was lost."""
        if self._paused_at is None or changed:
            self._paused_at = now
        self.owns = self.owns or ((changed or self._tried) and not self._planned)
        self._ask_at = now + self._times.renew_s

    def failed(self) -> None:
        """The pause was asked for and nobody knows whether it is on."""
        self._tried = True

    def cannot(self, now: float) -> None:
        """The dialer cannot be told to pause: it goes on sending."""
        self._ask_at = now + self._times.renew_s

    def resumed(self) -> None:
        self.owns = False

    def _well(self, seen: Seen, now: float) -> list[Action]:
        if self._well_since is None:
            self._begin_anew()
            self._planned = False
            self._well_since = now
        if not self.owns or now < max(self._ask_at, self._well_since + self._times.healthy_s):
            return []
        self._ask_at = now + self._times.again_s
        return [Resume(seen.lines)]

    def _begin_anew(self) -> None:
        self._away_since = self._well_since = self._paused_at = None
        self._tried = False
        self._ask_at = self._rescue_at = 0.0

    def _away(self, seen: Seen, now: float) -> list[Action]:
        if self._away_since is None:
            self._begin_anew()
            self._away_since = now - seen.took_s
        away_s = now - self._away_since
        todo: list[Action] = []
        if away_s >= self._times.grace_s and now >= self._ask_at:
            self._ask_at = now + self._times.again_s
            todo.append(Pause(self._planned))
        alone = away_s >= self._times.grace_s or (seen.sight is Sight.GONE and away_s >= self._times.alone_s)
        sent_to = self._paused_at is None or now - self._paused_at < self._times.sends_s
        if alone and sent_to and seen.ours is not None and now >= self._rescue_at:
            self._rescue_at = now + self._times.again_s
            todo.append(Rescue(seen.ours))
        return todo


class Memory:
    """The one thing that a restart of the guard must know: whether the pause is its own. A small file, never half-written."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> bool:
        """A missing or broken file is a no."""
        try:
            found = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return False
        return isinstance(found, dict) and found.get("paused_by_guard") is True

    def write(self, owns: bool) -> None:
        """Returns when a power cut would not lose it. Raises StoreError."""
        new = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            with new.open("w") as file:
                json.dump({"paused_by_guard": owns}, file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
        except OSError as e:
            raise StoreError(f"{self._path}: {e.strerror}", hint="may this user write paths.state? is the disk full?") from None


async def look(client: ApiClient) -> Seen:
    """The daemon as it is now; within ANSWER_S."""
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    try:
        async with asyncio.timeout(ANSWER_S):
            return seen_of(await client.status())
    except NotRunningError:
        return Seen(Sight.GONE)
    except (ApiError, TimeoutError):
        return Seen(Sight.SILENT, took_s=loop.time() - began_at)


def seen_of(status: Status) -> Seen:
    """What a status means for the guard. A daemon that drains has told the dialer itself."""
    known = [dialer_call((up.caller_name,)) for up in status.calls]
    ours = frozenset(call.call_id for call in known if call is not None) if None not in known else None
    if status.draining:
        sight = Sight.DRAINING
    else:
        registered = status.registration.state is RegistrationState.REGISTERED
        sight = Sight.SERVING if registered else Sight.UNREGISTERED
    return Seen(sight, ours, status.dialer.lines)


class Watch:
    """The loop: looks, asks `Guard`, does what it says, and logs what changed. It does not close `dialer`."""

    def __init__(self, settings: Settings, dialer: Dialer, *, times: Times | None = None) -> None:
        self._client = ApiClient(settings.paths.runtime / "api.sock")
        self._settings = settings
        self._lines = settings.capacity.lines
        self._status = settings.dialer.status_of("transferred") or "XFER"
        self._dialer = dialer
        self._memory = Memory(settings.paths.state / "guard.json")
        self._times = times or Times()
        self._guard = Guard(owns=self._memory.read(), times=self._times)
        self._loop = asyncio.get_running_loop()
        self._round_at = self._loop.time()
        self._supervised = Supervised(alive=lambda: self._loop.time() - self._round_at < STUCK_S)
        self._stop = asyncio.Event()
        self._seen: Sight | None = None
        self._trouble = ""

    async def run(self) -> int:
        """Until SIGTERM or SIGINT; a pause that is on stays on. Returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self.stop)
        self._supervised.ready()
        log.info("watching %s", self._settings.paths.runtime)
        while not self._stop.is_set():
            self._round_at = self._loop.time()
            await self._round()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._round_at + self._times.look_s):
                    await self._stop.wait()
        self._supervised.stopping()
        return 0

    def stop(self) -> None:
        """After the round that is under way."""
        self._stop.set()

    async def _round(self) -> None:
        seen = await look(self._client)
        if seen.sight is not self._seen:
            self._seen = seen.sight
            log.info("the daemon is %s", seen.sight.value)
            self._supervised.says(f"the daemon is {seen.sight.value}{', paused by us' if self._guard.owns else ''}")
        for action in self._guard.observe(seen, self._loop.time()):
            match action:
                case Pause():
                    await self._pause(planned=action.planned)
                case Resume(lines=lines):
                    await self._resume(self._lines if lines is None else lines)
                case Rescue(ours=ours):
                    await self._rescue(ours)

    async def _pause(self, *, planned: bool) -> None:
        if not self._guard.owns and not planned:
            self._remember(True)  # before it is done: a guard that dies in between must still end it
        done = await self._dialer.capacity(0)
        if done.how is Control.FAILED:
            self._guard.failed()
            self._troubled(f"the dialer cannot be paused: {done.detail}")
            return
        if done.how is Control.DONE:
            changed = done.detail != ALREADY_SO
            self._guard.paused(self._loop.time(), changed=changed)
            self._trouble = ""
            if changed:
                log.warning("nobody takes calls: the dialer was told to send no more of them")
        else:
            self._guard.cannot(self._loop.time())
            self._troubled(f"the dialer must be paused by hand: {done.detail or 'dialer.vicidial.manage_lines is off'}")
        if not planned and not self._guard.owns:
            self._remember(False)

    async def _resume(self, lines: int) -> None:
        done = await self._dialer.capacity(lines, resume=True)
        if done.how is Control.FAILED:
            self._troubled(f"the dialer cannot be told to go on: {done.detail}")
            return
        self._guard.resumed()
        self._remember(False)
        log.warning("the daemon takes calls again: the dialer sends %d at once", lines)
        self._trouble = ""

    async def _rescue(self, ours: frozenset[str]) -> None:
        for call in await self._dialer.stranded(ours):
            again = await look(self._client)  # it may have come back, and have this very call
            if again.sight in (Sight.SERVING, Sight.DRAINING) or again.ours is None:
                return
            if call.call_id in again.ours:
                continue
            done = await self._dialer.rescue(call, self._status)
            if done.how is Control.DONE:
                log.warning("%s: its customer sat with nobody and was sent to a human", call.call_id)
            elif done.how is Control.FAILED:
                self._troubled(f"{call.call_id}: its customer sits with nobody and cannot be sent to a human: {done.detail}")

    def _remember(self, owns: bool) -> None:
        """A full disk must not keep the guard from its work; only its own restart would not know."""
        try:
            self._memory.write(owns)
        except StoreError as error:
            log.error("%s", error)

    def _troubled(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            log.error("%s; trying on", trouble)
