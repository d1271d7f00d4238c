"""Plays the daemon, the engines, the line and the caller to the core, on a virtual clock: a story per test.

Everything is a simple model of the real part, in steps of one 20 ms frame: a recognizer whose words come a little late,
a mind that answers by a table, a voice of four words a second, a playout in order of first writing with pause and
retirement. Each can be slowed down or taken away. Every effect is checked against what must hold for all of them.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from functools import partial
from typing import TypeVar, assert_never

from appliance.audio.formats import FRAME_S, FRAME_SAMPLES, RATE_HZ
from appliance.calls import effects, events
from appliance.calls.campaign import HOURS, WHEN, Campaign, clauses
from appliance.calls.effects import Act, ActKind, AnyEffect, Speaker, TurnTaken
from appliance.calls.events import AnyEvent, Engine, Understanding
from appliance.calls.states import State
from appliance.calls.switchboard import Switchboard
from appliance.calls.timers import RELEASE_S

T = TypeVar("T", bound=effects.Effect)

CALL = "c1"
WORD_S = 0.25
AGENT_DBOV = -20.0
CALLER_DBOV = -22.0
SILENCE_DBOV = -70.0

CAMPAIGN = Campaign.model_validate(
    {
        "name": "Roofs",
        "language": "en",
        "agent": "Ann",
        "company": "Roof Care",
        "greeting": {"hello": "Hello this is Ann.", "disclosure": "I am a machine and we record."},
        "questions": [
            {
                "id": "owner",
                "ask": "Do you own your home?",
                "reask": "Is the home yours?",
                "slot": "yes_no",
                "on": {"no": "end:not_qualified", "maybe": "repeat"},
                "reasks": 1,
                "give_up": "end:not_qualified",
            },
            {"id": "year", "ask": "When was it built?", "reask": "Which year?", "slot": "number"},
            {"id": "zip", "ask": "What is your zip code?", "reask": "The zip code please?", "slot": "digits", "digits": 5},
            {"id": "more", "ask": "Anything else?", "reask": "Anything to add?", "slot": "open", "reasks": 0},
        ],
        "answers": [{"id": "who", "phrases": ["who is this"], "say": "I call for Roof Care."}],
        "objections": [
            {"id": "busy_now", "phrases": ["no time"], "say": "It takes one minute.", "then": "next"},
            {"id": "rented", "phrases": ["we rent"], "say": "Then it is not for you.", "then": "end:not_qualified"},
        ],
        "intents": {
            "opt_out": ["take me off your list"],
            "human": ["a real person"],
            "not_interested": ["not interested"],
            "goodbye": ["goodbye"],
            "repeat": ["say that again"],
        },
        "outcomes": [
            {"id": "completed", "closing": "All done. Goodbye."},
            {"id": "dnc", "closing": "I will remove you. Goodbye."},
            {"id": "wants_human", "closing": "A colleague will call. Goodbye."},
            {"id": "not_interested", "closing": "All right. Goodbye."},
            {"id": "not_qualified", "closing": "Thank you anyway. Goodbye."},
            {"id": "no_input", "closing": "I can not hear you. Goodbye."},
            {"id": "hung_up"},
            {"id": "technical"},
        ],
    }
)


def _for_a_dialer() -> Campaign:
    """The same with humans to hand callers to, and callbacks."""
    raw = CAMPAIGN.model_dump(mode="json")
    raw["questions"].append(
        {
            "id": "when",
            "ask": "When may we call?",
            "reask": "Which day and hour?",
            "slot": "when",
            "aside": True,
            "reasks": 1,
            "give_up": "end:callback",
        }
    )
    raw["objections"].append({"id": "later", "phrases": ["call me later"], "say": "Of course.", "then": "when"})
    for outcome in raw["outcomes"]:
        outcome["transfer"] = outcome["id"] in ("completed", "wants_human")
    raw["outcomes"].append({"id": "callback", "closing": "We will try later. Goodbye."})
    return Campaign.model_validate(raw)


FOR_A_DIALER = _for_a_dialer()

MEANINGS: dict[str, Understanding] = {
    "yes i own it": Understanding(slot="yes"),
    "yes": Understanding(slot="yes"),
    "no": Understanding(slot="no"),
    "maybe": Understanding(slot="maybe"),
    "nineteen eighty": Understanding(slot="1980"),
    "one two three four five": Understanding(slot="12345"),
    "nothing": Understanding(slot="nothing"),
    "who is this": Understanding(intent="who"),
    "yes but who is this": Understanding(intent="who", slot="yes"),
    "no time": Understanding(intent="busy_now"),
    "we rent": Understanding(intent="rented"),
    "take me off your list": Understanding(intent="opt_out"),
    "stop it": Understanding(intent="opt_out"),
    "uh i want a real person": Understanding(intent="human"),
    "a real person": Understanding(intent="human"),
    "not interested": Understanding(intent="not_interested"),
    "goodbye": Understanding(intent="goodbye"),
    "say that again": Understanding(intent="repeat"),
    "call me later": Understanding(intent="later"),
    "tomorrow": Understanding(slot="tomorrow"),
    "tomorrow at ten": Understanding(slot="tomorrow at ten"),
    "on sunday": Understanding(slot="on sunday"),
}


def worded(campaign: Campaign, act: Act) -> list[str]:
    """The clauses a scripted mind makes of one act."""
    lines = campaign.lines
    match act.kind:
        case ActKind.GREET:
            return [campaign.greeting.hello, campaign.greeting.disclosure]
        case ActKind.DISCLOSE:
            return [campaign.greeting.disclosure]
        case ActKind.ASK:
            return clauses(campaign.question(act.ref).ask)
        case ActKind.REASK:
            return clauses(campaign.question(act.ref).reask)
        case ActKind.ANSWER | ActKind.OBJECTION:
            reply = campaign.reply(act.ref)
            assert reply is not None
            return clauses(reply.say)
        case ActKind.CLOSE:
            return clauses(campaign.outcome(act.ref).closing)
        case ActKind.ACKNOWLEDGE:
            return [lines.acknowledge[0]]
        case ActKind.SORRY:
            return [lines.sorry]
        case ActKind.BACK:
            return [lines.back]
        case ActKind.STILL_THERE:
            return [lines.still_there]
        case ActKind.CONNECTING:
            return clauses(lines.connecting)
        case ActKind.NOBODY_FREE:
            return [lines.nobody_free]
        case ActKind.CALLBACK_SET:
            return clauses(lines.callback_set.replace(WHEN, act.value))
        case ActKind.CALLBACK_HOURS:
            return [lines.callback_hours.replace(HOURS, act.value)]
        case _:
            assert_never(act.kind)


class Playout:
    """Utterances sound in the order in which they were first written."""

    def __init__(self) -> None:
        self.paused = False
        self._waiting: dict[int, dict[int, int]] = {}  # samples per clause
        self._final: dict[int, int] = {}
        self._left: dict[int, int] = {}
        self._retired: set[int] = set()

    def write(self, utterance: int, clause: int, samples: int) -> None:
        if utterance not in self._retired:
            self._waiting.setdefault(utterance, {})[clause] = samples

    def close(self, utterance: int, final: int) -> None:
        self._final[utterance] = final

    def retire(self, utterance: int) -> None:
        self.paused = False
        self._retired.add(utterance)
        self._waiting.pop(utterance, None)

    def _all_written(self, utterance: int) -> bool:
        have = self._waiting[utterance]
        return utterance in self._final and all(c in have for c in range(self._final[utterance] + 1))

    def next_frame(self) -> tuple[int, int, bool] | None:
        """One frame leaves: (utterance, samples of it that have left, finished); None for silence."""
        if self.paused or not self._waiting:
            return None
        utterance = next(iter(self._waiting))
        have, left = sum(self._waiting[utterance].values()), self._left.get(utterance, 0)
        new = min(have, left + FRAME_SAMPLES)
        finished = new == have and self._all_written(utterance)
        if new == left and not finished:
            return None
        self._left[utterance] = new
        if finished:
            self.retire(utterance)
        return utterance, new, finished


class Driver:
    """One call. Times are seconds since its INVITE; audio time begins with `pick_up`."""

    def __init__(
        self,
        *,
        campaign: Campaign = CAMPAIGN,
        lines: int = 4,
        longest_call_s: float = 300.0,
        can_transfer: bool = False,
    ) -> None:
        self.campaign = campaign
        self.board = Switchboard(campaign, lines=lines, longest_call_s=longest_call_s, can_transfer=can_transfer)
        self.t = 0.0
        self.log: list[tuple[float, AnyEffect]] = []
        # What a test turns
        self.mind_s = 0.06  # per answer and clause
        self.later_clause_s = 0.0  # so much longer for the clauses after the first
        self.voice_s = 0.06  # per clause
        self.word_lag_s = 0.1  # a word is recognized so long after its end
        self.final_s = 0.1
        self.up = {Engine.SPEECH: True, Engine.MIND: True}
        self.echo_db: float | None = None  # how much quieter our own voice comes back; it is speech to the detector
        self.daemon_lines = True  # the daemon has the holding lines as audio
        self.answers_bye = True
        self.release_s: float | None = 0.0  # the dialer's word comes so late, or (None) never
        self.by_dialer = False  # it ends the leg itself
        self.dialer_bye_s: float | None = 0.1  # so long after its word, or (None) never
        self.transfer_s: float | None = 0.4
        self.nobody = False  # no human is logged in
        self.book_s: float | None = 0.1
        self.lost: set[str] = set()  # times that nobody keeps
        self.refused: dict[str, str] = {}  # the hours that are permitted instead, by the time that was asked for
        # What the models remember
        self.playout = Playout()
        self.ticks = 0
        self.audio_frames = 0
        self.media = False
        self.sounding: list[tuple[float, Speaker]] = []
        self._order = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._speech: list[tuple[float, float, float]] = []  # from, to, level
        self._words: list[tuple[float, str]] = []  # end of the word
        self._stretch: list[str] = []
        self._shown = ""
        self._forgotten: set[int] = set()
        self._hushed: set[int] = set()
        self._conclusions = 0
        self._released_at: float | None = None  # the dialer has been told
        self._released = False  # it has answered
        self._lives = dict.fromkeys(Engine, 0)

    # What a story reads ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self.board.active.get(CALL, State.ENDED)

    @property
    def turns(self) -> list[TurnTaken]:
        return self.of(TurnTaken)

    @property
    def transcript(self) -> list[tuple[str, str]]:
        return [(turn.who.value, turn.text) for turn in self.turns]

    @property
    def outcome(self) -> str | None:
        done = self.of(effects.Concluded)
        return done[0].outcome if done else None

    @property
    def notes(self) -> list[str]:
        return [note.kind for note in self.of(effects.Note)]

    def of(self, kind: type[T]) -> list[T]:
        return [effect for _, effect in self.log if isinstance(effect, kind)]

    def when(self, kind: type[effects.Effect]) -> float:
        """When the last effect of this kind came."""
        return [t for t, effect in self.log if isinstance(effect, kind)][-1]

    def heard_at(self, since: float) -> float:
        """When the caller first heard us after `since`."""
        return next(t for t, who in self.sounding if who is Speaker.AGENT and t > since)

    # What a story tells ----------------------------------------------------------------------------------------------

    def ring(self) -> Driver:
        self.send(events.Incoming(CALL, "V123", "5550100", "sip-1"))
        return self

    def pick_up(self) -> Driver:
        """The call comes, and its first audio."""
        self.ring()
        self.run(0.1)
        return self.pick_up_ringing()

    def pick_up_ringing(self) -> Driver:
        self.media = True
        self.send(events.MediaStarted(CALL))
        return self

    def to_question(self, question: str) -> Driver:
        """Answer everything before `question` and stop when it has been asked."""
        if not self.of(effects.Answer):
            self.pick_up()
        self.listen()
        for name, answer in (("owner", "yes"), ("year", "nineteen eighty"), ("zip", "one two three four five")):
            if name == question:
                break
            self.reply(answer)
        assert self.of(effects.Expect)[-1].question == question
        return self

    def listen(self) -> Driver:
        """Until the agent has said its say and listens."""
        self.until(lambda: self.state is State.LISTENING and not self.playing)
        return self

    def reply(self, text: str, *, after_s: float = 0.3) -> Driver:
        """The caller says it, and the agent answers to its end."""
        self.says(text, after_s=after_s)
        self.until(lambda: self.state is not State.LISTENING)
        self.until(lambda: self.state in (State.LISTENING, State.ENDED))
        return self

    def says(self, text: str, *, after_s: float = 0.0, level_dbov: float = CALLER_DBOV) -> float:
        """From `after_s` on the caller says these words. Returns when the last one ends."""
        at = self.t + after_s
        for word in text.split():
            self._speech.append((at, at + WORD_S, level_dbov))
            at += WORD_S
            self._words.append((at, word))
        return at

    def noise(self, lasts_s: float, *, after_s: float = 0.0, level_dbov: float = CALLER_DBOV) -> float:
        """Speech to the detector, nothing to the recognizer."""
        at = self.t + after_s
        self._speech.append((at, at + lasts_s, level_dbov))
        return at + lasts_s

    def hang_up(self) -> list[AnyEffect]:
        """The far side does: the caller, or the dialer."""
        self.media = False
        return self.send(events.HungUp(CALL, 200, "BYE", False))

    def lose(self, engine: Engine) -> None:
        self.up[engine] = False
        self._lives[engine] += 1
        if engine is Engine.SPEECH:
            self._stretch, self._shown = [], ""
        self._apply(self.board.engine_lost(engine, self.t))

    def bring_back(self, engine: Engine) -> None:
        self.up[engine] = True
        self._apply(self.board.engine_back(engine, self.t))

    def stop(self) -> None:
        self._apply(self.board.stop(self.t))

    def send(self, event: AnyEvent) -> list[AnyEffect]:
        self._released = self._released or isinstance(event, events.Released)
        out = self.board.handle(event, self.t)
        self._apply(out)
        return out

    # Time ------------------------------------------------------------------------------------------------------------

    def run(self, for_s: float) -> Driver:
        for _ in range(round(for_s / FRAME_S)):
            self._tick()
        return self

    def until(self, condition: Callable[[], bool], *, limit_s: float = 60.0) -> Driver:
        """Let time pass until it holds. Fails after `limit_s`."""
        for _ in range(round(limit_s / FRAME_S)):
            if condition():
                return self
            self._tick()
        raise AssertionError(f"did not come within {limit_s} s; {self.state}, {self.transcript}, {self.log[-6:]}")

    def finish(self) -> Driver:
        """Until the call is concluded; nobody says anything any more."""
        return self.until(lambda: self.state is State.ENDED, limit_s=400)

    @property
    def playing(self) -> bool:
        return bool(self.sounding) and self.sounding[-1] == (self.t, Speaker.AGENT)

    def _tick(self) -> None:
        self.ticks += 1
        self.t = round(self.ticks * FRAME_S, 6)
        while self._due and self._due[0][0] <= self.t:
            heapq.heappop(self._due)[2]()
        if self.media:
            self._frame()
        for _ in range(20):
            deadline = self.board.deadline
            if deadline is None or deadline > self.t:
                return
            self._apply(self.board.handle_timer(self.t))
        raise AssertionError("a deadline stays due for ever")

    def _frame(self) -> None:
        self.audio_frames += 1
        at_samples = self.audio_frames * FRAME_SAMPLES
        frame = self.playout.next_frame()
        ours = AGENT_DBOV if frame is not None else SILENCE_DBOV
        if frame is not None:
            self.sounding.append((self.t, Speaker.AGENT))
            self.send(events.Played(CALL, frame[0], frame[1], frame[2], at_samples))
        levels = [level for start, end, level in self._speech if start < self.t <= end]
        if levels:
            self.sounding.append((self.t, Speaker.CALLER))
        if self.echo_db is not None and frame is not None:
            levels.append(AGENT_DBOV - self.echo_db)
        if self.up[Engine.SPEECH]:
            self._recognize(self.word_lag_s)
            level = max(levels, default=SILENCE_DBOV)
            self.send(events.Heard(CALL, at_samples, 0.95 if levels else 0.02, level, ours, self._news()))

    def _recognize(self, lag_s: float) -> None:
        while self._words and self._words[0][0] + lag_s <= self.t + 1e-6:
            self._stretch.append(self._words.pop(0)[1])

    def _news(self) -> str | None:
        text = " ".join(self._stretch)
        if text == self._shown:
            return None
        self._shown = text
        return text

    # The engines -----------------------------------------------------------------------------------------------------

    def _later(self, after_s: float, engine: Engine | None, what: Callable[[], object]) -> None:
        """Unless the engine's process is another one by then."""
        life = self._lives[engine] if engine else 0

        def due() -> None:
            if engine is None or (self.up[engine] and self._lives[engine] == life):
                what()

        heapq.heappush(self._due, (self.t + after_s, next(self._order), due))

    def _apply(self, out: list[AnyEffect]) -> None:
        for effect in out:
            self._check(effect)
            self.log.append((self.t, effect))
            self._perform(effect)

    def _check(self, effect: AnyEffect) -> None:
        assert effect.call == CALL
        assert not self._conclusions, f"{effect} after the conclusion"
        match effect:
            case effects.Hush():
                self._hushed.add(effect.utterance)
            case effects.Say() | effects.Play():
                assert effect.utterance not in self._hushed, "said after it was hushed"
                assert self.state not in (State.RELEASING, State.HANGING_UP), "said after the end"
            case effects.Release():
                assert self._released_at is None, "the dialer is told once"
                self._released_at = self.t
            case effects.Transfer():
                assert not self.of(effects.Transfer)
            case effects.OptOut():
                assert not self.of(effects.OptOut)
            case effects.HangUp():
                told = self._released_at is not None and self.t >= self._released_at + RELEASE_S
                assert self._released or told, "a BYE before the dialer's word"
            case effects.Concluded():
                self._conclusions += 1
                assert effect.transferred or self._released_at is not None, "the dialer was never told"
            case TurnTaken():
                assert effect.start_s <= effect.end_s
                same = [turn for turn in self.turns if turn.who is effect.who]
                assert not same or same[-1].end_s <= effect.start_s, f"{effect} after {same[-1]}"
            case _:
                pass

    def _perform(self, effect: AnyEffect) -> None:
        match effect:
            case effects.Say():
                if effect.text:
                    samples = round(len(effect.text.split()) * WORD_S * RATE_HZ)
                    self._later(self.voice_s, Engine.SPEECH, lambda: self._voice(effect.utterance, effect.clause, samples))
                if effect.last:
                    self.playout.close(effect.utterance, effect.clause)
            case effects.Play():
                samples = RATE_HZ if self.daemon_lines else 0
                self.playout.write(effect.utterance, 0, samples)
                self.playout.close(effect.utterance, 0)
                self._later(0, None, lambda: self.send(events.Voiced(CALL, effect.utterance, 0, samples)))
            case effects.Pause():
                self.playout.paused = True
            case effects.Resume():
                self.playout.paused = False
            case effects.Hush():
                self.playout.retire(effect.utterance)
            case effects.Finalize():
                self._recognize(0.0)
                text, self._stretch, self._shown = " ".join(self._stretch), [], ""
                self._later(self.final_s, Engine.SPEECH, lambda: self.send(events.Transcribed(CALL, effect.turn, text)))
            case effects.Understand():
                self._later(self.mind_s, Engine.MIND, lambda: self._understand(effect))
            case effects.Phrase():
                self._phrase(effect)
            case effects.Forget():
                self._forgotten.add(effect.request)
            case effects.HangUp():
                self.media = False
                if self.answers_bye:
                    self._later(0.04, None, lambda: self.send(events.HungUp(CALL, 200, "", True)))
            case effects.Release():
                if not effect.gone:
                    self._let_go(self.release_s)
            case effects.Transfer():
                if self.nobody:
                    self._answer(self.transfer_s, lambda: self.send(events.TransferFailed(CALL, True)))
                else:
                    self._let_go(self.transfer_s)
            case effects.BookCallback():
                self._answer(self.book_s, partial(self._book, effect.when))
            case effects.Answer() | effects.Expect() | TurnTaken() | effects.Note() | effects.OptOut() | effects.Concluded():
                pass
            case _:
                assert_never(effect)

    def _voice(self, utterance: int, clause: int, samples: int) -> None:
        self.playout.write(utterance, clause, samples)
        self.send(events.Voiced(CALL, utterance, clause, samples))

    def _understand(self, asked: effects.Understand) -> None:
        if asked.request not in self._forgotten:
            meant = MEANINGS.get(asked.text, Understanding())
            self.send(events.Understood(CALL, asked.request, meant))

    def _phrase(self, asked: effects.Phrase) -> None:
        said = [clause for act in asked.acts for clause in worded(self.campaign, act)]
        for i, text in enumerate(said or [""]):
            last = i >= len(said) - 1
            self._later(
                self.mind_s * (i + 1) + self.later_clause_s * i, Engine.MIND, partial(self._word, asked.request, text, last)
            )

    def _word(self, request: int, text: str, last: bool) -> None:
        if request not in self._forgotten:
            self.send(events.Phrased(CALL, request, text, last))

    # The dialer ------------------------------------------------------------------------------------------------------

    def _answer(self, after_s: float | None, what: Callable[[], object]) -> None:
        if after_s is not None:
            self._later(after_s, None, what)

    def _let_go(self, after_s: float | None) -> None:
        def released() -> None:
            self.send(events.Released(CALL, self.by_dialer))
            if self.by_dialer:
                self._answer(self.dialer_bye_s, self.hang_up)

        self._answer(after_s, released)

    def _book(self, when: str) -> None:
        if when in self.refused:
            self.send(events.CallbackRefused(CALL, self.refused[when]))
        elif when in self.lost:
            self.send(events.CallbackLost(CALL))
        else:
            self.send(events.CallbackSet(CALL, f"on {when}"))
