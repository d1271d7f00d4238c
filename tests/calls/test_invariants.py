"""What must hold whatever happens, in whatever order."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from appliance.calls import effects, events
from appliance.calls.call import Call
from appliance.calls.effects import AnyEffect
from appliance.calls.events import AnyEvent, Engine, Understanding
from appliance.calls.states import ImpossibleEvent, State
from appliance.calls.timers import LAST_WORDS_S, RELEASE_S
from tests.calls.driver import CALL, FOR_A_DIALER, Driver

NUMBER = st.integers(1, 14)
TEXT = st.sampled_from(["", "yes", "uh huh", "wait no"])
MEANT = st.builds(
    Understanding,
    st.sampled_from([None, None, "opt_out", "who", "nonsense", "human", "human", "later", "later"]),
    st.sampled_from([None, "yes", "no", "tomorrow"]),
)

EVENT: st.SearchStrategy[AnyEvent] = st.one_of(
    st.builds(events.Incoming, st.just(CALL), TEXT, TEXT, TEXT),
    st.builds(events.MediaStarted, st.just(CALL)),
    st.builds(events.HungUp, st.just(CALL), st.just(200), TEXT, st.booleans()),
    st.builds(events.Transcribed, st.just(CALL), NUMBER, TEXT),
    st.builds(events.Voiced, st.just(CALL), NUMBER, st.integers(0, 3), st.sampled_from([0, 160, 8000])),
    st.builds(events.Played, st.just(CALL), NUMBER, st.sampled_from([0, 160, 8000]), st.booleans(), st.integers(0, 80000)),
    st.builds(events.Understood, st.just(CALL), NUMBER, MEANT),
    st.builds(events.Phrased, st.just(CALL), NUMBER, st.sampled_from(["", "Well.", "Is it?"]), st.booleans()),
    st.builds(events.EngineLost, st.just(CALL), st.sampled_from(Engine)),
    st.builds(events.EngineBack, st.just(CALL), st.sampled_from(Engine)),
    st.builds(events.StopAsked, st.just(CALL)),
    st.builds(events.Released, st.just(CALL), st.booleans()),
    st.builds(events.TransferFailed, st.just(CALL), st.booleans()),
    st.builds(events.CallbackSet, st.just(CALL), st.just("some day")),
    st.builds(events.CallbackRefused, st.just(CALL), st.sampled_from(["", "at noon"])),
)
SPEECH = st.tuples(st.just("speech"), st.integers(1, 60), TEXT)  # frames in a row
SILENCE = st.tuples(st.just("silence"), st.integers(1, 60), st.just(""))
WAIT = st.floats(0.01, 15.0)
ANSWER = st.sampled_from(["understood", "phrased", "played", "finished", "transcribed", "voiced", "dialer"])
GO_ON = st.tuples(st.integers(1, 30), MEANT)


class Watched:
    """A call whose every effect is checked, and that can be answered with the numbers it really asked for."""

    def __init__(self, *, busy: bool, lost: frozenset[Engine], can_transfer: bool = True) -> None:
        self.call = Call(CALL, FOR_A_DIALER, longest_s=200.0, lost=lost, busy=busy, can_transfer=can_transfer)
        self.now = 0.0
        self.at_samples = 0
        self.begun = False
        self.concluded = 0
        self.hung_up = False
        self.gone_at: float | None = None
        self.waited_s = 0.0
        self.paused = False
        self.hushed: set[int] = set()
        self.last: dict[type, AnyEffect] = {}
        self.released_at: float | None = None  # the dialer was told
        self.let_go = False  # and has answered, or taken the caller over
        self.once: set[type] = set()
        self.meant = Understanding(slot="yes")

    def send(self, event: AnyEvent) -> None:
        self.begun = self.begun or isinstance(event, events.Incoming)
        if isinstance(event, events.Played):
            self.at_samples = max(self.at_samples, event.at_samples)  # audio time never goes back
            event = msgspec.structs.replace(event, at_samples=self.at_samples)
        if isinstance(event, events.Released):
            self.let_go = self.let_go or self.released_at is not None or effects.Transfer in self.once
        told = self.released_at is not None or self.concluded or (self.let_go and effects.Transfer in self.once)
        try:
            out = self.call.handle(event, self.now)
        except ImpossibleEvent:
            out = self.call.end_politely("bug", self.now)
        if isinstance(event, events.HungUp) and self.begun and self.gone_at is None:
            self.gone_at = self.now
            assert not any(isinstance(effect, effects.Say | effects.Play) for effect in out)
            assert told or (isinstance(out[0], effects.Release) and out[0].gone), "the dialer hears of it first"
        self.check(out)

    def speak(self, kind: str, frames: int, text: str) -> None:
        for i in range(frames):
            self.at_samples += 160
            self.now += 0.02
            level = -20.0 if kind == "speech" else -70.0
            shown = text if i == frames // 2 and text else None
            self.send(events.Heard(CALL, self.at_samples, 0.9 if kind == "speech" else 0.0, level, -70.0, shown))
            self.timers()

    def wait(self, for_s: float) -> None:
        self.waited_s = for_s + LAST_WORDS_S
        self.now += for_s
        self.timers()

    def timers(self) -> None:
        if self.call.deadline is not None and self.call.deadline <= self.now:
            self.check(self.call.handle_timer(self.now))

    def answer(self, kind: str) -> None:
        """What a working engine would say to the newest request of that kind."""
        said = next((e for e in reversed(self.last.values()) if isinstance(e, effects.Say | effects.Play)), None)
        match kind, self.last.get(effects.Understand), self.last.get(effects.Phrase), self.last.get(effects.Finalize):
            case "understood", effects.Understand(request=request), _, _:
                self.send(events.Understood(CALL, request, self.meant))
            case "dialer", _, _, _:
                self.send(self.word())
            case "phrased", _, effects.Phrase(request=request), _:
                self.send(events.Phrased(CALL, request, "Well then.", self.now % 0.04 < 0.02))
            case "transcribed", _, _, effects.Finalize(turn=turn):
                self.send(events.Transcribed(CALL, turn, "yes"))
            case "voiced", _, _, _ if isinstance(said, effects.Say):
                self.send(events.Voiced(CALL, said.utterance, said.clause, 4000))
            case (("played" | "finished"), _, _, _) if isinstance(said, effects.Say | effects.Play):
                self.send(events.Played(CALL, said.utterance, 8000, kind == "finished", self.at_samples))
            case _:
                pass

    def go_on(self, steps: int, meant: Understanding) -> None:
        """What the state waits for comes, so many times over."""
        self.meant = meant
        for _ in range(steps):
            match self.call.state:
                case State.LISTENING:
                    self.speak("speech", 20, "well then")
                    self.speak("silence", 60, "")
                case State.DECIDING:
                    self.answer("transcribed")
                case State.THINKING | State.LAST_WORDS:
                    self.answer("understood")
                case State.PHRASING:
                    self.answer("phrased")
                case State.SPEAKING | State.PAUSED | State.ENDING:
                    self.answer("finished")
                case State.BOOKING | State.TRANSFERRING | State.RELEASING:
                    self.answer("dialer")
                case _:
                    return

    def word(self) -> AnyEvent:
        """What the dialer would answer to what it was asked last; it refuses half of it."""
        asked = [e for e in self.last if e in (effects.Release, effects.Transfer, effects.BookCallback)]
        well = self.now % 0.04 < 0.02
        match asked[-1:]:
            case [effects.BookCallback]:
                return events.CallbackSet(CALL, "some day") if well else events.CallbackRefused(CALL, "at noon")
            case [effects.Transfer] if not well:
                return events.TransferFailed(CALL, nobody=True)
            case _:
                return events.Released(CALL, by_dialer=well)

    def check(self, out: list[AnyEffect]) -> None:
        for effect in out:
            assert not self.concluded, f"{effect} after the conclusion"
            before = self.last.pop(type(effect), None)  # the newest comes last
            self.last[type(effect)] = effect
            match effect:
                case effects.Release() | effects.Transfer() | effects.OptOut():
                    assert type(effect) not in self.once
                    self.once.add(type(effect))
                    if isinstance(effect, effects.Release):
                        self.released_at = self.now
                case effects.BookCallback():
                    assert effect != before, "booked twice"
                case effects.Say(utterance=utterance) | effects.Play(utterance=utterance):
                    assert utterance not in self.hushed
                    assert not self.hung_up
                    assert self.released_at is None, "the dialer may be gone with the caller"
                    assert self.gone_at is None, "nobody is there to hear it"
                case effects.Hush(utterance=utterance):
                    self.hushed.add(utterance)
                    self.paused = False
                case effects.Pause():
                    assert not self.paused
                    self.paused = True
                case effects.Resume():
                    self.paused = False
                case effects.HangUp():
                    assert not self.hung_up
                    self.hung_up = True
                    late = self.released_at is not None and self.now >= self.released_at + RELEASE_S
                    assert self.let_go or late, "a BYE before the dialer's word"
                case effects.Concluded(transferred=transferred):
                    self.concluded += 1
                    assert transferred or self.released_at is not None
                    # A wait is not punctual: what was due in the middle of one comes at its end.
                    assert self.gone_at is None or self.now - self.gone_at <= max(LAST_WORDS_S + 0.001, self.waited_s)
                case effects.TurnTaken(start_s=start_s, end_s=end_s):
                    assert start_s <= end_s
                case _:
                    pass
        if self.call.state is State.ENDED:
            assert self.concluded == 1
            assert self.call.deadline is None
        else:
            assert not self.concluded
            gone = self.call.state is State.LAST_WORDS
            assert gone or self.paused is (self.call.state is State.PAUSED), (
                "a paused playout that nobody resumes is silence for ever"
            )
            assert not self.begun or self.call.deadline is not None


@settings(max_examples=250, deadline=None)
@given(
    st.lists(st.one_of(GO_ON, GO_ON, GO_ON, GO_ON, GO_ON, ANSWER, SPEECH, SILENCE, WAIT, EVENT), min_size=3, max_size=40),
    st.sampled_from([False, False, False, True]),
    st.sampled_from([set(), set(), set(), {Engine.MIND}, {Engine.SPEECH}, set(Engine)]),
    st.booleans(),
)
@example(["phrased"], False, set(), False)
def test_no_sequence_of_events_breaks_or_sticks_a_call(
    steps: list[AnyEvent | str | tuple[str, int, str] | tuple[int, Understanding] | float],
    busy: bool,
    lost: set[Engine],
    can_transfer: bool,
) -> None:
    w = Watched(busy=busy, lost=frozenset(lost), can_transfer=can_transfer)
    w.send(events.Incoming(CALL, "", "", ""))
    w.send(events.MediaStarted(CALL))
    for step in steps:
        match step:
            case str():
                w.answer(step)
            case (int() as times, Understanding() as meant):
                w.go_on(times, meant)
            case (str() as kind, int() as frames, str() as text):
                w.speak(kind, frames, text)
            case float():
                w.wait(step)
            case _:
                w.send(step)
    # Whatever state that has led to: time alone ends the call.
    for _ in range(100):
        if w.call.deadline is None:
            break
        w.wait(max(0.0, w.call.deadline - w.now))
    assert w.concluded == 1
    w.send(events.StopAsked(CALL))
    w.wait(100.0)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(EVENT, WAIT), max_size=15))
def test_nor_does_one_before_the_media(steps: list[AnyEvent | float]) -> None:
    w = Watched(busy=False, lost=frozenset())
    for step in steps:
        if isinstance(step, float):
            w.wait(step)
        else:
            w.send(step)
    while w.call.deadline is not None:
        w.wait(max(0.0, w.call.deadline - w.now))
    assert w.concluded == w.begun or w.concluded


# The same with a world that obeys physics: here the transcript must be right too.

LONGEST_SILENCE_S = 9.0  # no answer for NO_INPUT_S, after the longest hold, and before a slow reply
SLOW = st.sampled_from([0.06, 0.06, 0.4, 3.0])
ACTIONS: st.SearchStrategy[Callable[[Driver], object]] = st.one_of(
    st.builds(
        lambda text: lambda d: d.says(text, after_s=0.2),
        st.sampled_from(
            [
                "yes",
                "no",
                "no",
                "yes i own it",
                "uh huh",
                "yes but who is this",
                "take me off your list",
                "one two three",
                "mumble and",
                "a real person",
                "a real person",
                "call me later",
                "tomorrow",
                "tomorrow at ten",
                "on sunday",
            ]
        ),
    ),
    st.builds(lambda lasts: lambda d: d.noise(lasts), st.sampled_from([0.1, 0.4, 1.2])),
    st.builds(lambda engine: lambda d: d.lose(engine), st.sampled_from(Engine)),
    st.builds(lambda engine: lambda d: d.bring_back(engine), st.sampled_from(Engine)),
    st.builds(lambda s: lambda d: setattr(d, "mind_s", s), SLOW),
    st.builds(lambda s: lambda d: setattr(d, "voice_s", s), SLOW),
    st.builds(lambda s: lambda d: setattr(d, "final_s", s), SLOW),
    st.just(lambda d: d.stop()),
)
LATE = st.sampled_from([0.0, 0.3, 1.5, 3.0, None])
DIALERS: st.SearchStrategy[Callable[[Driver], object]] = st.fixed_dictionaries(
    {
        "release_s": LATE,
        "by_dialer": st.booleans(),
        "dialer_bye_s": LATE,
        "transfer_s": LATE,
        "nobody": st.booleans(),
        "book_s": LATE,
        "refused": st.sampled_from([{}, {"on sunday": "at noon"}, {"tomorrow": ""}]),
    }
).map(lambda turned: lambda d: vars(d).update(turned))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.02, 6.0), ACTIONS), max_size=10),
    st.sampled_from([None, 15.0]),
    st.booleans(),
    DIALERS,
    st.booleans(),
    st.sampled_from(["", "a real person", "call me later"]),
)
def test_a_call_in_a_real_world_ends_with_each_speakers_turns_in_order(
    story: list[tuple[float, Callable[[Driver], object]]],
    echo_db: float | None,
    hangs_up: bool,
    dialer: Callable[[Driver], object],
    can_transfer: bool,
    first: str,
) -> None:
    d = Driver(campaign=FOR_A_DIALER, longest_call_s=60.0, can_transfer=can_transfer)
    d.echo_db = echo_db
    dialer(d)
    d.pick_up()
    if first:
        d.listen().says(first)
    for after_s, action in story:
        d.run(after_s)
        if d.state is State.ENDED:
            break
        action(d)
    if hangs_up and d.state is not State.ENDED:
        d.hang_up()
    ended = d.t
    d.finish()
    assert not hangs_up or d.t - ended <= LAST_WORDS_S + 0.021
    assert d.outcome is not None
    assert all(turn.text for turn in d.turns)
    assert "impossible_event" not in d.notes
    understood = [note.data["intent"] for note in d.of(effects.Note) if note.kind == "understood"]
    assert "opt_out" not in understood or d.outcome == "dnc", "an opt-out is final"
    assert len(d.of(effects.OptOut)) == (d.outcome == "dnc")
    assert not d.of(effects.Transfer) or can_transfer
    spoken = [0.1, *(t for t, _ in d.sounding), d.t]
    assert max(later - earlier for earlier, later in pairwise(spoken)) <= LONGEST_SILENCE_S + 0.021
