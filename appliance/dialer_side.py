"""The daemon's side of the dialer: which one it is, what the desk says of it, how many calls it is asked for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import assert_never

import msgspec

from appliance.api import wire as api
from appliance.calls import effects, events
from appliance.calls.campaign import Campaign
from appliance.calls.events import AnyEvent
from appliance.calls.governor import GAP_SETTLES_S, Governor, Load
from appliance.calls.switchboard import Switchboard
from appliance.config.settings import Dialer as DialerSettings
from appliance.config.settings import DialerKind, Settings
from appliance.dialers.choice import dialer_of
from appliance.dialers.desk import Desk, outcome_told
from appliance.dialers.messages import Alarm, Correlated, DeskHealth, FromDesk, LinesTold, ReferWanted
from appliance.dialers.vicidial.correlation import dialer_call
from appliance.guard_file import rescued_ids
from appliance.machine import CpuShare
from appliance.sip.endpoint import SipEndpoint
from appliance.sip.registration import State
from appliance.store.outbox import OutboxStore, outbox_path
from appliance.store.store import Store

log = logging.getLogger("sidetone")

PAUSE_S = 20.0
"""A paused remote agent is sent calls for another 16 s; who stops taking them earlier sends them into the mailbox."""
TOLD_S = 20.0  # a dialer that does not answer is waited for so long before the box stops all the same
LEAST_GAPS = 10  # one slow reply is no percentile
STOP_S = 5.0


class DialerSide:
    """For the loop's thread, except `posted`, which the desk's thread calls to have `told` called on the loop's."""

    def __init__(
        self,
        settings: Settings,
        campaign: Campaign,
        *,
        sip: SipEndpoint,
        store: Store,
        switchboard: Switchboard,
        happened: Callable[[AnyEvent], None],
        publish: Callable[[api.Change], None],
        posted: Callable[[FromDesk], None],
    ) -> None:
        self._settings: DialerSettings = settings.dialer
        self._capacity = settings.capacity
        self._path = outbox_path(settings.paths)
        self._state = settings.paths.state
        self._paused_mark = settings.paths.state / "paused"
        self._sip = sip
        self._store = store
        self._switchboard = switchboard
        self._happened = happened
        self._publish = publish
        self._posted = posted
        self._campaign = campaign
        self._dialer = dialer_of(settings)
        self._desk: Desk | None = None
        self._outbox: OutboxStore | None = None
        self._governor = Governor(settings.capacity.least, settings.capacity.lines)
        self._cpu = CpuShare()
        self._held_ms: dict[str, float] = {}  # by call: the silence that its last turn was waited for on purpose
        self._replies: deque[tuple[float, float]] = deque(maxlen=1000)  # when, and how long after that silence
        self._late_before = 0
        self._mailbox: int | None = None
        self._alarms: deque[api.Alarm] = deque(maxlen=api.MAX_ALARMS)
        self._registered_once = False
        self._away = False
        self._paused = False
        self.told_to_pause = asyncio.Event()
        self._shrink_at = 0.0

    # Beginning and end -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Raises StoreError when the outbox cannot be opened."""
        self._outbox = OutboxStore(self._path)
        self._desk = Desk(self._dialer, self._outbox, self._settings, self._campaign, self._posted, self._rescued)
        self._desk.start()
        self._switchboard.can_transfer = self._desk.can_transfer
        crashed = [ref for name in self._store.recovered_names if (ref := dialer_call((name,))) is not None]
        if crashed:
            log.warning("an earlier run died with %d of the dialer's calls up: their customers are being rescued", len(crashed))
            self._desk.recover(crashed)

    def _rescued(self) -> frozenset[str]:
        return rescued_ids(self._state)

    def stop(self) -> None:
        if self._desk is not None:
            self._desk.stop(STOP_S)
        if self._outbox is not None:
            self._outbox.close()

    @property
    def desk(self) -> Desk:
        assert self._desk is not None, "not started"
        return self._desk

    def pause(self) -> float | None:
        """Ask for no more calls; `told_to_pause` is set when the dialer has taken it, or never will. Returns for how long
        some will come all the same from then on, seconds; None where this dialer is not asked."""
        self._paused = True
        if self._settings.kind is DialerKind.PBX or self._settings.shadow or not self._manages_lines:
            return None
        self._paused_mark.touch()
        self.desk.ask_lines(0)
        return PAUSE_S if self._settings.pauses_slowly else 0.0

    @property
    def _manages_lines(self) -> bool:
        return self._settings.vicidial is None or self._settings.vicidial.manage_lines

    # Calls -----------------------------------------------------------------------------------------------------------

    def arrived(self, incoming: events.Incoming) -> None:
        ref = self.desk.arrived(incoming)
        if ref is not None:
            self._store.correlated(incoming.call, ref.call_id, ref.lead_id)

    def perform(self, effect: effects.Release | effects.Transfer | effects.OptOut | effects.BookCallback) -> None:
        if isinstance(effect, effects.OptOut):
            self._store.note(effects.Note(effect.call, "opt_out", {"at_s": effect.at_s}))
        self.desk.perform(effect)

    def concluded(self, effect: effects.Concluded) -> None:
        self._held_ms.pop(effect.call, None)
        self._store.disposed(effect.call, self._settings.status_of(outcome_told(effect)) or "")
        self.desk.concluded(effect)

    def note(self, effect: effects.Note) -> None:
        """Silence that a turn was waited for on purpose says nothing of the machine."""
        silence_s = effect.data.get("silence_s")
        if effect.kind == "end_of_turn" and isinstance(silence_s, float):
            self._held_ms[effect.call] = 1000 * silence_s

    def turn(self, effect: effects.TurnTaken) -> None:
        if effect.gap_ms is not None and (held_ms := self._held_ms.pop(effect.call, None)) is not None:
            self._replies.append((time.monotonic(), max(0.0, effect.gap_ms - held_ms)))

    def refused(self, ids: tuple[str, ...]) -> None:
        self.desk.refused(ids)

    def mailbox_changed(self, new: int) -> None:
        """The dialer said how many messages the phone's mailbox has."""
        # Those that are there when we begin are old; the status shows them.
        more, self._mailbox = self._mailbox is not None and new > self._mailbox, new
        if more:
            self.desk.voicemail(new)
        self._publish(api.DialerChanged(self.health()))

    def registration(self, state: State) -> None:
        match state:
            case State.REGISTERED if not self._registered_once:
                self._registered_once = True
                self._begin_work()
                self.desk.look_for_stranded()  # who came while the box was off is in the mailbox
            case State.REGISTERED if self._away:
                self._away = False
                self.desk.look_for_stranded()
            case State.LOST:
                self._away = True
                self.desk.look_for_stranded()
            case _:
                pass

    def _begin_work(self) -> None:
        """A pause of ours is over; one that an operator made stays."""
        if not self._manages_lines:
            return
        self.desk.ask_lines(self._governor.lines, resume=self._paused_mark.exists())

    def vanished(self, incoming: events.Incoming) -> None:
        """It was gone before it was a call of ours. The dialer may have booked it as one that nobody took."""
        self.desk.arrived(incoming)
        self.desk.perform(effects.Release(incoming.call, "hung_up", gone=True))
        self.desk.concluded(effects.Concluded(incoming.call, "hung_up", {}, 0.0))

    # From the desk ---------------------------------------------------------------------------------------------------

    def told(self, message: FromDesk) -> None:
        match message:
            case (
                events.Released()
                | events.TransferFailed()
                | events.CallbackSet()
                | events.CallbackRefused()
                | events.CallbackLost()
            ):
                self._happened(message)
            case LinesTold(lines=lines):
                self._lines_told(lines)
            case Correlated(call=call, ref=ref):
                self._store.correlated(call, ref.call_id, ref.lead_id)
            case ReferWanted(call=call, refer_to=refer_to, context=context):
                self._sip.transfer(call, refer_to, context=context)
            case Alarm(kind=kind, message=text):
                self.alarm(kind, text)
            case DeskHealth():
                self._publish(api.DialerChanged(self.health()))
            case _:
                assert_never(message)

    def _lines_told(self, lines: int) -> None:
        if lines == 0:
            self.told_to_pause.set()
        elif not self._paused:
            self._paused_mark.unlink(missing_ok=True)

    def alarm(self, kind: str, text: str) -> None:
        """One named event, one line, one row."""
        log.warning("%s: %s", kind, text)
        self._store.event(kind, {"detail": text})
        told = api.Alarm(kind, text, datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"))
        self._alarms.appendleft(told)
        self._publish(told)

    @property
    def alarms(self) -> list[api.Alarm]:
        """The latest, the newest first; for `api.Status`."""
        return list(self._alarms)

    def health(self) -> api.DialerHealth:
        desk = self._desk.health if self._desk is not None else DeskHealth()
        return api.DialerHealth(
            kind=self._settings.kind.value,
            shadow=self._settings.shadow,
            mailbox=self._mailbox or 0,
            **msgspec.structs.asdict(desk),
        )

    # Capacity --------------------------------------------------------------------------------------------------------

    def govern(self, path_p99_ms: float, late_frames: int, calls: int, now: float) -> None:
        """Once a second: as many calls as the machine really keeps up with."""
        late, self._late_before = late_frames - self._late_before, late_frames
        gaps = sorted(gap_ms for at, gap_ms in self._replies if now - at <= GAP_SETTLES_S)
        load = Load(
            path_p99_ms=path_p99_ms,
            late_share=min(1.0, late / max(1, 50 * calls)),
            gap_p95_ms=gaps[int(0.95 * (len(gaps) - 1))] if len(gaps) >= LEAST_GAPS else None,
            cpu_share=self._cpu.since_last(),
            calls=calls,
        )
        before, lines = self._governor.lines, self._governor.observe(load, now)
        if lines is not None and lines < before and self._manages_lines:
            self._shrink_at = now + PAUSE_S  # what the dialer sends till it has heard of fewer lines is not turned away
        if now >= self._shrink_at:
            self._switchboard.set_lines(self._governor.lines)
        if lines is None or self._paused:
            return
        log.info("capacity: %d calls at once", lines)
        self._store.event("capacity", {"lines": lines, **msgspec.structs.asdict(load)})
        if self._manages_lines:
            self.desk.ask_lines(lines)
