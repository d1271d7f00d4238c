"""The dialer's desk: everything that the box says to its dialer, in a thread of its own.

Requests take from milliseconds to seconds, and what is owed is committed to disk before it is sent: nothing of that belongs
beside the 20 ms tick. The daemon tells the desk what happened and returns at once; what comes of it is posted back.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import assert_never

from appliance.calls import callbacks, effects, events
from appliance.calls.campaign import Campaign
from appliance.calls.summary import fields, summary
from appliance.config.settings import Dialer as DialerSettings
from appliance.dialers.courier import Courier, OutboxStorage
from appliance.dialers.lines import Lines
from appliance.dialers.messages import Alarm, Correlated, DeskHealth, ForDesk, FromDesk, LinesTold, ReferWanted
from appliance.dialers.protocol import Control, Controlled, Delivery, Dialer, DialerCall, Entry, EntryKind, Lead
from appliance.dialers.rescue import OPTED_OUT, SETTLE_S, Rescue, owe_settle

log = logging.getLogger(__name__)

SUMMARY_S = 3.0  # a caller waits so long for the summary to be on the lead; without it nobody is handed over
BOOKING_S = 2.5
SETTLE_AT_MOST_S = 8.0  # after a release that is still being waited for
IDENTIFY_S = 1.0  # the end of a call waits so long for whose it is
FOUND_S = 15.0  # and its paperwork for so long
MOVED_S = 2.0  # a leg that ends so soon after an unclear transfer was ended by it
AGAIN_S = 1.0
HEALTH_S = 1.0
PROBE_EVERY = 15  # of these: a web server that died over night is known before the first call of the morning
START_S = 10.0
NO_NUMBER = re.compile(r"\D+")


class _Call:
    """What the desk knows of a call that is up."""

    def __init__(self, incoming: events.Incoming, ref: DialerCall | None) -> None:
        self.incoming = incoming
        self.ref = ref
        self.lead: Lead | None = None
        self.identified = asyncio.Event()
        self.dnc_owed = False
        self.fields_owed = False
        self.callback_owed = False
        self.comments: str | None = None  # what the lead says, as far as we know
        self.unclear_at: float | None = None  # a transfer may have happened then, the dialer did not say
        self.booking = asyncio.Lock()  # one after the other: the caller is told of each, and the last one counts


class Desk:
    """Start it, tell it what happens; `post` gets `FromDesk`, on the desk's thread, and must hand over and return.

    `by_guard` gives the ids of calls that the guard has sent to humans. The outbox is used by the desk's thread alone from
    `start` on. All methods may be called from any thread.
    """

    def __init__(
        self,
        dialer: Dialer,
        outbox: OutboxStorage,
        settings: DialerSettings,
        campaign: Campaign,
        post: Callable[[FromDesk], None],
        by_guard: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        self._dialer = dialer
        self._settings = settings
        self._campaign = campaign
        self._post = post
        self._courier = Courier(outbox, dialer.deliver, wall=time.time, alarm=self._courier_alarm)
        self._lines = Lines(dialer, told=self._lines_told, alarm=self._alarm)
        self._calls: dict[str, _Call] = {}
        self._rescue = Rescue(dialer, settings, self._courier, ours=lambda: self._ours, by_guard=by_guard, alarm=self._alarm)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="desk", daemon=True)
        self._up = threading.Event()
        self._stopping = asyncio.Event()
        self._stop_s = 0.0
        self._told = DeskHealth()

    # For everybody ---------------------------------------------------------------------------------------------------

    @property
    def health(self) -> DeskHealth:
        """As it was told last."""
        return self._told

    @property
    def can_transfer(self) -> bool:
        return self._dialer.can_transfer and not self._settings.shadow

    def start(self) -> None:
        self._thread.start()
        self._up.wait(START_S)

    def stop(self, limit_s: float) -> None:
        """Deliver what can be delivered within `limit_s`; the rest stays in the outbox for the next start."""
        if not self._thread.is_alive():
            return
        self._stop_s = limit_s
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(limit_s + START_S)

    def arrived(self, incoming: events.Incoming) -> DialerCall | None:
        """A call rings. Returns whose it is where its headers say so; `Correlated` follows when the lead is known."""
        ref = self._dialer.identify(incoming)
        self._soon(lambda: self._arrived(incoming, ref))
        return ref

    def perform(self, effect: ForDesk) -> None:
        """Do what the core asks; its answers are posted."""
        self._soon(lambda: self._perform(effect))

    def referred(self, call: str, accepted: bool) -> None:
        """What came of `ReferWanted`."""
        self._post(events.Released(call, True) if accepted else events.TransferFailed(call, False))

    def concluded(self, effect: effects.Concluded) -> None:
        """The call is over: from now on it is only paperwork."""
        self._soon(lambda: self._begin(self._concluded(effect)))

    def ask_lines(self, lines: int, *, resume: bool = False) -> None:
        """Have the dialer send so many calls at once; 0 pauses it, and only `resume` ends a pause."""
        if not self._settings.shadow:
            self._soon(lambda: self._lines.want(lines, resume=resume))

    def recover(self, refs: list[DialerCall]) -> None:
        """Calls that were up when an earlier run died: their customers may still be there, in silence."""
        self._soon(lambda: self._begin(self._rescue.recover(refs)))

    def refused(self, ids: tuple[str, ...]) -> None:
        """An INVITE with these ids was refused: its customer is on the way into the phone's voicemail box."""
        probe = events.Incoming("", "", "", "", ids)
        self._soon(lambda: self._begin(self._rescue.refused(self._dialer.identify(probe))))

    def look_for_stranded(self) -> None:
        """The registration was away: get out whoever landed in the mailbox meanwhile."""
        self._soon(lambda: self._begin(self._rescue.look()))

    def voicemail(self, new: int) -> None:
        """The phone's mailbox has more messages than before: customers met nobody."""
        self._soon(lambda: self._begin(self._rescue.voicemail(new)))

    def retry(self) -> None:
        """An operator has mended what was wrong: try everything again, also after a refused password."""
        self._soon(self._retry)

    # The thread ------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._main())
        finally:
            self._loop.close()

    async def _main(self) -> None:
        always = [asyncio.create_task(work) for work in (self._deliver(), self._watch(), self._lines.run())]
        self._up.set()
        await self._stopping.wait()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._stop_s)
        await self._courier.stop(self._stop_s)
        for task in (*self._tasks, *always):
            task.cancel()
        await asyncio.gather(*self._tasks, *always, return_exceptions=True)
        await self._dialer.close()

    async def _deliver(self) -> None:
        """What an earlier run owes waits while nothing may be written."""
        while not self._settings.shadow and not self._stopping.is_set():
            await self._guarded(self._courier.run())
            await asyncio.sleep(AGAIN_S)

    def _soon(self, work: Callable[[], None]) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(work)

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except Exception:  # the boundary of one task: a bug in one call's paperwork must not end the others'
            log.exception("a bug at the dialer's desk")

    async def _watch(self) -> None:
        for second in itertools.count(1):
            await asyncio.sleep(HEALTH_S)
            self._tell_health()
            if second % PROBE_EVERY == 0:
                self._begin(self._dialer.probe())

    def _tell_health(self) -> None:
        health, counts = self._dialer.health, self._courier.counts
        now = DeskHealth(
            reachable=health.reachable,
            locked=health.locked,
            detail="; ".join(filter(None, (health.detail, counts.failing))),
            lines=self._lines.taken,
            outbox=counts.open,
            outbox_parked=counts.parked,
            outbox_oldest_s=float(round(counts.oldest_s)),
            outbox_lost=counts.lost,
        )
        was, self._told = self._told, now
        if now != was:
            self._post(now)
        if now.locked and not was.locked:
            self._alarm("locked", f"the dialer refuses our password, nothing more is sent to it: {now.detail}")
        elif now.reachable is False and was.reachable is not False:
            self._alarm("api_down", f"the dialer's API does not answer, what is owed to it waits: {now.detail}")
        elif now.reachable and was.reachable is False:
            self._alarm("api_back", "the dialer's API answers again")

    def _alarm(self, kind: str, message: str) -> None:
        self._post(Alarm(kind, message))

    def _courier_alarm(self, kind: str, message: str) -> None:
        if kind != "locked":  # told by `_tell_health`, whoever met it first
            self._alarm(kind, message)

    def _retry(self) -> None:
        self._dialer.unlock()
        self._courier.retry()

    # A call ----------------------------------------------------------------------------------------------------------

    def _arrived(self, incoming: events.Incoming, ref: DialerCall | None) -> None:
        call = self._calls[incoming.call] = _Call(incoming, ref)
        if ref is not None:
            self._rescue.seen(ref.call_id)
        self._begin(self._learn(call))

    async def _known(self, call: _Call, within_s: float) -> DialerCall | None:
        """Whose call it is, if that is known by then."""
        with suppress(TimeoutError):
            await asyncio.wait_for(call.identified.wait(), within_s)
        return call.ref

    async def _learn(self, call: _Call) -> None:
        try:
            if call.ref is None:
                call.ref = await self._dialer.find(call.incoming)
            if call.ref is None:
                return
        finally:
            call.identified.set()
        call.lead = await self._dialer.lead(call.ref)
        if call.lead is not None and call.comments is None:
            call.comments = call.lead.comments
        self._post(Correlated(call.incoming.call, call.ref, call.lead))

    def _perform(self, effect: ForDesk) -> None:
        call = self._calls.get(effect.call)
        if call is None:
            return
        match effect:
            case effects.Release():
                self._begin(self._release(call, effect))
            case effects.Transfer():
                self._begin(self._transfer(call, effect))
            case effects.OptOut():
                self._opt_out(call)
            case effects.BookCallback(when=when):
                self._begin(self._in_turn(call, when))
            case _:
                assert_never(effect)

    async def _release(self, call: _Call, effect: effects.Release) -> None:
        status = self._status(effect.outcome)
        done = Controlled(Control.LEG)
        if not effect.gone:
            await self._known(call, IDENTIFY_S)
        if call.ref is not None and not self._settings.shadow:
            if not effect.gone:
                # First, for we may die in the middle; and not due before the answer: it must not meet its own release.
                self._owe_settle(call.ref, status, after_s=SETTLE_AT_MOST_S)
            done = await self._dialer.release(call.ref, status)
            if done.how is Control.FAILED:
                log.warning("%s: the dialer was not told of the end: %s", effect.call, done.detail)
        if not effect.gone:
            self._post(events.Released(effect.call, done.how in (Control.DONE, Control.GONE)))

    async def _transfer(self, call: _Call, effect: effects.Transfer) -> None:
        done = await self._handed_over(call, effect)
        match done.how:
            case Control.DONE:
                if call.ref is not None:
                    self._owe_settle(call.ref, self._status("transferred"), transferred=True)
                self._post(events.Released(effect.call, True))
            case Control.GONE:  # the caller hung up first: the leg says so in a moment
                self._post(events.TransferFailed(effect.call, False))
            case Control.REFER:
                context = self._summary(call, effect.outcome, effect.slots, effect.where)
                self._post(ReferWanted(effect.call, done.refer_to, context))
            case Control.LEG | Control.FAILED:
                if done.unclear:
                    call.unclear_at = time.monotonic()
                log.warning("%s: not transferred: %s", effect.call, done.detail or "this dialer cannot")
                self._post(events.TransferFailed(effect.call, done.detail == "nobody"))
            case _:
                assert_never(done.how)

    async def _handed_over(self, call: _Call, effect: effects.Transfer) -> Controlled:
        """The summary first, and the caller only when it is on the lead."""
        site = self._settings.vicidial
        await self._known(call, IDENTIFY_S)
        if call.ref is not None and site is not None and not effect.overflow:
            # Apart: a list without one of the fields must not keep the summary from the lead.
            self._owe_fields(call, call.ref, effect.slots)
            written = await self._courier.deliver_now(self._owe_summary(call, call.ref, effect), SUMMARY_S)
            if written.what not in (Delivery.DONE, Delivery.ALREADY):
                return Controlled(Control.FAILED, f"the summary is not on the lead: {written.detail}")
        if effect.overflow:
            to = (site.overflow_to or site.transfer_to) if site is not None else self._settings.transfer_to
        else:
            to = site.transfer_to if site is not None else self._settings.transfer_to
        return await self._dialer.transfer(call.ref, to, self._status("transferred"), anybody=effect.overflow)

    def _opt_out(self, call: _Call) -> None:
        """Whatever else is not known of the call, its number is."""
        site = self._settings.vicidial
        phone = NO_NUMBER.sub("", call.lead.phone if call.lead is not None else call.incoming.caller_number)
        if call.dnc_owed or self._settings.shadow or site is None:
            return
        call.dnc_owed = True
        call_id, lead_id = (call.ref.call_id, call.ref.lead_id) if call.ref is not None else ("", 0)
        self._courier.owe(EntryKind.DNC, call_id, lead_id, {"phone": phone, "scope": site.dnc_scope})
        if call.callback_owed:
            self._courier.owe(EntryKind.CALLBACK, call_id, lead_id, {"remove": "1"})

    async def _in_turn(self, call: _Call, when: str) -> None:
        async with call.booking:
            await self._book(call, when)

    async def _book(self, call: _Call, when: str) -> None:
        name = call.incoming.call
        ref, site = await self._known(call, IDENTIFY_S), self._settings.vicidial
        if ref is None and site is not None:
            self._post(events.CallbackLost(name))
            return
        if ref is not None and call.lead is None:  # the dialer was away when the call came; the caller's own zone is in it
            call.lead = await self._dialer.lead(ref)
        now = datetime.now(UTC)
        dialer_offset_h = self._dialer.health.utc_offset_h
        offset_h = call.lead.gmt_offset_h if call.lead is not None else None
        if offset_h is None:
            offset_h = dialer_offset_h if dialer_offset_h is not None else _our_offset_h(now)
        allowed = self._settings.callbacks
        hours = callbacks.Hours(allowed.earliest, allowed.latest, tuple(allowed.days), allowed.furthest_days)
        local = callbacks.lead_now(now, offset_h)
        at = callbacks.resolve(when, local, hours)
        if isinstance(at, callbacks.Refusal):
            unclear = at is callbacks.Refusal.UNCLEAR
            self._post(events.CallbackRefused(name, "" if unclear else callbacks.hours_in_words(hours)))
            return
        if ref is not None and site is not None:
            theirs = callbacks.dialer_time(at, offset_h, offset_h if dialer_offset_h is None else dialer_offset_h)
            data = {
                "at": f"{theirs:%Y-%m-%d %H:%M:%S}",
                "status": "CALLBK",
                "comments": f"asked for {callbacks.in_words(at, local)}, their time",
                "campaign": site.campaign,
            }
            call.callback_owed = True
            written = await self._courier.deliver_now(
                self._courier.owe(EntryKind.CALLBACK, ref.call_id, ref.lead_id, data), BOOKING_S
            )
            if written.what in (Delivery.PARKED, Delivery.SUPERSEDED):
                self._post(events.CallbackLost(name))
                return
            # Where it only takes longer it is kept all the same, which is what the caller is told.
        self._post(events.CallbackSet(name, callbacks.in_words(at, local)))

    async def _concluded(self, effect: effects.Concluded) -> None:
        call, site = self._calls.get(effect.call), self._settings.vicidial
        if call is None:
            return
        moved = call.unclear_at is not None and time.monotonic() - call.unclear_at < MOVED_S
        await self._known(call, FOUND_S)
        del self._calls[effect.call]
        if call.ref is None or site is None or self._settings.shadow:
            return
        if not effect.transferred:
            self._owe_fields(call, call.ref, effect.slots)
            if site.write_comments:
                self._owe_summary(call, call.ref, effect)
        outcome = "transferred" if moved or self._rescue.took(call.ref.call_id) else outcome_told(effect)
        self._owe_settle(call.ref, self._status(outcome), transferred=outcome == "transferred")

    # Paper -----------------------------------------------------------------------------------------------------------

    def _status(self, outcome: str) -> str:
        return self._settings.status_of(outcome) or self._settings.status_of("technical") or "ERI"

    def _summary(self, call: _Call, outcome: str, slots: dict[str, str], where: str) -> str:
        name = f"{call.lead.first_name} {call.lead.last_name}".strip() if call.lead is not None else ""
        return summary(self._campaign, outcome, slots, where, name)

    def _owe_fields(self, call: _Call, ref: DialerCall, slots: dict[str, str]) -> None:
        site = self._settings.vicidial
        filled = fields(slots, site.fields) if site is not None and not call.fields_owed else {}
        if filled:
            call.fields_owed = True
            data = {f"custom:{name}": value for name, value in filled.items()}
            self._courier.owe(EntryKind.LEAD, ref.call_id, ref.lead_id, data)

    def _owe_summary(self, call: _Call, ref: DialerCall, of: effects.Transfer | effects.Concluded) -> Entry:
        data = {"comments": self._summary(call, of.outcome, of.slots, of.where)}
        if call.comments is not None:
            data["was"] = call.comments
        call.comments = data["comments"]
        return self._courier.owe(EntryKind.LEAD, ref.call_id, ref.lead_id, data)

    def _owe_settle(self, ref: DialerCall, status: str, *, after_s: float = SETTLE_S, transferred: bool = False) -> None:
        owe_settle(self._courier, self._settings, ref, status, after_s=after_s, transferred=transferred)

    @property
    def _ours(self) -> frozenset[str] | None:
        """The dialer's ids of the calls that are up; None while one has none that we know: it could be any."""
        refs = [call.ref for call in self._calls.values()]
        return None if None in refs else frozenset(ref.call_id for ref in refs if ref is not None)

    def _lines_told(self, taken: bool) -> None:
        self._post(LinesTold(self._lines.wanted, taken))
        self._tell_health()


def outcome_told(effect: effects.Concluded) -> str:
    """What the dialer hears of the end: that a human has the caller, unless the caller opted out on the way there."""
    return "transferred" if effect.transferred and effect.outcome != OPTED_OUT else effect.outcome


def _our_offset_h(now: datetime) -> float:
    offset = now.astimezone().utcoffset()
    return offset.total_seconds() / 3600 if offset is not None else 0.0
