"""Many calls: routes events to them, admits new ones, drains."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from appliance.calls import effects, events
from appliance.calls.call import Call
from appliance.calls.campaign import Campaign
from appliance.calls.effects import AnyEffect
from appliance.calls.events import AnyEvent, Engine
from appliance.calls.shadow import ShadowCall
from appliance.calls.states import ImpossibleEvent, State

LEAVING = frozenset((State.RELEASING, State.HANGING_UP, State.LAST_WORDS))
"""Nobody is talked to any more: the caller is gone, or is in the dialer's hands."""


def _raise(call: str, bug: Exception) -> None:
    if not isinstance(bug, ImpossibleEvent):
        raise bug


class Switchboard:
    """All calls of the box. A call over capacity, or one that comes while draining, still gets a voice.

    `lines` calls are talked to at once, and one more: the next INVITE can come before the old call's BYE. Those whose caller
    is gone are not among them, but as many of them as `lines` bring the bound of what the machine may have to do at once.
    `can_transfer`: there are humans to hand callers to. `shadow`: every call is listened to, and nothing is said.

    A call that raises is ended politely, and the others never hear of it; `on_bug(call, bug)` may log the exception. Its
    default raises whatever is no ImpossibleEvent.
    """

    def __init__(
        self,
        campaign: Campaign,
        *,
        lines: int,
        longest_call_s: float,
        can_transfer: bool = False,
        shadow: bool = False,
        on_bug: Callable[[str, Exception], None] = _raise,
    ) -> None:
        self._campaign = campaign
        self._lines = lines
        self._longest_call_s = longest_call_s
        self._calls: dict[str, Call | ShadowCall] = {}
        self._lost: set[Engine] = set()
        self._draining = False
        self._can_transfer = can_transfer
        self._shadow = shadow
        self._on_bug = on_bug
        self.over_capacity = 0

    @property
    def active(self) -> dict[str, State]:
        """The calls that are up, with their states."""
        return {call.id: call.state for call in self._calls.values()}

    @property
    def deadline(self) -> float | None:
        """The earliest of all calls' deadlines, monotonic seconds."""
        return min((d for call in self._calls.values() if (d := call.deadline) is not None), default=None)

    @property
    def draining(self) -> bool:
        return self._draining

    @property
    def can_transfer(self) -> bool:
        return self._can_transfer

    @can_transfer.setter
    def can_transfer(self, can: bool) -> None:
        """For the calls that are up, too."""
        self._can_transfer = can
        for call in self._calls.values():
            if isinstance(call, Call):
                call.can_transfer = can

    def set_lines(self, lines: int) -> None:
        """From now on so many. Calls that are up go on."""
        self._lines = lines

    def handle(self, event: AnyEvent, now: float) -> list[AnyEffect]:
        """One event of one call. An unknown call's event is late: nothing."""
        if isinstance(event, events.Incoming):
            self._admit(event.call)
        call = self._calls.get(event.call)
        if call is None:
            return []
        return self._run(call, partial(call.handle, event, now), now)

    def handle_timer(self, now: float) -> list[AnyEffect]:
        """Let every call do what is due by `now`."""
        out: list[AnyEffect] = []
        for call in list(self._calls.values()):
            out += self._run(call, partial(call.handle_timer, now), now)
        return out

    def engine_lost(self, engine: Engine, now: float) -> list[AnyEffect]:
        """An engine's process is gone: every call hears of it, and calls to come start with it gone."""
        self._lost.add(engine)
        return self._everyone(lambda call: events.EngineLost(call, engine), now)

    def engine_back(self, engine: Engine, now: float) -> list[AnyEffect]:
        """The engine answers again."""
        self._lost.discard(engine)
        return self._everyone(lambda call: events.EngineBack(call, engine), now)

    def drain(self) -> None:
        """From now on a new call is one over capacity; running ones go on."""
        self._draining = True

    def stop(self, now: float) -> list[AnyEffect]:
        """End every call politely."""
        return self._everyone(events.StopAsked, now)

    def abandon(self, call: str, now: float) -> list[AnyEffect]:
        """What this call asked for could not be done: end it politely."""
        up = self._calls.get(call)
        return self._run(up, partial(up.end_politely, "bug", now), now) if up is not None else []

    def _admit(self, call: str) -> None:
        if call in self._calls:
            return  # impossible, and the call itself says so
        if self._shadow:
            self._calls[call] = ShadowCall(call, self._campaign, longest_s=self._longest_call_s, lost=frozenset(self._lost))
            return
        talking = sum(up.state not in LEAVING for up in self._calls.values())
        busy = self._draining or talking > self._lines or len(self._calls) > 2 * self._lines
        self.over_capacity += busy
        self._calls[call] = Call(
            call,
            self._campaign,
            longest_s=self._longest_call_s,
            lost=frozenset(self._lost),
            busy=busy,
            can_transfer=self._can_transfer,
        )

    def _everyone(self, event: Callable[[str], AnyEvent], now: float) -> list[AnyEffect]:
        out: list[AnyEffect] = []
        for name in list(self._calls):
            out += self.handle(event(name), now)
        return out

    def _run(self, call: Call | ShadowCall, step: Callable[[], list[AnyEffect]], now: float) -> list[AnyEffect]:
        try:
            out = step()
        except Exception as bug:  # noqa: BLE001 - the boundary of one call: its bug must not reach the others
            self._on_bug(call.id, bug)
            out = [_note(call, bug), *self._way_out(call, now)]
        if call.state is State.ENDED:
            del self._calls[call.id]
        return out

    def _way_out(self, call: Call | ShadowCall, now: float) -> list[AnyEffect]:
        try:
            return call.end_politely("bug", now)
        except Exception as bug:  # noqa: BLE001 - see _run
            self._on_bug(call.id, bug)
            call.state = State.ENDED
            return [
                effects.Release(call.id, "technical", gone=True),
                effects.HangUp(call.id),
                effects.Concluded(call.id, "technical", {}, 0.0),
            ]


def _note(call: Call | ShadowCall, bug: Exception) -> effects.Note:
    if isinstance(bug, ImpossibleEvent):
        return effects.Note(call.id, "impossible_event", {"event": bug.event_type, "state": bug.state.value})
    return effects.Note(call.id, "bug", {"error": type(bug).__name__, "state": call.state.value})
