"""VICIdial as the box's dialer: `protocol.Dialer`, with the box as one remote agent."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Callable

from appliance.calls.events import Incoming
from appliance.config.settings import DISPOSITIONS, Vicidial
from appliance.dialers.protocol import (
    ALREADY_SO,
    Control,
    Controlled,
    Delivered,
    Delivery,
    DialerCall,
    Entry,
    EntryKind,
    Health,
    Lead,
)
from appliance.dialers.vicidial.answers import Agent, offset_h
from appliance.dialers.vicidial.client import Client, Stage, Told
from appliance.dialers.vicidial.correlation import dialer_call
from appliance.dialers.vicidial.delivery import deliver
from appliance.dialers.vicidial.fields import Status
from appliance.dialers.vicidial.wire import Api, Trouble, VicidialError

OLDEST_BUILD = "240703-1657"  # update_remote_agent came with it (non_agent_api.php)
VERSION_S = 3600.0  # how long what it says of itself holds: its zone changes with the season
ON_LINE = frozenset(("QUEUE", "INCALL", "PAUSED"))  # before its remote agents' 10 s tick, after it, and while they drain
DEAD = "DEAD"  # the sub-status of a line whose customer has hung up
WORKING = frozenset(("READY", "CLOSER", "QUEUE", "INCALL"))
LEAST_DIGITS = 7  # fewer than a local number could be anybody's
_LAST_DIGITS = re.compile(r"[0-9]+$")
_NO_DIGIT = re.compile(r"[^0-9]")


class VicidialDialer:
    """`lines` is the most calls at once, one line of the remote agent each. `shadow`: nothing is ever written.

    `statuses` are those that the box gives, so that it may correct its own. `clock` counts seconds and never goes back,
    `wall` gives seconds since 1970.
    """

    def __init__(
        self,
        settings: Vicidial,
        *,
        lines: int,
        shadow: bool = False,
        statuses: frozenset[str] = frozenset(DISPOSITIONS.values()),
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._statuses = statuses
        self._clock = clock
        self._wall = wall
        self._users = line_users(settings.agent_user, lines)
        self._version_at: float | None = None
        self._patience_s = 1.5 * settings.timeout_s  # a request that fails at once can be tried again, a slow one cannot
        self.client = Client(settings, read_only=shadow)

    @property
    def health(self) -> Health:
        return self.client.health

    @property
    def can_transfer(self) -> bool:
        return bool(self._settings.transfer_to)

    async def probe(self) -> None:
        """Both APIs' versions, which need no password: a wrong one is not tried again by this."""
        for api in Api:
            with contextlib.suppress(VicidialError):
                await self.client.version(api)

    def unlock(self) -> None:
        """An operator says that the password is right now: try again."""
        self.client.unlock()

    async def close(self) -> None:
        await self.client.close()

    # Whose call ------------------------------------------------------------------------------------------------------

    def identify(self, incoming: Incoming) -> DialerCall | None:
        return dialer_call(incoming.ids)

    async def find(self, incoming: Incoming) -> DialerCall | None:
        """The one call on our lines with the caller's number; None where several could be meant."""
        number = _NO_DIGIT.sub("", incoming.caller_number)
        if len(number) < LEAST_DIGITS:
            return None
        try:
            async with asyncio.timeout(self._patience_s):
                rows = [row for row in await self._our_lines() if dialer_call([row.call_id]) is not None]
                asked = await asyncio.gather(*(self.client.agent_status(row.user) for row in rows))
        except (VicidialError, TimeoutError):
            return None
        matching = {row.call_id for row in asked if row is not None and _same_number(number, row.phone)}
        return dialer_call(matching) if len(matching) == 1 else None

    async def lead(self, call: DialerCall) -> Lead | None:
        try:
            async with asyncio.timeout(self._patience_s):
                fields, _ = await asyncio.gather(self.client.lead(call.lead_id, custom=True), self._refresh_version())
        except (VicidialError, TimeoutError):
            return None
        if fields is None:
            return None
        return Lead(
            lead_id=call.lead_id,
            phone=_NO_DIGIT.sub("", fields.get("phone_number", "")),
            status=fields.get("status", ""),
            first_name=fields.get("first_name", ""),
            last_name=fields.get("last_name", ""),
            gmt_offset_h=offset_h(fields.get("gmt_offset_now", "")),
            comments=fields.get("comments", ""),
            fields=fields,
        )

    async def stranded(self, ours: frozenset[str]) -> list[DialerCall]:
        """[] as well where the dialer cannot be asked."""
        try:
            rows = await self._our_lines()
        except VicidialError:
            return []
        found = (dialer_call([row.call_id]) for row in rows)
        return [call for call in found if call is not None and call.call_id not in ours]

    async def _our_lines(self) -> list[Agent]:
        """Our lines with a customer on them, in one request for all."""
        rows = await self.client.logged_in_agents()
        return [row for row in rows if row.user in self._users and row.status in ON_LINE and row.sub_status != DEAD]

    # Control ---------------------------------------------------------------------------------------------------------

    async def release(self, call: DialerCall, status: str) -> Controlled:
        return await self._control(call, Stage.HANGUP, status)

    async def transfer(self, call: DialerCall | None, to: str, status: str, *, anybody: bool = False) -> Controlled:
        """A human is whoever is logged in, not on one of our lines and not paused: which in-groups they take the API
        does not tell, and somebody in a call is free before the queue's patience ends."""
        if call is None:
            return Controlled(Control.FAILED, "the dialer's id of this call is not known")
        if not to:
            return Controlled(Control.FAILED, "no in-group is configured to transfer to")
        if not anybody:
            try:
                agents = await self.client.logged_in_agents()
            except VicidialError as error:
                return _failed(error)
            if not any(row.user not in self._users and row.status in WORKING for row in agents):
                return Controlled(Control.FAILED, "nobody")
        return await self._control(call, Stage.IN_GROUP, status, to)

    async def rescue(self, call: DialerCall, status: str) -> Controlled:
        to = self._settings.rescue_to or self._settings.transfer_to
        return await self.transfer(call, to, status, anybody=True)

    async def _control(self, call: DialerCall, stage: Stage, status: str, to: str = "") -> Controlled:
        try:
            written = Status(status)
        except ValueError as error:
            return Controlled(Control.FAILED, str(error))
        began = self._clock()
        try:
            told = await self.client.control(call.call_id, stage, written, to)
        except VicidialError as error:
            if error.trouble is Trouble.READ_ONLY:
                return Controlled(Control.LEG, error.message)
            if error.trouble is not Trouble.UNCLEAR:
                return _failed(error)
            # An end can be repaired in the log later; whether the caller has left for an in-group must be known now.
            if stage is Stage.HANGUP and self._clock() - began > self._settings.timeout_s / 2:
                return _unclear(error.message)
            return await self._control_again(call, stage, written, to)
        return Controlled(Control.GONE if told is Told.GONE else Control.DONE)

    async def _control_again(self, call: DialerCall, stage: Stage, status: Status, to: str) -> Controlled:
        """The first try may have been taken: for a call that it has let go, the dialer does nothing a second time."""
        try:
            if await self.client.control(call.call_id, stage, status, to) is not Told.GONE:
                return Controlled(Control.DONE)
            if stage is Stage.HANGUP:
                return Controlled(Control.DONE)  # by us or by the customer: it is over either way
            async with asyncio.timeout(self._patience_s):
                moved = await self._was_moved(call, status)
        except VicidialError as error:
            return _unclear(error.message)
        except TimeoutError:
            return _unclear("the dialer does not say in time where the call is")
        return Controlled(Control.DONE if moved else Control.GONE)

    async def _was_moved(self, call: DialerCall, status: Status) -> bool:
        """Whether a call that is no longer active was moved by us, or its customer hung up.

        A move writes its status to the log, with our first line as the user, and takes the call off its line in the same
        moment. XFER alone is no proof: the dialer writes that to every call of 10 s, with the call's own line as the user. But
        a line whose customer has hung up keeps the call for a second or more (seen running: 1.0 to 2.6 s).
        """
        logged = await self.client.call_info(call.call_id)
        if logged is None or (logged.status, logged.user) != (status.name, self._settings.agent_user):
            return False
        return all(row.call_id != call.call_id for row in await self.client.logged_in_agents())

    # Paper -----------------------------------------------------------------------------------------------------------

    async def deliver(self, entry: Entry) -> Delivered:
        delivered = await deliver(self.client, entry, self._statuses, self._wall())
        if entry.kind is EntryKind.SETTLE and self.health.reachable is False and delivered.what is not Delivery.LATER:
            # The agent API is else asked at the end of a call alone, and would be told as down till then.
            with contextlib.suppress(VicidialError):
                await self.client.version(Api.AGENT)
        return delivered

    # Capacity --------------------------------------------------------------------------------------------------------

    async def capacity(self, lines: int, *, resume: bool = False) -> Controlled:
        """LEG with a detail where an operator must do it by hand."""
        if not self._settings.manage_lines:
            return Controlled(Control.LEG)
        try:
            await self._learn_version()
            if self.health.build < OLDEST_BUILD:
                raise VicidialError(Trouble.TOO_OLD, "")
            if lines > 0:
                told = await self.client.update_remote_agent(active=True if resume else None, lines=lines)
            else:
                told = await self.client.update_remote_agent(active=False)
        except VicidialError as error:
            if error.trouble is Trouble.TOO_OLD:
                return Controlled(Control.LEG, _by_hand(self._settings.agent_user, lines, self.health.build))
            return Controlled(Control.LEG, error.message) if error.trouble is Trouble.READ_ONLY else _failed(error)
        if told is Told.GONE:
            return Controlled(Control.FAILED, f"the dialer has no remote agent with the User Start {self._settings.agent_user}")
        return Controlled(Control.DONE, ALREADY_SO if told is Told.ALREADY else "")

    async def _refresh_version(self) -> None:
        """For the dialer's zone in `health`; nothing hangs on it."""
        with contextlib.suppress(VicidialError):
            await self._learn_version()

    async def _learn_version(self) -> None:
        now = self._clock()
        if self._version_at is None or now - self._version_at >= VERSION_S:
            await self.client.version(Api.ADMIN)
            self._version_at = now


def line_users(first: str, lines: int) -> tuple[str, ...]:
    """The users of our lines: VICIdial counts up from User Start."""
    digits = _LAST_DIGITS.search(first)
    if digits is None:
        return (first,)
    start, width = int(digits[0]), len(digits[0])
    return tuple(f"{first[: digits.start()]}{start + n:0{width}d}" for n in range(lines))


def _same_number(number: str, lead_phone: str) -> bool:
    """One of them may have the country's code or a trunk's prefix in front."""
    phone = _NO_DIGIT.sub("", lead_phone)
    return len(phone) >= LEAST_DIGITS and (number.endswith(phone) or phone.endswith(number))


def _failed(error: VicidialError) -> Controlled:
    return Controlled(Control.FAILED, error.message)


def _unclear(why: str) -> Controlled:
    return Controlled(Control.FAILED, f"unclear: {why}", unclear=True)


def _by_hand(user: str, lines: int, build: str) -> str:
    wanted = f"set its Number of Lines to {lines}" if lines else "set it INACTIVE"
    return f"this dialer is too old to be told (build {build}): in its admin page of the remote agent {user}, {wanted}"
