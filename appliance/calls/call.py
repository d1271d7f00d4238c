"""One call's life: what happened -> what to do. The small machines beside this file decide; here they meet."""

from __future__ import annotations

import enum
from typing import assert_never

import msgspec

from appliance.audio.formats import RATE_HZ
from appliance.calls import dialogue, effects, events
from appliance.calls.bargein import BargeIn, Verdict, is_backchannel
from appliance.calls.campaign import BUILTIN_OUTCOME, Builtin, Campaign, clauses
from appliance.calls.dialogue import Decision, Position
from appliance.calls.effects import Act, ActKind, AnyEffect, Prompt, Speaker
from appliance.calls.events import AnyEvent, Engine
from appliance.calls.turns import SpeechTracker, hold_s
from appliance.calls.utterance import Utterance

MEDIA_S = 10.0  # from the 200 OK to the first frame
NO_INPUT_S = 6.0
FINAL_S = 0.5  # the recognizer's last word; after that its partial text has to do
SLOW_S = 0.7  # the caller has waited so long for a sound of us: say something human
HOLD_AGAIN_S = 6.0
GIVE_UP_S = 12.0
HANG_UP_S = 5.0  # for the BYE's answer
ENDING_S = 30.0
TAKE_BACK_S = 0.3  # so little of a reply heard: the caller was not done, and both pieces are one turn
LAST_WORDS_S = 1.0  # the caller has hung up on a sentence: what it meant may still be an opt-out
TAIL_S = 1.0  # listening noises this near to the end of a question are its answer
NOISE_S = 0.3  # a wordless stretch shorter than this was none


PARTING_WISHES = frozenset({Builtin.OPT_OUT, Builtin.NOT_INTERESTED, Builtin.HUMAN})


class State(enum.Enum):
    RINGING = "ringing"
    LISTENING = "listening"
    DECIDING = "deciding"  # the turn is over, the recognizer's final text is awaited
    THINKING = "thinking"  # the mind is asked what it means
    PHRASING = "phrasing"  # the mind is asked for words, none has come
    SPEAKING = "speaking"
    PAUSED = "paused"  # the caller may be interrupting
    HOLDING = "holding"  # speech is gone: the daemon's own lines are all there is
    ENDING = "ending"  # the last words are on their way
    HANGING_UP = "hanging_up"
    LAST_WORDS = "last_words"  # the caller is gone; what they said last is still being understood
    ENDED = "ended"


class Timer(enum.Enum):
    MEDIA = "media"
    NO_INPUT = "no_input"
    FINAL = "final"
    SLOW = "slow"
    GIVE_UP = "give_up"
    MAX_CALL = "max_call"
    ENDING = "ending"
    HANG_UP = "hang_up"
    LAST_WORDS = "last_words"


class ImpossibleEvent(Exception):
    """An event that cannot follow what came before: a bug in the shell or here. Ends this call only."""

    def __init__(self, event: AnyEvent, state: State) -> None:
        self.event_type = type(event).__name__
        self.state = state
        super().__init__(f"{self.event_type} in state {state.value}")


class CallerTurn(msgspec.Struct, frozen=True):
    """What the caller said, not yet in the transcript while our reply may still be taken back."""

    start_samples: int
    end_samples: int
    text: str
    spoken_samples: int
    cut: bool = False  # the call ended before it did


class Call:
    """See `ARCHITECTURE.md`, "The core contract". `busy` makes it a call over capacity: one line, then goodbye."""

    def __init__(self, call: str, campaign: Campaign, *, longest_s: float, lost: frozenset[Engine], busy: bool) -> None:
        self.id = call
        self.state = State.RINGING
        self._campaign = campaign
        self._longest_s = longest_s
        self._busy = busy
        self._lost = set(lost)
        self._timers: dict[Timer, float] = {}
        self._tracker = SpeechTracker()
        self._bargein = BargeIn()
        self._position = dialogue.opening(campaign).position
        self._numbers = 0  # requests, utterances and turns share one sequence: a number names one thing in a journal
        self._asked: effects.Understand | effects.Phrase | None = None  # what the mind owes us
        self._utterance: Utterance | None = None
        self._filler: Utterance | None = None
        self._waiting: tuple[Act, ...] | None = None  # to be said when speech is back
        self._caller: CallerTurn | None = None
        self._before: Position | None = None  # where to go back to if the caller goes on; None once it is too late for that
        self._earlier_text = ""  # of the piece that was taken back
        self._reply_gap_from: int | None = None
        self._final: int | None = None  # the turn whose final text is awaited; row texts are of the old stretch till then
        self._discard: set[int] = set()
        self._disclosure_owed = False
        self._outcome: str | None = None
        self._media_at: float | None = None
        self._duration_s = 0.0

    @property
    def deadline(self) -> float | None:
        """When `handle_timer` wants to be called, monotonic seconds."""
        return min(self._timers.values(), default=None)

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
                return self._transcribed(event.turn, event.text, now)
            case events.Understood():
                return self._understood(event, now)
            case events.Phrased():
                return self._phrased(event, now)
            case events.Voiced():
                return self._voiced(event, now)
            case events.EngineLost():
                return self._engine_lost(event.engine, now)
            case events.EngineBack():
                return self._engine_back(event.engine, now)
            case events.StopAsked():
                return self.end_politely("stopped", now)
            case _:
                assert_never(event)

    def handle_timer(self, now: float) -> list[AnyEffect]:
        """Do what is due by `now`."""
        due = [t for t, when in self._timers.items() if when <= now]
        out: list[AnyEffect] = []
        for timer in due:
            if self._timers.get(timer, now + 1) <= now:  # an earlier one may have stopped it or armed it anew
                del self._timers[timer]
                out += self._timer(timer, now)
        return out

    def end_politely(self, why: str, now: float) -> list[AnyEffect]:
        """Say goodbye with the daemon's own line and hang up; also the way out of a bug."""
        if self.state in (State.ENDING, State.HANGING_UP, State.ENDED):
            return []
        if self.state is State.LAST_WORDS:
            return self._conclude("hung_up")
        out: list[AnyEffect] = [self._note("end_politely", why=why)]
        if self.state is State.RINGING:
            return out + self._hang_up(now)
        out += self._nothing_more() + self._forget()
        self._outcome = self._outcome or "technical"
        return out + self._play(Prompt.GOODBYE, now) + self._enter_ending(now)

    # Life cycle ------------------------------------------------------------------------------------------------------

    def _incoming(self, event: events.Incoming, now: float) -> list[AnyEffect]:
        if self._timers or self._media_at is not None:
            raise ImpossibleEvent(event, self.state)
        self._timers[Timer.MEDIA] = now + MEDIA_S
        self._timers[Timer.MAX_CALL] = now + self._longest_s
        out: list[AnyEffect] = [effects.Answer(self.id)]
        if not self._busy:
            # Worded while the 200 OK travels: the greeting is the one reply whose moment is known beforehand.
            out += self._phrase(dialogue.opening(self._campaign).acts, now)
            self._stop_waiting()
            self.state = State.RINGING
        return out

    def _media_started(self, event: events.MediaStarted, now: float) -> list[AnyEffect]:
        if self.state is State.HANGING_UP and self._media_at is None:
            return []  # it crossed our BYE
        if self._timers.pop(Timer.MEDIA, None) is None:
            raise ImpossibleEvent(event, self.state)
        self._media_at = now
        if self._busy:
            self._outcome = "busy"
            return self._play(Prompt.BUSY, now) + self._enter_ending(now)
        if Engine.SPEECH in self._lost:
            return self._hold_for_speech(now)
        self._wait(now)
        return self._say_all(now)

    def _hung_up(self, event: events.HungUp, now: float) -> list[AnyEffect]:
        if self.state is State.LAST_WORDS:
            return []
        note = self._note("hung_up", code=event.code, by_us=event.by_us, state=self.state.value)
        self._duration_s = now - self._media_at if self._media_at is not None else 0.0
        if not event.by_us and self._outcome is None and Engine.MIND not in self._lost:
            last_words = self._last_words(now)
            if last_words is not None:
                return [*(e for e in last_words if not isinstance(e, effects.Hush)), note]
        out = [e for e in self._nothing_more() if not isinstance(e, effects.Hush)]
        return [*out, *self._forget(), note, *self._conclude(self._outcome or ("technical" if event.by_us else "hung_up"))]

    def _last_words(self, now: float) -> list[AnyEffect] | None:
        """Understand what no reply was decided on: it may be an opt-out. None when there is no such thing."""
        out: list[AnyEffect] = []
        if isinstance(self._asked, effects.Understand):
            out += self._nothing_more()
        elif self.state is State.DECIDING:
            out += self._cut_filler()
        elif self._tracker.active and self.state in (State.LISTENING, State.PHRASING, State.PAUSED):
            if self.state is not State.LISTENING:
                out += self._caller_gone()
            out += [*_in_order(self._cut_filler() + self._cut_utterance()), *self._forget()]
            out += self._close_stretch(now, cut=True)
        else:
            return None
        self._timers = {Timer.LAST_WORDS: now + LAST_WORDS_S}
        if self._final is not None:
            self._timers[Timer.FINAL] = now + FINAL_S
        self.state = State.LAST_WORDS
        return out

    def _conclude(self, outcome: str) -> list[AnyEffect]:
        out = self._caller_gone() + self._forget()
        self._timers.clear()
        self.state = State.ENDED
        return [*out, effects.Concluded(self.id, outcome, dict(self._position.slots), round(self._duration_s, 3))]

    def _hang_up(self, now: float) -> list[AnyEffect]:
        out = self._forget()
        self._utterance = None
        self._timers = {Timer.HANG_UP: now + HANG_UP_S}
        self.state = State.HANGING_UP
        return [*out, effects.HangUp(self.id)]

    def _enter_ending(self, now: float) -> list[AnyEffect]:
        for timer in (Timer.NO_INPUT, Timer.SLOW, Timer.GIVE_UP, Timer.FINAL, Timer.MAX_CALL):
            self._timers.pop(timer, None)
        self._timers[Timer.ENDING] = now + ENDING_S
        self.state = State.ENDING
        return []

    def _timer(self, timer: Timer, now: float) -> list[AnyEffect]:
        match timer:
            case Timer.MEDIA:
                self._outcome = "technical"
                return [self._note("no_media"), *self._hang_up(now)]
            case Timer.NO_INPUT:
                self._before = self._position
                return self._decided(dialogue.on_no_input(self._position), now)
            case Timer.FINAL:
                return [self._note("final_late"), *self._final_text("", now)]
            case Timer.SLOW:
                return self._slow(now)
            case Timer.GIVE_UP:
                return self.end_politely("engines_gone", now)
            case Timer.MAX_CALL:
                return self.end_politely("longest_call", now)
            case Timer.ENDING:
                return self._hang_up(now)
            case Timer.LAST_WORDS:
                return self._conclude("hung_up")
            case Timer.HANG_UP:
                return self._hung_up(events.HungUp(self.id, 408, "no answer to BYE", True), now)
            case _:
                assert_never(timer)

    # The caller speaks -----------------------------------------------------------------------------------------------

    def _heard(self, row: events.Heard, now: float) -> list[AnyEffect]:
        if self._final is not None and row.text is not None:
            row = msgspec.structs.replace(row, text=None)
        self._bargein.hear(row, self._tracker)
        match self.state:
            case State.LISTENING:
                return self._listen(now)
            case State.DECIDING | State.THINKING | State.PHRASING:
                return self._take_back(now) if self._tracker.active and self._before is not None else []
            case State.SPEAKING | State.PAUSED if self._outcome is None:
                return self._barge(self._bargein.judge(self._tracker), now)
            case _:
                return []

    def _listen(self, now: float) -> list[AnyEffect]:
        if not self._tracker.active:
            self._timers.setdefault(Timer.NO_INPUT, now + NO_INPUT_S)
            return []
        self._timers.pop(Timer.NO_INPUT, None)
        question = self._campaign.question(self._position.question)
        if not self._tracker.ended(question):
            return []
        why = self._note(
            "end_of_turn",
            silence_s=round(self._tracker.silence_s, 3),
            hold_s=hold_s(question, self._tracker.text),
            words=len(self._tracker.text.split()),
            slot=question.slot.value,
        )
        return [why, *self._close_stretch(now)]

    def _close_stretch(self, now: float, *, cut: bool = False) -> list[AnyEffect]:
        t = self._tracker
        earlier = self._caller
        self._caller = CallerTurn(
            earlier.start_samples if earlier else t.onset_samples,
            t.last_speech_samples,
            " ".join(x for x in (earlier.text if earlier else "", t.text) if x),
            t.speech_samples + (earlier.spoken_samples if earlier else 0),
            cut,
        )
        # After a stretch without end, what follows is more of it: no reason to take the reply back.
        self._before = None if t.too_long else self._position
        self._earlier_text = earlier.text if earlier else ""
        self._final = self._next()
        t.clear()
        self.state = State.DECIDING
        self._timers[Timer.FINAL] = now + FINAL_S
        self._wait(now)
        self._reply_gap_from = self._caller.end_samples
        return [effects.Finalize(self.id, self._final)]

    def _transcribed(self, turn: int, text: str, now: float) -> list[AnyEffect]:
        if turn in self._discard:
            self._discard.discard(turn)
            self._final = None if self._final == turn else self._final
            return []
        return self._final_text(text, now) if turn == self._final else []

    def _final_text(self, text: str, now: float) -> list[AnyEffect]:
        self._final = None
        self._timers.pop(Timer.FINAL, None)
        if self.state not in (State.DECIDING, State.LAST_WORDS) or self._caller is None:
            return []
        if text:
            whole = " ".join(x for x in (self._earlier_text, text) if x)
            self._caller = msgspec.structs.replace(self._caller, text=whole)
        if self.state is State.LAST_WORDS:
            return self._understand(self._caller.text) if self._caller.text else self._conclude("hung_up")
        if not self._caller.text:
            return self._wordless(self._caller, now)
        self.state = State.THINKING
        self._wait(now)
        return self._understand(self._caller.text)

    def _wordless(self, turn: CallerTurn, now: float) -> list[AnyEffect]:
        if turn.spoken_samples / RATE_HZ < NOISE_S:
            self._caller = self._before = self._reply_gap_from = None
            return [self._note("noise"), *self._start_listening(now)]
        return self._decided(dialogue.on_nothing_understood(self._campaign, self._position), now)

    def _take_back(self, now: float) -> list[AnyEffect]:
        """The caller goes on before we were heard: both pieces are one turn."""
        out: list[AnyEffect] = [self._note("take_back", state=self.state.value)]
        if self.state is State.DECIDING and self._final is not None:
            # The text of the closed stretch is on its way; until it is here, the partial stands for it.
            self._discard.add(self._final)
        # So little of us was heard that it is no turn: the transcript has the caller's, whole.
        out += [e for e in self._cut_utterance() + self._cut_filler() if not isinstance(e, effects.TurnTaken)]
        out += self._forget()
        if self._before is not None and self._before != self._position:
            self._position = self._before
            out.append(effects.Expect(self.id, self._position.question))
        self._before = None
        self._outcome = None
        self._stop_waiting()
        self._timers.pop(Timer.FINAL, None)
        self.state = State.LISTENING
        return out

    def _barge(self, verdict: Verdict, now: float) -> list[AnyEffect]:
        match verdict:
            case Verdict.NOTHING:
                return []
            case Verdict.PAUSE:
                self.state = State.PAUSED
                self._stop_waiting()  # from here on it is we who wait
                return [effects.Pause(self.id), self._note("barge_pause")]
            case Verdict.RESUME if self._answered_early():
                out = [self._note("answered_early"), *self._caller_gone(), *self._cut_filler(), *self._cut_utterance()]
                self.state = State.LISTENING
                return out
            case Verdict.RESUME:
                return [*self._resume(now), self._note("barge_resume"), *self._drop_stretch()]
            case Verdict.COMMIT:
                utterance = self._utterance
                heard_s = utterance.played_samples / RATE_HZ if utterance else 0.0
                note = self._note("barge_commit", heard_s=round(heard_s, 3))
                if heard_s < TAKE_BACK_S and self._before is not None:
                    return [note, *self._take_back(now)]
                out = [note, *self._caller_gone(), *self._cut_filler(), *self._cut_utterance(), *self._forget()]
                self.state = State.LISTENING
                return out
            case _:
                assert_never(verdict)

    def _answered_early(self) -> bool:
        """A "yes" over the last words of a question is its answer, not a listening noise."""
        utterance = self._utterance
        return (
            utterance is not None
            and bool(self._tracker.text)
            and utterance.acts[-1].kind in (ActKind.ASK, ActKind.REASK)
            and utterance.all_voiced
            and utterance.left_s <= TAIL_S
            and utterance.played_samples / RATE_HZ >= TAKE_BACK_S
        )

    def _resume(self, now: float) -> list[AnyEffect]:
        self.state = State.SPEAKING
        self._bargein.reset()
        self._tracker.clear()
        if self._utterance is not None and not self._utterance.all_voiced:
            self._wait(now)
        return [effects.Resume(self.id)]

    def _drop_stretch(self) -> list[AnyEffect]:
        """Start the recognizer afresh: what it has heard so far is not part of an answer."""
        turn = self._next()
        self._discard.add(turn)
        self._final = turn
        return [effects.Finalize(self.id, turn)]

    def _start_listening(self, now: float) -> list[AnyEffect]:
        self.state = State.LISTENING
        self._stop_waiting()
        self._timers[Timer.NO_INPUT] = now + NO_INPUT_S
        stale = self._tracker.text and not self._tracker.active
        self._tracker.clear()
        return self._drop_stretch() if stale else []

    # The mind answers ------------------------------------------------------------------------------------------------

    def _understand(self, text: str) -> list[AnyEffect]:
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
        if self.state is State.LAST_WORDS:
            wish = BUILTIN_OUTCOME[Builtin(meant.intent)] if meant.intent in PARTING_WISHES else "hung_up"
            return [note, *self._conclude(wish)]
        return [note, *self._decided(dialogue.on_meaning(self._campaign, self._position, meant), now)]

    def _decided(self, decision: Decision, now: float) -> list[AnyEffect]:
        self._position = decision.position
        self._outcome = decision.outcome
        if self.state is State.HOLDING:
            self._waiting = decision.acts
            return []
        return self._phrase(decision.acts, now)

    def _phrase(self, acts: tuple[Act, ...], now: float) -> list[AnyEffect]:
        self._timers.pop(Timer.NO_INPUT, None)
        acts = self._with_disclosure(acts)
        request = effects.Phrase(self.id, self._next(), acts)
        self._utterance = Utterance(self._next(), request.request, acts)
        self.state = State.PHRASING
        out: list[AnyEffect] = []
        if any(act.kind in (ActKind.ASK, ActKind.REASK) for act in acts):
            out.append(effects.Expect(self.id, self._position.question))
        self._wait(now)
        return out + self._ask(request)

    def _with_disclosure(self, acts: tuple[Act, ...]) -> tuple[Act, ...]:
        """A disclosure that was cut is owed: it comes first, unless these are the last words."""
        kinds = {act.kind for act in acts}
        if ActKind.GREET in kinds or ActKind.DISCLOSE in kinds:
            self._disclosure_owed = False
        elif self._disclosure_owed and ActKind.CLOSE not in kinds:
            self._disclosure_owed = False
            return (Act(ActKind.DISCLOSE), *acts)
        return acts

    def _phrased(self, event: events.Phrased, now: float) -> list[AnyEffect]:
        utterance = self._utterance
        if utterance is None or not isinstance(self._asked, effects.Phrase) or event.request != self._asked.request:
            return []
        if not event.text and not event.last:
            return []
        if event.text:
            utterance.clauses.append(event.text)
        utterance.worded = event.last
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
        utterance = self._utterance
        self.state = State.PHRASING
        if utterance is None or not utterance.clauses:
            return self._said(now) if self._asked is None else []
        self._begin_speaking()
        final = len(utterance.clauses) - 1
        return [
            effects.Say(self.id, utterance.number, i, text, utterance.worded and i == final)
            for i, text in enumerate(utterance.clauses)
        ]

    def _begin_speaking(self) -> None:
        if self.state is State.PHRASING:
            self.state = State.SPEAKING
            self._bargein.reset()

    # We speak --------------------------------------------------------------------------------------------------------

    def _voiced(self, event: events.Voiced, now: float) -> list[AnyEffect]:
        for utterance in (self._utterance, self._filler):
            if utterance is not None and utterance.number == event.utterance:
                utterance.voiced(event.clause, event.samples)
        return []

    def _played(self, event: events.Played, now: float) -> list[AnyEffect]:
        if self._filler is not None and event.utterance == self._filler.number:
            return self._filler_played(self._filler, event, now)
        utterance = self._utterance
        if utterance is None or event.utterance != utterance.number or self.state not in (State.SPEAKING, State.PAUSED):
            return []
        out: list[AnyEffect] = []
        if event.samples > utterance.played_samples:
            self._stop_waiting()
            if self.state is State.SPEAKING and not utterance.all_voiced:
                self._wait(now)  # the rest still has to come: the engines may stall in the middle of a sentence too
            utterance.played(event.samples, event.at_samples)
            self._measure_gap(utterance)
            if event.samples / RATE_HZ >= TAKE_BACK_S:
                out += self._caller_gone()
        if event.finished:
            out += self._said(now)
        return out

    def _said(self, now: float) -> list[AnyEffect]:
        """The utterance has left to its end."""
        utterance, spoken_over = self._utterance, self.state is State.PAUSED
        self._utterance = None
        out = self._caller_gone() + (self._agent_turn(utterance) if utterance is not None else [])
        self._stop_waiting()
        if spoken_over:
            out.append(effects.Resume(self.id))
        if utterance is not None:
            self._note_disclosure(utterance, whole=bool(utterance.clauses))
        if utterance is not None and not utterance.worded:
            return out + self._forget() + self._phrase(utterance.acts, now)  # the mind died in the middle: all of it again
        if self._outcome is not None:
            return _in_order(out + self._stretch_gone()) + self._hang_up(now)
        if Engine.SPEECH in self._lost:
            return out + self._hold_for_speech(now)
        if spoken_over:
            # The caller speaks into our last words: an answer, not an interruption.
            self.state = State.LISTENING
            return out
        return out + self._start_listening(now)

    def _cut_utterance(self) -> list[AnyEffect]:
        utterance, self._utterance = self._utterance, None
        if utterance is None:
            return []
        self._note_disclosure(utterance, whole=False)
        hush = [effects.Hush(self.id, utterance.number)] if utterance.clauses else []
        return [*self._agent_turn(utterance, cut=True), *hush]

    def _note_disclosure(self, utterance: Utterance, *, whole: bool) -> None:
        """It is owed until it has left to its last clause, in however many pieces."""
        greeting = self._campaign.greeting
        lines = {
            ActKind.BACK: self._campaign.lines.back,
            ActKind.GREET: f"{greeting.hello} {greeting.disclosure}",
            ActKind.DISCLOSE: greeting.disclosure,
        }
        needed = 0
        for act in utterance.acts:
            needed += len(clauses(lines.get(act.kind, "")))
            if act.kind in (ActKind.GREET, ActKind.DISCLOSE):
                self._disclosure_owed = not whole and utterance.heard_clauses < needed

    def _agent_turn(self, utterance: Utterance, *, cut: bool = False) -> list[AnyEffect]:
        text = utterance.heard_text() if cut else utterance.text()
        if not utterance.started or not text:
            return []
        times = (utterance.started_s, utterance.ended_s)
        return [self._turn(Speaker.AGENT, text, *times, gap_ms=utterance.gap_ms, cut=cut)]

    def _nothing_more(self) -> list[AnyEffect]:
        """Cut whoever speaks; what was said and heard till now becomes history."""
        return [*self._caller_gone(), *_in_order(self._cut_filler() + self._cut_utterance() + self._stretch_gone())]

    def _stretch_gone(self) -> list[AnyEffect]:
        """What the caller is just saying becomes history as it stands: nobody waits for its end."""
        t = self._tracker
        out: list[AnyEffect] = []
        if t.active and t.text and not (self.state is State.PAUSED and is_backchannel(t.text)):
            times = (t.onset_samples / RATE_HZ, t.last_speech_samples / RATE_HZ)
            out.append(self._turn(Speaker.CALLER, t.text, *times, cut=True))
        t.clear()
        return out

    def _caller_gone(self) -> list[AnyEffect]:
        """What the caller said becomes history: our reply to it is being heard, or there is none to come."""
        turn, self._caller, self._before = self._caller, None, None
        out: list[AnyEffect] = []
        if turn is not None and turn.text:
            times = (turn.start_samples / RATE_HZ, turn.end_samples / RATE_HZ)
            out.append(self._turn(Speaker.CALLER, turn.text, *times, cut=turn.cut))
        return out

    def _turn(
        self, who: Speaker, text: str, start_s: float, end_s: float, *, gap_ms: float | None = None, cut: bool = False
    ) -> effects.TurnTaken:
        return effects.TurnTaken(self.id, who, text, round(start_s, 3), round(end_s, 3), gap_ms, cut)

    def _measure_gap(self, utterance: Utterance) -> None:
        if self._reply_gap_from is not None:
            utterance.gap_ms = round(utterance.started_s * 1000 - self._reply_gap_from * 1000 / RATE_HZ, 1)
            self._reply_gap_from = None

    # Engines die -----------------------------------------------------------------------------------------------------

    def _engine_lost(self, engine: Engine, now: float) -> list[AnyEffect]:
        self._lost.add(engine)
        note = self._note("engine_lost", engine=engine.value, state=self.state.value)
        return [note, *(self._mind_lost() if engine is Engine.MIND else self._speech_lost(now))]

    def _mind_lost(self) -> list[AnyEffect]:
        """A mind that owes an answer has its SLOW timer running. Half a sentence is said, and later all of it again."""
        if self.state is State.LAST_WORDS:
            return self._conclude("hung_up")
        utterance = self._utterance
        if utterance is None or utterance.worded:
            return []
        if self.state is State.RINGING:
            utterance.clauses.clear()  # none was said, and all will be worded anew
        if self.state not in (State.SPEAKING, State.PAUSED):
            return []
        self._asked = None
        return [effects.Say(self.id, utterance.number, len(utterance.clauses) - 1, "", True)]

    def _speech_lost(self, now: float) -> list[AnyEffect]:
        if self.state in (State.RINGING, State.HOLDING, State.ENDING, State.HANGING_UP, State.LAST_WORDS):
            return []  # what is said here is not the engine's
        if self.state is not State.DECIDING:
            self._final = None
        self._discard.clear()
        utterance = self._utterance
        if utterance is not None and utterance.all_voiced:
            # All of it is in the playout already, and nobody is there to tell an interruption.
            return self._resume(now) if self.state is State.PAUSED else []
        return self._hold_for_speech(now)

    def _hold_for_speech(self, now: float) -> list[AnyEffect]:
        utterance = self._utterance
        self._waiting = utterance.acts if utterance is not None else None
        out: list[AnyEffect] = []
        if self.state is State.DECIDING and self._caller is not None and self._caller.text:
            # The final text died with the engine; the partial one is what the caller will be answered to.
            self._wait(now)
            out += self._understand(self._caller.text)
        out += self._caller_gone() + self._cut_utterance() + self._stretch_gone()
        if isinstance(self._asked, effects.Phrase):
            out += self._forget()
        for timer in (Timer.NO_INPUT, Timer.FINAL):
            self._timers.pop(timer, None)
        self._final = None
        self.state = State.HOLDING
        return out + self._hold(now)

    def _slow(self, now: float) -> list[AnyEffect]:
        """The caller has waited for long enough for a sound of us."""
        utterance = self._utterance
        if self.state is not State.SPEAKING or utterance is None or not utterance.started:
            return self._hold(now)
        # It stopped half-way, and a line that waits in the playout behind it is not heard: the line first, then the rest.
        out = self._caller_gone() + self._cut_utterance() + self._hold(now)
        self._utterance = utterance.rest(self._next())
        return out + self._say_all(now)

    def _hold(self, now: float) -> list[AnyEffect]:
        self._timers[Timer.SLOW] = now + HOLD_AGAIN_S
        self._timers.setdefault(Timer.GIVE_UP, now + GIVE_UP_S)
        return [] if self._filler is not None else [self._note("hold"), *self._play(Prompt.HOLDING, now)]

    def _play(self, prompt: Prompt, now: float) -> list[AnyEffect]:
        line = {
            Prompt.HOLDING: self._campaign.lines.holding,
            Prompt.GOODBYE: self._campaign.lines.goodbye,
            Prompt.BUSY: self._campaign.lines.busy,
        }[prompt]
        self._filler = Utterance(self._next(), None)
        self._filler.clauses.append(line)
        self._filler.worded = True
        return [effects.Play(self.id, self._filler.number, prompt)]

    def _filler_played(self, filler: Utterance, event: events.Played, now: float) -> list[AnyEffect]:
        out: list[AnyEffect] = []
        if event.samples > filler.played_samples:
            filler.played(event.samples, event.at_samples)
            self._measure_gap(filler)
            if event.samples / RATE_HZ >= TAKE_BACK_S:
                out += self._caller_gone()
        if not event.finished:
            return out
        self._filler = None
        out += self._caller_gone()
        out += self._agent_turn(filler)
        if self.state is State.ENDING:
            return _in_order(out + self._stretch_gone()) + self._hang_up(now)
        if self.state is State.HOLDING and Engine.SPEECH not in self._lost:
            return out + self._recover(now)
        return out

    def _cut_filler(self) -> list[AnyEffect]:
        filler, self._filler = self._filler, None
        return [*self._agent_turn(filler, cut=True), effects.Hush(self.id, filler.number)] if filler is not None else []

    def _engine_back(self, engine: Engine, now: float) -> list[AnyEffect]:
        if engine not in self._lost:
            return []
        self._lost.discard(engine)
        out: list[AnyEffect] = [self._note("engine_back", engine=engine.value, state=self.state.value)]
        if engine is Engine.MIND:
            return out + ([self._asked] if self._asked is not None else [])
        if self.state in (State.RINGING, State.SPEAKING):
            out.append(effects.Expect(self.id, self._position.question))
        if self.state is State.HOLDING and self._filler is None:
            out += self._recover(now)
        return out

    def _recover(self, now: float) -> list[AnyEffect]:
        self._stop_waiting()
        if isinstance(self._asked, effects.Understand):
            self.state = State.THINKING
            self._wait(now)
            return []
        if self._waiting is None:
            acts = dialogue.on_engine_back(self._position).acts
        else:
            again = tuple(act for act in self._waiting if act.kind is not ActKind.BACK)
            acts, self._waiting = (Act(ActKind.BACK), *again), None
        return self._phrase(acts, now)

    # Small ones ------------------------------------------------------------------------------------------------------

    def _wait(self, now: float) -> None:
        """The caller waits for us from here on."""
        self._timers.setdefault(Timer.SLOW, now + SLOW_S)
        self._timers.setdefault(Timer.GIVE_UP, now + GIVE_UP_S)

    def _stop_waiting(self) -> None:
        self._timers.pop(Timer.SLOW, None)
        self._timers.pop(Timer.GIVE_UP, None)

    def _next(self) -> int:
        self._numbers += 1
        return self._numbers

    def _note(self, kind: str, **data: str | int | float | bool | None) -> effects.Note:
        return effects.Note(self.id, kind, data)


def _in_order(out: list[AnyEffect]) -> list[AnyEffect]:
    """Turns by their start: the two speak at once now and then. The rest after them."""
    turns = sorted((e for e in out if isinstance(e, effects.TurnTaken)), key=lambda turn: turn.start_s)
    return [*turns, *(e for e in out if not isinstance(e, effects.TurnTaken))]
