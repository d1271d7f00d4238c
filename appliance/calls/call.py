"""One call's life: what happened -> what to do. The small machines beside this file decide; here they meet."""

from __future__ import annotations

from typing import assert_never

import msgspec

from appliance.audio.formats import RATE_HZ
from appliance.calls import dialogue, effects, events
from appliance.calls.agent import TAKE_BACK_S, Agent
from appliance.calls.bargein import BargeIn, Verdict, is_backchannel
from appliance.calls.caller import Caller, CallerTurn
from appliance.calls.campaign import BUILTIN_OUTCOME, Builtin, Campaign
from appliance.calls.dialogue import CALLBACK, OPTED_OUT, Decision
from appliance.calls.effects import Act, ActKind, AnyEffect, Prompt
from appliance.calls.events import AnyEvent, CallbackLost, CallbackSet, Engine
from appliance.calls.handover import Booked, Handover
from appliance.calls.states import ImpossibleEvent, State
from appliance.calls.timers import (
    DIALER_BYE_S,
    ENDING_S,
    FINAL_S,
    GIVE_UP_S,
    HANG_UP_S,
    HOLD_AGAIN_S,
    LAST_WORDS_S,
    MEDIA_S,
    NO_INPUT_S,
    OVER_CLOSING_S,
    RELEASE_S,
    Timer,
    Timers,
)
from appliance.calls.turns import hold_s
from appliance.calls.utterance import Utterance

NOISE_S = 0.3  # a wordless stretch shorter than this was none
PARTING_WISHES = frozenset({Builtin.OPT_OUT, Builtin.NOT_INTERESTED, Builtin.HUMAN})

# Where words are followed that nothing is decided on; in SPEAKING those over a closing, for others pause it.
TALKING = frozenset({State.LISTENING, State.PHRASING, State.PAUSED, State.SPEAKING, State.BOOKING})
# Where the call is in the dialer's hands, or ours no more: an opt-out is all that is listened for.
LEAVING = frozenset({State.TRANSFERRING, State.RELEASING, State.HANGING_UP})


class Call:
    """See `ARCHITECTURE.md`, "The core contract". `busy` makes it a call over capacity: one line, then goodbye.

    `can_transfer`: there are humans to hand the caller to; may be set at any time. A call over capacity goes to them too.
    """

    def __init__(
        self,
        call: str,
        campaign: Campaign,
        *,
        longest_s: float,
        lost: frozenset[Engine],
        busy: bool,
        can_transfer: bool = False,
    ) -> None:
        self.id = call
        self.state = State.RINGING
        self.can_transfer = can_transfer
        self._campaign = campaign
        self._longest_s = longest_s
        self._busy = busy
        self._lost = set(lost)
        self._timers = Timers()
        self._caller = Caller(call)
        self._agent = Agent(call, campaign)
        self._bargein = BargeIn()
        self._handover = Handover(call)
        self._position = dialogue.opening(campaign).position
        self._numbers = 0  # requests, utterances and turns share one sequence: a number names one thing in a journal
        self._asked: effects.Understand | effects.Phrase | None = None  # what the mind owes us
        self._understand_from = 0  # audio time at which the words began that the mind was asked about last
        self._waiting: tuple[Act, ...] | None = None  # to be said when speech is back
        self._booking = False  # what to say depends on the dialer's word
        self._connects = False  # what is being said leads to a human
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
            case events.Played():
                return self._played(event, now)
            case events.Incoming():
                return self._incoming(event, now)
            case events.MediaStarted():
                return self._media_started(event, now)
            case events.HungUp():
                return self._hung_up(event, now)
            case events.Transcribed():
                return self._final_text(event.text, now) if self._caller.answers(event.turn) else []
            case events.Understood():
                return self._understood(event, now)
            case events.Phrased():
                return self._phrased(event, now)
            case events.Voiced():
                self._agent.voiced(event)
                return []
            case events.EngineLost():
                return self._engine_lost(event.engine, now)
            case events.EngineBack():
                return self._engine_back(event.engine, now)
            case events.StopAsked():
                return self.end_politely("stopped", now, Prompt.FAREWELL)
            case events.Released():
                return self._released(event, now)
            case events.TransferFailed():
                return self._transfer_failed(event, now)
            case events.CallbackSet() | events.CallbackRefused() | events.CallbackLost():
                return self._book_answered(event, now)
            case _:
                assert_never(event)

    def handle_timer(self, now: float) -> list[AnyEffect]:
        """Do what is due by `now`."""
        return [effect for timer in self._timers.due(now) for effect in self._timer(timer, now)]

    def end_politely(self, why: str, now: float, line: Prompt = Prompt.GOODBYE) -> list[AnyEffect]:
        """Say goodbye with the daemon's own line and hang up; also the way out of a bug."""
        if self.state in (State.ENDING, State.RELEASING, State.HANGING_UP, State.ENDED):
            return []
        if self.state is State.LAST_WORDS:
            return self._conclude()
        out: list[AnyEffect] = [self._note("end_politely", why=why)]
        self._outcome = self._decided_outcome or ("cut_short" if line is Prompt.FAREWELL else "technical")
        if self.state is State.RINGING:
            return out + self._end(now)
        text, since = self._caller.open_text, self._caller.open_samples
        out += self._nothing_more()
        if not isinstance(self._asked, effects.Understand):
            # While the line is said: the caller's last words may be an opt-out.
            out += self._forget() + (self._understand(text, since) if text and self._outcome != OPTED_OUT else [])
        return out + self._agent.play(line, self._next()) + self._enter_ending(now)

    # Life cycle ------------------------------------------------------------------------------------------------------

    def _incoming(self, event: events.Incoming, now: float) -> list[AnyEffect]:
        if self._timers or self._media_at is not None:
            raise ImpossibleEvent(event, self.state)
        self._timers.arm(Timer.MEDIA, now + MEDIA_S)
        self._timers.arm(Timer.MAX_CALL, now + self._longest_s)
        out: list[AnyEffect] = [effects.Answer(self.id)]
        if not self._busy:
            # Worded while the 200 OK travels: the greeting is the one reply whose moment is known beforehand.
            out += self._phrase(dialogue.opening(self._campaign).acts, now)
            self._timers.stop_waiting()
            self.state = State.RINGING
        return out

    def _media_started(self, event: events.MediaStarted, now: float) -> list[AnyEffect]:
        if self.state in LEAVING and self._media_at is None:
            return []  # it crossed our BYE
        if not self._timers.stop(Timer.MEDIA):
            raise ImpossibleEvent(event, self.state)
        self._media_at = now
        if self._busy:
            self._outcome = "busy"
            self._connects = self.can_transfer
            line = Prompt.OVERFLOW if self._connects else Prompt.BUSY
            return self._agent.play(line, self._next()) + self._enter_ending(now)
        if Engine.SPEECH in self._lost:
            return self._hold_for_speech(now)
        self._timers.wait(now)
        return self._say_all(now)

    def _hung_up(self, event: events.HungUp, now: float) -> list[AnyEffect]:
        if self.state is State.LAST_WORDS:
            return []
        so_far = self._decided_outcome or ("technical" if event.by_us else "hung_up")
        told = self._handover.release(so_far, gone=True)  # before all else: it races the dialer's own entry
        note = self._note("hung_up", code=event.code, by_us=event.by_us, state=self.state.value)
        self._duration_s = now - self._media_at if self._media_at is not None else 0.0
        if not event.by_us or not told:
            last_words = self._last_words(now)
            if last_words is not None:
                return [*told, *(e for e in last_words if not isinstance(e, effects.Hush)), note]
        out = [e for e in self._nothing_more() if not isinstance(e, effects.Hush)]
        self._outcome = so_far
        return [*told, *out, *self._forget(), note, *self._conclude()]

    @property
    def _decided_outcome(self) -> str | None:
        """The one that the call ends with, whether its closing is to come, is taken back for now or has been said."""
        opted_out = OPTED_OUT if self._position.opted_out else None
        booked = CALLBACK if self._handover.has_booked and self._campaign.has_outcome(CALLBACK) else None
        return self._outcome or self._position.closed or opted_out or booked or self._position.reached

    def _last_words(self, now: float) -> list[AnyEffect] | None:
        """Understand what no reply was decided on: it may be an opt-out. None when there is no such thing.

        What the dialer still has to answer is waited for in the same way.
        """
        out: list[AnyEffect] = []
        deaf = self._decided_outcome == OPTED_OUT or Engine.MIND in self._lost
        awaited = self.state is State.DECIDING or (self.state in LEAVING and self._caller.turn is not None)
        if isinstance(self._asked, effects.Understand) and not deaf:
            out += self._nothing_more()
        elif awaited and not deaf:
            out += self._agent.line_over(cut=True)
        elif self._caller.tracker.active and self.state in TALKING | LEAVING and not deaf:
            if self.state is not State.LISTENING:
                out += self._caller.gone()
            out += [*_in_order(self._agent.cut()), *self._forget()]
            out += self._close_stretch(now, cut=True)
        elif self._handover.owed:
            out += self._nothing_more() + self._forget()
        else:
            return None
        self._timers.only(Timer.LAST_WORDS, now + LAST_WORDS_S)
        if self._caller.final is not None:
            self._timers.arm(Timer.FINAL, now + FINAL_S)
        self.state = State.LAST_WORDS
        return out

    def _nothing_owed(self) -> list[AnyEffect]:
        """The caller is gone: that was the last word, unless something else is still to come."""
        words = self._caller.turn is not None and self._caller.final is not None
        if words or isinstance(self._asked, effects.Understand) or self._handover.owed:
            return []
        return self._conclude()

    def _conclude(self) -> list[AnyEffect]:
        out = self._caller.gone() + self._forget()
        self._timers.clear()
        self.state = State.ENDED
        position = self._position
        done = effects.Concluded(
            self.id,
            self._decided_outcome or "hung_up",
            dict(position.slots),
            round(self._duration_s, 3),
            "" if self._busy else position.question,
            self._handover.transferred,
        )
        return [*out, done]

    def _enter_ending(self, now: float) -> list[AnyEffect]:
        self._timers.only(Timer.ENDING, now + ENDING_S)
        self.state = State.ENDING
        return []

    # The dialer ------------------------------------------------------------------------------------------------------

    def _finish(self, now: float) -> list[AnyEffect]:
        """All is said that goes before a hand-over, or before the end."""
        return self._transfer(now) if self._connects else self._end(now)

    def _transfer(self, now: float) -> list[AnyEffect]:
        self._connects = False
        self._outcome = outcome = self._decided_outcome or "technical"
        where = "" if self._busy else self._position.question
        self._timers.all_but(Timer.MAX_CALL)
        self._timers.wait(now)
        self.state = State.TRANSFERRING
        return self._handover.transfer(outcome, dict(self._position.slots), where, overflow=self._busy)

    def _end(self, now: float) -> list[AnyEffect]:
        """The dialer first: a BYE before its word would make a dropped call of this one."""
        out = self._forget()
        self._agent.utterance = None
        self._timers.only(Timer.RELEASE, now + RELEASE_S)
        self.state = State.RELEASING
        return [*out, *self._handover.release(self._decided_outcome or "technical")]

    def _released(self, event: events.Released, now: float) -> list[AnyEffect]:
        moved = self._handover.transfer_answered(well=True)
        if self.state is State.LAST_WORDS:
            return self._nothing_owed()
        if self.state is not State.RELEASING and not moved:
            return []
        out: list[AnyEffect] = [self._note("released", by_dialer=event.by_dialer, transferred=moved)]
        if self.state not in (State.TRANSFERRING, State.RELEASING, State.ENDING):
            out += self._nothing_more() + self._forget()  # it was given up, and came about all the same
        if not event.by_dialer:
            return out + self._hang_up(now)
        self._timers.only(Timer.RELEASE, now + DIALER_BYE_S)
        self.state = State.RELEASING
        return out

    def _not_released(self, now: float) -> list[AnyEffect]:
        """In time: neither the dialer's word nor its BYE."""
        return self._end(now) if self._handover.transfer_late() else self._hang_up(now)

    def _hang_up(self, now: float) -> list[AnyEffect]:
        self._timers.only(Timer.HANG_UP, now + HANG_UP_S)
        self.state = State.HANGING_UP
        return [effects.HangUp(self.id)]

    def _transfer_failed(self, event: events.TransferFailed, now: float) -> list[AnyEffect]:
        if not self._handover.transfer_answered(well=False):
            return []
        note = self._note("transfer_failed", nobody=event.nobody)
        match self.state:
            case State.LAST_WORDS:
                return [note, *self._nothing_owed()]
            case State.RELEASING:
                return [note, *self._end(now)]
            case State.TRANSFERRING:
                return [note, *self._stay(now)]
            case _:
                return [note]

    def _stay(self, now: float) -> list[AnyEffect]:
        """Nobody takes the caller. What was said meanwhile is understood before anything else is asked."""
        if self._caller.turn is not None or isinstance(self._asked, effects.Understand):
            return []
        self._timers.stop_waiting()
        if self._busy:
            return self._agent.play(Prompt.BUSY, self._next()) + self._enter_ending(now)
        decision = dialogue.on_transfer_failed(self._campaign, self._position, self._outcome or "technical")
        if Engine.SPEECH not in self._lost:
            return self._decided(decision, now)
        self.state = State.HOLDING
        return [*self._decided(decision, now), *self._hold(now)]

    def _opt_out(self) -> list[AnyEffect]:
        return self._handover.opt_out(round(self._understand_from / RATE_HZ, 3))

    def _book(self, when: str, now: float) -> list[AnyEffect]:
        out = self._handover.book(when)
        self._booking = True
        if self.state is not State.HOLDING:
            self.state = State.BOOKING
            self._timers.wait(now)
        return out + self._booked(now)

    def _book_answered(self, event: Booked, now: float) -> list[AnyEffect]:
        self._handover.book_answered(event)
        if self.state is State.LAST_WORDS:
            return self._nothing_owed()
        return self._booked(now) if self.state in (State.BOOKING, State.HOLDING) else []

    def _booked(self, now: float) -> list[AnyEffect]:
        """Say what has become of the time, if that is known and awaited."""
        answer = self._handover.booked
        if answer is None or not self._booking:
            return []
        self._booking = False
        if isinstance(answer, CallbackSet):
            return self._decided(dialogue.on_callback_set(self._campaign, self._position, answer.said), now)
        if isinstance(answer, CallbackLost):
            return self._decided(dialogue.on_callback_lost(self._campaign, self._position), now)
        return self._decided(dialogue.on_callback_refused(self._campaign, self._position, answer.hours), now)

    def _gave_up(self, now: float) -> list[AnyEffect]:
        """The caller has waited for too long."""
        if self.state is State.TRANSFERRING:
            why = "transfer_late" if self._handover.transfer_late() else "mind_late"
            return [self._note(why), *self._caller.gone(), *self._forget(), *self._stay(now)]
        if self.state is State.BOOKING:
            self._booking = False
            self._timers.stop_waiting()
            return [self._note("booking_late"), *self._decided(dialogue.on_callback_lost(self._campaign, self._position), now)]
        return self.end_politely("engines_gone", now)

    def _timer(self, timer: Timer, now: float) -> list[AnyEffect]:
        match timer:
            case Timer.MEDIA:
                self._outcome = "technical"
                return [self._note("no_media"), *self._end(now)]
            case Timer.NO_INPUT:
                self._caller.before = self._position
                return self._decided(dialogue.on_no_input(self._position), now)
            case Timer.FINAL:
                return [self._note("final_late"), *self._final_text("", now)]
            case Timer.SLOW:
                return self._slow(now)
            case Timer.GIVE_UP:
                return self._gave_up(now)
            case Timer.MAX_CALL:
                return self.end_politely("longest_call", now, Prompt.FAREWELL)
            case Timer.ENDING:
                return self._end(now)
            case Timer.LAST_WORDS:
                return self._conclude() if self.state is State.LAST_WORDS else self._all_said(now)
            case Timer.OVER_CLOSING:
                return self._no_longer(now) if self.state is State.LISTENING else []
            case Timer.RELEASE:
                return self._not_released(now)
            case Timer.HANG_UP:
                return self._hung_up(events.HungUp(self.id, 408, "no answer to BYE", True), now)
            case _:
                assert_never(timer)

    # The caller speaks -----------------------------------------------------------------------------------------------

    def _heard(self, row: events.Heard, now: float) -> list[AnyEffect]:
        self._bargein.hear(self._caller.row(row), self._caller.tracker)
        match self.state:
            case State.LISTENING:
                return self._listen(now)
            case State.SPEAKING | State.PAUSED if self._outcome is None:
                return self._barge(self._bargein.judge(self._caller.tracker), now)
            case State.TRANSFERRING:
                return self._overhear(now)
            case State.DECIDING | State.THINKING | State.BOOKING | State.PHRASING | State.SPEAKING:
                return self._take_back(now) if self._caller.tracker.active and self._caller.before is not None else []
            case _:
                return []

    def _listen(self, now: float) -> list[AnyEffect]:
        if not self._caller.tracker.active:
            self._timers.keep(Timer.NO_INPUT, now + NO_INPUT_S)
            return []
        self._timers.stop(Timer.NO_INPUT)
        question = self._campaign.question(self._position.question)
        if not self._caller.tracker.ended(question):
            return []
        why = self._note(
            "end_of_turn",
            silence_s=round(self._caller.tracker.silence_s, 3),
            hold_s=hold_s(question, self._caller.tracker.text),
            words=len(self._caller.tracker.text.split()),
            slot=question.slot.value,
        )
        return [why, *self._close_stretch(now)]

    def _close_stretch(self, now: float, *, cut: bool = False) -> list[AnyEffect]:
        finalize = self._caller.close_stretch(self._next(), self._position, cut=cut)
        self._agent.replies_to = self._caller.tracker.last_speech_samples
        self.state = State.DECIDING
        self._timers.arm(Timer.FINAL, now + FINAL_S)
        self._owe_reply(now)
        return [finalize]

    def _owe_reply(self, now: float) -> None:
        if self._position.closed is None:
            self._timers.wait(now)
        else:
            # After a goodbye there is nothing to hold the line for.
            self._timers.arm(Timer.LAST_WORDS, now + FINAL_S + LAST_WORDS_S)

    def _final_text(self, text: str, now: float) -> list[AnyEffect]:
        self._timers.stop(Timer.FINAL)
        turn = self._caller.final_text(text)
        if turn is None or self.state not in LEAVING | {State.DECIDING, State.LAST_WORDS}:
            return []
        if self.state is State.LAST_WORDS:
            return self._understand(turn.text, turn.start_samples) if turn.text else self._no_more_words()
        if self.state in LEAVING:
            return self._overheard(turn, now)
        if self._position.closed is not None and is_backchannel(turn.text):
            return self._all_said(now)
        if not turn.text:
            return self._wordless(turn, now)
        self.state = State.THINKING
        self._owe_reply(now)
        return self._understand(turn.text, turn.start_samples)

    def _overhear(self, now: float) -> list[AnyEffect]:
        """While a human is sought nothing is answered, but an opt-out counts."""
        question = self._campaign.question(self._position.question)
        heard = self._caller.tracker.active and self._caller.tracker.ended(question)
        if not heard or self._caller.final is not None or isinstance(self._asked, effects.Understand):
            return []
        self._timers.arm(Timer.FINAL, now + FINAL_S)
        return [self._caller.close_stretch(self._next(), self._position)]

    def _overheard(self, turn: CallerTurn, now: float) -> list[AnyEffect]:
        out = self._caller.gone()
        if turn.text and not is_backchannel(turn.text):
            return out + self._understand(turn.text, turn.start_samples)
        return out + self._go_on(now)

    def _go_on(self, now: float) -> list[AnyEffect]:
        """What was said while a human was sought is understood: the answer may have come before it."""
        waits = self.state is not State.TRANSFERRING or self._handover.transferring
        return [] if waits else self._stay(now)

    def _no_more_words(self) -> list[AnyEffect]:
        return self._caller.gone() + self._nothing_owed()

    def _wordless(self, turn: CallerTurn, now: float) -> list[AnyEffect]:
        if turn.spoken_samples / RATE_HZ < NOISE_S:
            self._caller.noise()
            self._agent.replies_to = None
            return [self._note("noise"), *self._start_listening(now)]
        return self._decided(dialogue.on_nothing_understood(self._campaign, self._position), now)

    def _take_back(self, now: float) -> list[AnyEffect]:
        """The caller goes on before we were heard: both pieces are one turn."""
        out: list[AnyEffect] = [self._note("take_back", state=self.state.value)]
        self._caller.discard_final()
        # So little of us was heard that it is no turn: the transcript has the caller's, whole.
        out += [e for e in self._agent.cut() if not isinstance(e, effects.TurnTaken)]
        out += self._forget()
        before, self._caller.before = self._caller.before, None
        if before is not None and before != self._position:
            self._position = before
            out.append(effects.Expect(self.id, self._position.question))
        if self._outcome == OPTED_OUT:
            self._position = msgspec.structs.replace(self._position, opted_out=True)
        self._outcome = None
        self._booking = False
        self._timers.stop_waiting()
        self._timers.stop(Timer.FINAL)
        self.state = State.LISTENING
        if self._position.closed is not None:
            self._timers.stop(Timer.LAST_WORDS)
            self._timers.keep(Timer.OVER_CLOSING, now + OVER_CLOSING_S)
        return out

    def _barge(self, verdict: Verdict, now: float) -> list[AnyEffect]:
        match verdict:
            case Verdict.NOTHING:
                return []
            case Verdict.PAUSE:
                self.state = State.PAUSED
                self._timers.stop_waiting()  # from here on it is we who wait
                return [effects.Pause(self.id), self._note("barge_pause")]
            case Verdict.RESUME if self._caller.tracker.text and self._agent.nearly_asked:
                self.state = State.LISTENING
                return [self._note("answered_early"), *self._caller.gone(), *self._agent.cut()]
            case Verdict.RESUME:
                return [*self._resume(now), self._note("barge_resume"), self._caller.drop_stretch(self._next())]
            case Verdict.COMMIT:
                utterance = self._agent.utterance
                heard_s = utterance.played_s if utterance else 0.0
                note = self._note("barge_commit", heard_s=round(heard_s, 3))
                if heard_s < TAKE_BACK_S and self._caller.before is not None:
                    return [note, *self._take_back(now)]
                self.state = State.LISTENING
                return [note, *self._caller.gone(), *self._agent.cut(), *self._forget()]
            case _:
                assert_never(verdict)

    def _resume(self, now: float) -> list[AnyEffect]:
        self.state = State.SPEAKING
        self._bargein.reset()
        self._caller.tracker.clear()
        if self._agent.utterance is not None and not self._agent.utterance.all_voiced:
            self._timers.wait(now)
        return [effects.Resume(self.id)]

    def _start_listening(self, now: float) -> list[AnyEffect]:
        self.state = State.LISTENING
        self._timers.stop_waiting()
        self._timers.arm(Timer.NO_INPUT, now + NO_INPUT_S)
        stale = self._caller.tracker.text and not self._caller.tracker.active
        self._caller.tracker.clear()
        return [self._caller.drop_stretch(self._next())] if stale else []

    # The mind answers ------------------------------------------------------------------------------------------------

    def _understand(self, text: str, since_samples: int) -> list[AnyEffect]:
        self._understand_from = since_samples
        return self._ask(effects.Understand(self.id, self._next(), self._position.question, text))

    def _ask(self, request: effects.Understand | effects.Phrase) -> list[AnyEffect]:
        self._asked = request
        return [] if Engine.MIND in self._lost else [request]

    def _forget(self) -> list[AnyEffect]:
        asked, self._asked = self._asked, None
        return [effects.Forget(self.id, asked.request)] if asked is not None else []

    def _understood(self, event: events.Understood, now: float) -> list[AnyEffect]:
        if not isinstance(self._asked, effects.Understand) or event.request != self._asked.request:
            return []
        self._asked = None
        meant = event.understanding
        note = self._note("understood", intent=meant.intent, slot=meant.slot is not None, question=self._position.question)
        opts_out = meant.intent == Builtin.OPT_OUT
        out = [note, *(self._opt_out() if opts_out else [])]
        if self.state is State.LAST_WORDS:
            wish = BUILTIN_OUTCOME[Builtin(meant.intent)] if meant.intent in PARTING_WISHES else None
            self._outcome = OPTED_OUT if opts_out else self._decided_outcome or wish
            return [*out, *self._nothing_owed()]
        if self.state is State.ENDING or self.state in LEAVING:
            self._outcome = OPTED_OUT if opts_out else self._outcome
            return [*out, *self._go_on(now)]
        if self._position.closed is not None and Engine.SPEECH in self._lost:
            # Without a voice nothing can be put right any more.
            self._outcome = OPTED_OUT if opts_out else None
            return [*out, *self._all_said(now)]
        return [*out, *self._decided(dialogue.on_meaning(self._campaign, self._position, meant), now)]

    def _decided(self, decision: Decision, now: float) -> list[AnyEffect]:
        self._position = decision.position
        self._outcome = decision.outcome
        out = self._opt_out() if decision.outcome == OPTED_OUT else []
        acts = decision.acts
        if decision.book is not None:
            return out + self._book(decision.book, now)
        if not acts:
            return out + self._all_said(now)
        self._connects = self._may_connect(decision)
        if self._connects:
            acts = (*acts[:-1], Act(ActKind.CONNECTING))
        if self.state is State.HOLDING:
            self._waiting = acts
            return out
        return out + self._phrase(acts, now)

    def _may_connect(self, decision: Decision) -> bool:
        """A closing that a human is the better end for."""
        if decision.outcome is None or decision.acts[-1].kind is not ActKind.CLOSE:
            return False
        return self.can_transfer and not self._handover.tried and self._campaign.outcome(decision.outcome).transfer

    def _phrase(self, acts: tuple[Act, ...], now: float) -> list[AnyEffect]:
        self._timers.stop(Timer.NO_INPUT, Timer.OVER_CLOSING, Timer.LAST_WORDS)
        acts = self._agent.owing(acts)
        request = effects.Phrase(self.id, self._next(), acts)
        self._agent.utterance = Utterance(self._next(), request.request, acts)
        self.state = State.PHRASING
        out: list[AnyEffect] = []
        if any(act.kind in (ActKind.ASK, ActKind.REASK) for act in acts):
            out.append(effects.Expect(self.id, self._position.question))
        self._timers.wait(now)
        return out + self._ask(request)

    def _phrased(self, event: events.Phrased, now: float) -> list[AnyEffect]:
        utterance = self._agent.utterance
        if utterance is None or not isinstance(self._asked, effects.Phrase) or event.request != self._asked.request:
            return []
        if not event.text and not event.last:
            return []
        self._agent.worded(utterance, event.text, event.last)
        if event.last:
            self._asked = None
        if self.state is State.RINGING:
            return []
        if not utterance.clauses:
            return self._said(now)
        self._begin_speaking()
        return [effects.Say(self.id, utterance.number, max(0, len(utterance.clauses) - 1), event.text, event.last)]

    def _say_all(self, now: float) -> list[AnyEffect]:
        """Everything worded so far, once it can be heard."""
        utterance = self._agent.utterance
        self.state = State.PHRASING
        if utterance is None or not utterance.clauses:
            return self._said(now) if self._asked is None else []
        self._begin_speaking()
        return self._agent.say(utterance)

    def _begin_speaking(self) -> None:
        if self.state is State.PHRASING:
            self.state = State.SPEAKING
            self._bargein.reset()

    # We speak --------------------------------------------------------------------------------------------------------

    def _played(self, event: events.Played, now: float) -> list[AnyEffect]:
        if self._agent.line is not None and event.utterance == self._agent.line.number:
            return self._line_played(self._agent.line, event, now)
        utterance = self._agent.utterance
        if utterance is None or event.utterance != utterance.number or self.state not in (State.SPEAKING, State.PAUSED):
            return []
        out: list[AnyEffect] = []
        if self._agent.left(utterance, event):
            self._timers.stop_waiting()
            if self.state is State.SPEAKING and not utterance.all_voiced:
                self._timers.wait(now)  # the rest still has to come: the engines may stall in the middle of a sentence too
            if utterance.played_s >= TAKE_BACK_S:
                out += self._caller.gone()
        if event.finished:
            out += self._said(now)
        return out

    def _said(self, now: float) -> list[AnyEffect]:
        """The utterance has left to its end."""
        utterance, spoken_over = self._agent.utterance, self.state is State.PAUSED
        out: list[AnyEffect] = [*self._caller.gone(), *self._agent.over(cut=False)]
        self._timers.stop_waiting()
        if spoken_over:
            out.append(effects.Resume(self.id))
        if utterance is not None and not utterance.worded:
            return out + self._forget() + self._phrase(utterance.acts, now)  # the mind died in the middle: all of it again
        if self._outcome is not None:
            if self._spoken_to():
                return self._listen_on(out, now)
            return _in_order(out + self._stretch_gone()) + self._finish(now)
        if Engine.SPEECH in self._lost:
            return out + self._hold_for_speech(now)
        if spoken_over:
            # The caller speaks into our last words: an answer, not an interruption.
            self.state = State.LISTENING
            return out
        return out + self._start_listening(now)

    def _spoken_to(self) -> bool:
        """The caller is talking into our last words, or has said something that is more than a listening noise."""
        t = self._caller.tracker
        if not t.active or Engine.SPEECH in self._lost:
            return False
        return not is_backchannel(t.text) or not t.ended(self._campaign.question(self._position.question))

    def _listen_on(self, out: list[AnyEffect], now: float) -> list[AnyEffect]:
        """Nobody is hung up on in mid-sentence, and it may be an opt-out."""
        self._position = msgspec.structs.replace(self._position, closed=self._outcome)
        self._outcome = None
        self._timers.arm(Timer.OVER_CLOSING, now + OVER_CLOSING_S)
        self.state = State.LISTENING
        return [*out, self._note("over_closing")]

    def _no_longer(self, now: float) -> list[AnyEffect]:
        """The caller has had the time for a sentence: what is said after it is no reason to listen on."""
        out = self._close_stretch(now)
        self._caller.before = None
        return out

    def _all_said(self, now: float) -> list[AnyEffect]:
        """On both sides."""
        return [*self._caller.gone(), *self._finish(now)]

    def _nothing_more(self) -> list[AnyEffect]:
        """Cut whoever speaks; what was said and heard till now becomes history."""
        return [
            *self._caller.gone(),
            *_in_order(self._agent.cut() + self._stretch_gone()),
        ]

    def _stretch_gone(self) -> list[AnyEffect]:
        noise = self.state is State.PAUSED and is_backchannel(self._caller.tracker.text)
        return [*self._caller.stretch_gone(but=noise)]

    # Engines die -----------------------------------------------------------------------------------------------------

    def _engine_lost(self, engine: Engine, now: float) -> list[AnyEffect]:
        self._lost.add(engine)
        note = self._note("engine_lost", engine=engine.value, state=self.state.value)
        return [note, *(self._mind_lost() if engine is Engine.MIND else self._speech_lost(now))]

    def _mind_lost(self) -> list[AnyEffect]:
        """A mind that owes an answer has its SLOW timer running. Half a sentence is said, and later all of it again."""
        if self.state is State.LAST_WORDS:
            self._asked = self._caller.final = None
            return self._no_more_words()
        utterance = self._agent.utterance
        if utterance is None or utterance.worded:
            return []
        if self.state is State.RINGING:
            utterance.clauses.clear()  # none was said, and all will be worded anew
        if self.state not in (State.SPEAKING, State.PAUSED):
            return []
        self._asked = None
        return [effects.Say(self.id, utterance.number, len(utterance.clauses) - 1, "", True)]

    def _speech_lost(self, now: float) -> list[AnyEffect]:
        if self.state is State.LAST_WORDS:
            return []
        if self.state is not State.DECIDING:
            self._caller.final = None
        self._caller.texts_lost()
        if self.state in LEAVING | {State.RINGING, State.HOLDING, State.ENDING}:
            return []  # what is said here is not the engine's
        if self._position.closed is not None:
            return self._heard_out(now)
        utterance = self._agent.utterance
        if utterance is not None and utterance.all_voiced:
            # All of it is in the playout already, and nobody is there to tell an interruption.
            return self._resume(now) if self.state is State.PAUSED else []
        return self._hold_for_speech(now)

    def _heard_out(self, now: float) -> list[AnyEffect]:
        """The recognizer died over what follows a closing: what is known of it has to do."""
        out = self._close_stretch(now) if self.state is State.LISTENING else []
        return out + (self._final_text("", now) if self.state is State.DECIDING else [])

    def _hold_for_speech(self, now: float) -> list[AnyEffect]:
        utterance = self._agent.utterance
        self._waiting = utterance.acts if utterance is not None else None
        out: list[AnyEffect] = []
        turn = self._caller.turn
        if self.state is State.DECIDING and turn is not None and turn.text:
            # The final text died with the engine; the partial one is what the caller will be answered to.
            self._timers.wait(now)
            out += self._understand(turn.text, turn.start_samples)
        out += self._caller.gone() + self._agent.over(cut=True) + self._stretch_gone()
        if isinstance(self._asked, effects.Phrase):
            out += self._forget()
        self._timers.stop(Timer.NO_INPUT, Timer.FINAL)
        self._caller.final = None
        self.state = State.HOLDING
        return out + self._hold(now)

    def _slow(self, now: float) -> list[AnyEffect]:
        """The caller has waited for long enough for a sound of us."""
        utterance = self._agent.utterance
        if self.state is not State.SPEAKING or utterance is None or not utterance.started:
            return self._hold(now)
        # It stopped half-way, and a line that waits in the playout behind it is not heard: the line first, then the rest.
        out = self._caller.gone() + self._agent.over(cut=True) + self._hold(now)
        self._agent.utterance = utterance.rest(self._next())
        return out + self._say_all(now)

    def _hold(self, now: float) -> list[AnyEffect]:
        self._timers.arm(Timer.SLOW, now + HOLD_AGAIN_S)
        self._timers.keep(Timer.GIVE_UP, now + GIVE_UP_S)
        return [] if self._agent.line is not None else [self._note("hold"), *self._agent.play(Prompt.HOLDING, self._next())]

    def _line_played(self, line: Utterance, event: events.Played, now: float) -> list[AnyEffect]:
        out: list[AnyEffect] = []
        said = self._agent.left(line, event) and line.played_s >= TAKE_BACK_S
        if (said or event.finished) and self.state is not State.TRANSFERRING:
            out += self._caller.gone()
        if not event.finished:
            return out
        out += self._agent.line_over(cut=False)
        if self.state is State.ENDING:
            return _in_order(out + self._stretch_gone()) + (self._finish(now) if self._busy else self._end(now))
        if self.state is State.HOLDING and Engine.SPEECH not in self._lost:
            return out + self._recover(now)
        return out

    def _engine_back(self, engine: Engine, now: float) -> list[AnyEffect]:
        if engine not in self._lost:
            return []
        self._lost.discard(engine)
        out: list[AnyEffect] = [self._note("engine_back", engine=engine.value, state=self.state.value)]
        if engine is Engine.MIND:
            return out + ([self._asked] if self._asked is not None else [])
        if self.state in (State.RINGING, State.SPEAKING):
            out.append(effects.Expect(self.id, self._position.question))
        if self.state is State.HOLDING and self._agent.line is None:
            out += self._recover(now)
        return out

    def _recover(self, now: float) -> list[AnyEffect]:
        self._timers.stop_waiting()
        if isinstance(self._asked, effects.Understand):
            self.state = State.THINKING
            self._timers.wait(now)
            return []
        if self._booking:
            self.state = State.BOOKING
            self._timers.wait(now)
            return []
        if self._waiting is None:
            acts = dialogue.on_engine_back(self._position).acts
        else:
            again = tuple(act for act in self._waiting if act.kind is not ActKind.BACK)
            acts, self._waiting = (Act(ActKind.BACK), *again), None
        return self._phrase(acts, now)

    # Small ones ------------------------------------------------------------------------------------------------------

    def _next(self) -> int:
        self._numbers += 1
        return self._numbers

    def _note(self, kind: str, **data: str | int | float | bool | None) -> effects.Note:
        return effects.Note(self.id, kind, data)


def _in_order(out: list[AnyEffect]) -> list[AnyEffect]:
    """Turns by their start: the two speak at once now and then. The rest after them."""
    turns = sorted((e for e in out if isinstance(e, effects.TurnTaken)), key=lambda turn: turn.start_s)
    return [*turns, *(e for e in out if not isinstance(e, effects.TurnTaken))]
