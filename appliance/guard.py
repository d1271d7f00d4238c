"""The dead-man's switch: a process of its own that pauses the dialer when the daemon cannot take calls any more.

A dialer does not notice a dead phone: its lines stay ready and every customer goes to the phone's voicemail. So somebody
else must tell it, and get out those who are there already. `Guard` is pure; `watch` is the loop around it.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import signal
import time

import msgspec

from appliance import guard_file
from appliance.api.client import ApiClient
from appliance.api.wire import RegistrationState, Status
from appliance.config.settings import Settings
from appliance.dialers.protocol import ALREADY_SO, Control, Dialer, DialerCall
from appliance.errors import ApiError, NoAnswerError, NotRunningError, StoreError
from appliance.supervised import Supervised

log = logging.getLogger("sidetone.guard")

ANSWER_S = 2.0
STUCK_S = 60.0
"""A round that takes so long is no round any more: the service manager may start us anew."""
RESCUED_AT_ONCE = 5  # so many customers, each for as long as a slow dialer takes
STOP_S = 10.0  # a rescue that is under way at a stop may take so long yet


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
    """The daemon as it looks from outside. HIDDEN: that we cannot see it says nothing of whether it is well."""

    SERVING = "registered"
    DRAINING = "draining"
    UNREGISTERED = "not registered"
    SILENT = "silent"
    GONE = "gone"
    HIDDEN = "hidden from us"


class Seen(msgspec.Struct, frozen=True):
    """One look. `ours`: the dialer's ids of the calls that it talks to, None where one of them has none that we know.

    `lines` is how many it has asked the dialer for, None where that is not known. `took_s`: how long the look took.
    `detail` says what hides it.
    """

    sight: Sight
    ours: frozenset[str] | None = frozenset()
    lines: int | None = None
    took_s: float = 0.0
    detail: str = ""


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
            case Sight.HIDDEN:
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
            self._planned = self._tried = False
            self._well_since = now
        if not self.owns or now < max(self._ask_at, self._well_since + self._times.healthy_s):
            return []
        self._ask_at = now + self._times.again_s
        return [Resume(seen.lines)]

    def _begin_anew(self) -> None:
        self._away_since = self._well_since = self._paused_at = None
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


async def look(client: ApiClient) -> Seen:
    """The daemon as it is now; within ANSWER_S."""
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    try:
        async with asyncio.timeout(ANSWER_S):
            return seen_of(await client.status())
    except NotRunningError:
        return Seen(Sight.GONE)
    except (NoAnswerError, TimeoutError):
        # No more than ANSWER_S: what it took longer we have slept ourselves.
        return Seen(Sight.SILENT, took_s=min(ANSWER_S, loop.time() - began_at))
    except ApiError as error:
        return Seen(Sight.HIDDEN, None, detail=error.message)


def seen_of(status: Status) -> Seen:
    """What a status means for the guard. A daemon that drains without a phone has told the dialer itself, or could not."""
    known = [up.dialer_call_id for up in status.calls]
    ours = frozenset(known) if "" not in known else None
    registered = status.registration.state is RegistrationState.REGISTERED
    if status.draining and (registered or status.dialer.lines == 0):
        sight = Sight.DRAINING
    else:
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
        self._state = settings.paths.state
        self._kept = guard_file.read(self._state)
        self._times = times or Times()
        self._guard = Guard(owns=self._kept.paused_by_guard, times=self._times)
        self._loop = asyncio.get_running_loop()
        self._round_at = self._loop.time()
        self._supervised = Supervised(alive=lambda: self._loop.time() - self._round_at < STUCK_S)
        self._stop = asyncio.Event()
        self._seen: Sight | None = None
        self._rescuing: asyncio.Task[None] | None = None
        self._troubles: set[str] = set()

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
        await self._end_rescue()
        return 0

    def stop(self) -> None:
        """After the round that is under way."""
        self._stop.set()

    async def _round(self) -> None:
        seen = await look(self._client)
        if seen.sight is not self._seen:
            self._seen = seen.sight
            self._tell(seen)
        for action in self._guard.observe(seen, self._loop.time()):
            match action:
                case Pause():
                    await self._pause(planned=action.planned)
                case Resume(lines=lines):
                    await self._resume(self._lines if lines is None else lines)
                case Rescue(ours=ours):
                    self._begin_rescue(ours)

    def _tell(self, seen: Seen) -> None:
        self._troubles.clear()
        now = f"the daemon is {seen.sight.value}"
        if seen.sight is Sight.HIDDEN:
            log.error("%s, nothing is done till we see it: %s", now, seen.detail)
        else:
            log.info("%s", now)
        self._supervised.says(f"{now}{', paused by us' if self._guard.owns else ''}")

    async def _pause(self, *, planned: bool) -> None:
        if not self._guard.owns and not planned:
            self._keep(self._kept.pausing(True))  # before it is done: a guard that dies in between must still end it
        done = await self._dialer.capacity(0)
        if done.how is Control.FAILED:
            self._guard.failed()
            self._troubled(f"the dialer cannot be paused: {done.detail}")
            return
        if done.how is Control.DONE:
            changed = done.detail != ALREADY_SO
            self._guard.paused(self._loop.time(), changed=changed)
            self._troubles.clear()
            if changed:
                log.warning("nobody takes calls: the dialer was told to send no more of them")
        else:
            self._guard.cannot(self._loop.time())
            self._troubled(f"the dialer must be paused by hand: {done.detail or 'dialer.vicidial.manage_lines is off'}")
        if not planned and not self._guard.owns:
            self._keep(self._kept.pausing(False))

    async def _resume(self, lines: int) -> None:
        done = await self._dialer.capacity(lines, resume=True)
        if done.how is Control.FAILED:
            self._troubled(f"the dialer cannot be told to go on: {done.detail}")
            return
        self._guard.resumed()
        self._keep(self._kept.pausing(False))
        log.warning("the daemon takes calls again: the dialer sends %d at once", lines)
        self._troubles.clear()

    def _begin_rescue(self, ours: frozenset[str]) -> None:
        """Beside the rounds: with a slow dialer it takes longer than the pause may wait."""
        if self._rescuing is not None:
            if not self._rescuing.done():
                return
            self._rescuing.result()  # a bug ends the guard, and the service manager starts it anew
        self._rescuing = asyncio.create_task(self._rescue(ours))

    async def _end_rescue(self) -> None:
        if self._rescuing is None:
            return
        await asyncio.wait({self._rescuing}, timeout=STOP_S)
        self._rescuing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._rescuing

    async def _rescue(self, ours: frozenset[str]) -> None:
        calls = await self._dialer.stranded(ours)
        for begin in range(0, len(calls), RESCUED_AT_ONCE):
            again = await look(self._client)  # it may have come back, and have these very calls
            if again.sight in (Sight.SERVING, Sight.DRAINING) or again.ours is None or self._stop.is_set():
                return
            batch = calls[begin : begin + RESCUED_AT_ONCE]
            await self._send_to_a_human([call for call in batch if call.call_id not in again.ours])

    async def _send_to_a_human(self, calls: list[DialerCall]) -> None:
        new = {call.call_id for call in calls} - self._kept.rescued_ids
        if new:
            self._keep(self._kept.rescuing(new, time.time()))  # before: a daemon that starts meanwhile finds them gone
        told = await asyncio.gather(*(self._dialer.rescue(call, self._status) for call in calls))
        for call, done in zip(calls, told, strict=True):
            if done.how is Control.DONE:
                log.warning("%s: its customer sat with nobody and was sent to a human", call.call_id)
            elif done.how is Control.FAILED:
                self._troubled(f"{call.call_id}: its customer sits with nobody and cannot be sent to a human: {done.detail}")
            if done.how is Control.DONE or done.unclear:
                new.discard(call.call_id)
        if new:
            self._keep(self._kept.without(new))

    def _keep(self, kept: guard_file.Kept) -> None:
        """A full disk must not keep the guard from its work; only its own restart, and the daemon, would not know."""
        self._kept = kept
        try:
            guard_file.write(self._state, kept)
        except StoreError as error:
            self._troubled(str(error))

    def _troubled(self, trouble: str) -> None:
        if trouble not in self._troubles:
            self._troubles.add(trouble)
            log.error("%s; trying on", trouble)
