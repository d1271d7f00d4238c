"""A call that is only listened to: what would the box have made of it? And the report of that against the humans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import assert_never

import msgspec

from appliance.calls import dialogue, effects, events
from appliance.calls.bargein import FLOOR_DBOV
from appliance.calls.caller import Caller
from appliance.calls.campaign import BUILTIN_OUTCOME, END, Builtin, Campaign, SlotKind
from appliance.calls.dialogue import OPTED_OUT
from appliance.calls.effects import AnyEffect, Prompt
from appliance.calls.events import AnyEvent, Engine
from appliance.calls.states import ImpossibleEvent, State
from appliance.calls.timers import FINAL_S, HANG_UP_S, LAST_WORDS_S, MEDIA_S, Timer, Timers

# A goodbye ends most calls that went well too, and says nothing of how.
_WISHES = frozenset({Builtin.OPT_OUT, Builtin.NOT_INTERESTED, Builtin.HUMAN})
NO_OPINION = "hung_up"


class ShadowCall:
    """Stands in for `Call`. Answers, and never speaks, releases or transfers; hangs up when asked to, or after `longest_s`.

    The outcome is that of the first reply with which the box would have ended the call, an opt-out at any time before all
    others; `NO_OPINION` without any.
    """

    def __init__(self, call: str, campaign: Campaign, *, longest_s: float, lost: frozenset[Engine]) -> None:
        self.id = call
        self.state = State.RINGING
        self._campaign = campaign
        self._longest_s = longest_s
        self._lost = set(lost)
        self._timers = Timers()
        self._caller = Caller(call)
        self._position = dialogue.opening(campaign).position
        self._numbers = 0
        self._asked: set[int] = set()  # what the mind owes us
        self._outcome: str | None = None
        self._media_at: float | None = None
        self._duration_s = 0.0

    @property
    def deadline(self) -> float | None:
        """When `handle_timer` wants to be called, monotonic seconds."""
        return self._timers.deadline

    def handle(self, event: AnyEvent, now: float) -> list[AnyEffect]:
        """One event. A late one on an ended call is nothing; raises ImpossibleEvent on one that cannot be."""
        if self.state is State.ENDED:
            return []
        match event:
            case events.Heard():
                return self._heard(event, now)
            case events.Incoming():
                return self._incoming(event, now)
            case events.MediaStarted():
                return self._media_started(event, now)
            case events.HungUp():
                return self._hung_up(event, now)
            case events.Transcribed():
                return self._final_text(event.text) if self._caller.answers(event.turn) else []
            case events.Understood():
                return self._understood(event)
            case events.EngineLost():
                return self._engine_lost(event.engine)
            case events.EngineBack():
                return self._engine_back(event.engine)
            case events.StopAsked():
                return self.end_politely("stopped", now)
            case (
                events.Voiced()
                | events.Played()
                | events.Phrased()
                | events.Released()
                | events.TransferFailed()
                | events.CallbackSet()
                | events.CallbackRefused()
                | events.CallbackLost()
            ):
                return []  # answers to what a shadow never asks for
            case _:
                assert_never(event)

    def handle_timer(self, now: float) -> list[AnyEffect]:
        """Do what is due by `now`."""
        return [effect for timer in self._timers.due(now) for effect in self._timer(timer, now)]

    def end_politely(self, why: str, now: float, line: Prompt = Prompt.GOODBYE) -> list[AnyEffect]:
        """Hang up; without a word, whatever the `line`."""
        if self.state in (State.HANGING_UP, State.ENDED):
            return []
        if self.state is State.LAST_WORDS:
            return self._conclude()
        self._timers.only(Timer.HANG_UP, now + HANG_UP_S)
        self.state = State.HANGING_UP
        return [self._note("end_politely", why=why), effects.HangUp(self.id)]

    def _timer(self, timer: Timer, now: float) -> list[AnyEffect]:
        match timer:
            case Timer.FINAL:
                return [self._note("final_late"), *self._final_text("")]
            case Timer.MEDIA:
                self._outcome = "technical"
                return self.end_politely("no_media", now)
            case Timer.MAX_CALL:
                return self.end_politely("longest_call", now)
            case Timer.HANG_UP:
                return self._hung_up(events.HungUp(self.id, 408, "no answer to BYE", True), now)
            case _:  # the last words' meaning does not come
                return self._conclude()

    def _incoming(self, event: events.Incoming, now: float) -> list[AnyEffect]:
        if self._timers:
            raise ImpossibleEvent(event, self.state)
        self._timers.arm(Timer.MEDIA, now + MEDIA_S)
        self._timers.arm(Timer.MAX_CALL, now + self._longest_s)
        return [effects.Answer(self.id)]

    def _media_started(self, event: events.MediaStarted, now: float) -> list[AnyEffect]:
        if self.state is State.HANGING_UP and self._media_at is None:
            return []  # it crossed our BYE
        if not self._timers.stop(Timer.MEDIA):
            raise ImpossibleEvent(event, self.state)
        self._media_at = now
        self.state = State.LISTENING
        return [effects.Expect(self.id, None)]

    def _heard(self, row: events.Heard, now: float) -> list[AnyEffect]:
        tracker = self._caller.tracker
        tracker.feed(self._caller.row(row), gate_dbov=FLOOR_DBOV)
        if self.state is not State.LISTENING or not tracker.ended(None):
            return []
        return self._close_stretch(now)

    def _close_stretch(self, now: float, *, cut: bool = False) -> list[AnyEffect]:
        self._timers.arm(Timer.FINAL, now + FINAL_S)
        self.state = State.DECIDING
        self._numbers += 1
        return [self._caller.close_stretch(self._numbers, self._position, cut=cut)]

    def _final_text(self, text: str) -> list[AnyEffect]:
        """The turn is history; what it means is asked for, and nobody waits for that."""
        self._timers.stop(Timer.FINAL)
        turn = self._caller.final_text(text)
        out: list[AnyEffect] = [*self._caller.gone()]
        if self.state is State.DECIDING:
            self.state = State.LISTENING
        if turn is not None and turn.text and Engine.MIND not in self._lost:
            self._numbers += 1
            self._asked.add(self._numbers)
            out.append(effects.Understand(self.id, self._numbers, None, turn.text))
        return out + self._all_understood()

    def _understood(self, event: events.Understood) -> list[AnyEffect]:
        if event.request not in self._asked:
            return []
        self._asked.discard(event.request)
        meant = event.understanding.intent
        if meant == Builtin.OPT_OUT:
            self._outcome = OPTED_OUT
        elif self._outcome is None and meant is not None:
            self._outcome = self._ending(meant)
        return [self._note("understood", intent=meant, outcome=self._outcome), *self._all_understood()]

    def _ending(self, intent: str) -> str | None:
        """The outcome that the box would end the call with, None where it would talk on."""
        if intent in _WISHES:
            return BUILTIN_OUTCOME[Builtin(intent)]
        reply = self._campaign.reply(intent)
        if reply is None:
            return None
        if reply.then.startswith(END):
            return reply.then.removeprefix(END)
        times = {q.id for q in self._campaign.questions if q.slot is SlotKind.WHEN}
        return "callback" if reply.then in times else None

    def _hung_up(self, event: events.HungUp, now: float) -> list[AnyEffect]:
        if self.state is State.LAST_WORDS:
            return []
        self._duration_s = now - self._media_at if self._media_at is not None else 0.0
        out: list[AnyEffect] = [self._note("hung_up", code=event.code, by_us=event.by_us, state=self.state.value)]
        if self._caller.final is None and self._caller.tracker.active:
            out += self._close_stretch(now, cut=True)
        self._timers.only(Timer.LAST_WORDS, now + LAST_WORDS_S)
        if self._caller.final is not None:
            self._timers.arm(Timer.FINAL, now + FINAL_S)
        self.state = State.LAST_WORDS
        return out + self._all_understood()

    def _all_understood(self) -> list[AnyEffect]:
        """The end, once the caller is gone and nothing of theirs is left to understand."""
        over = self.state is State.LAST_WORDS and self._caller.final is None and not self._asked
        return self._conclude() if over else []

    def _conclude(self) -> list[AnyEffect]:
        out = [*self._caller.gone(), *self._caller.stretch_gone()]
        self._timers.clear()
        self.state = State.ENDED
        outcome = self._outcome or NO_OPINION
        return [*out, effects.Concluded(self.id, outcome, {}, round(self._duration_s, 3))]

    def _engine_lost(self, engine: Engine) -> list[AnyEffect]:
        self._lost.add(engine)
        out: list[AnyEffect] = [self._note("engine_lost", engine=engine.value, state=self.state.value)]
        if engine is Engine.MIND:
            self._asked.clear()
            return out + self._all_understood()
        self._caller.texts_lost()
        out += self._caller.stretch_gone()
        return out + (self._final_text("") if self._caller.final is not None else [])

    def _engine_back(self, engine: Engine) -> list[AnyEffect]:
        if engine not in self._lost:
            return []
        self._lost.discard(engine)
        note = self._note("engine_back", engine=engine.value, state=self.state.value)
        return [note, effects.Expect(self.id, None)] if engine is Engine.SPEECH else [note]

    def _note(self, kind: str, **data: str | int | float | bool | None) -> effects.Note:
        return effects.Note(self.id, kind, data)


class ShadowReport(msgspec.Struct, frozen=True):
    """Our statuses against the humans'. `agreement` is 0 to 1 of the calls that we had an opinion of, None without one.

    `pairs` counts (our status, the human's): ours is "" where we had no opinion.
    """

    calls: int
    no_opinion: int
    agreed: int
    agreement: float | None
    pairs: dict[tuple[str, str], int]


def shadow_report(rows: Iterable[tuple[str, str]]) -> ShadowReport:
    """`rows` are (our status, the human's status), one per call; ours is "" for no opinion."""
    pairs = Counter(rows)
    calls = pairs.total()
    no_opinion = sum(n for (ours, _), n in pairs.items() if not ours)
    agreed = sum(n for (ours, human), n in pairs.items() if ours and ours == human)
    judged = calls - no_opinion
    return ShadowReport(calls, no_opinion, agreed, agreed / judged if judged else None, dict(pairs.most_common()))
