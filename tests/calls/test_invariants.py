"""What must hold whatever happens, in whatever order."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from appliance.calls import effects, events
from appliance.calls.call import Call
from appliance.calls.effects import AnyEffect
from appliance.calls.events import AnyEvent, Engine, Understanding
from appliance.calls.states import ImpossibleEvent, State
from appliance.calls.timers import LAST_WORDS_S
from tests.calls.driver import CALL, CAMPAIGN, Driver

NUMBER = st.integers(1, 14)
TEXT = st.sampled_from(["", "yes", "uh huh", "wait no"])
MEANT = st.builds(Understanding, st.sampled_from([None, "opt_out", "who", "nonsense"]), st.sampled_from([None, "yes", "no"]))

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
)
SPEECH = st.tuples(st.just("speech"), st.integers(1, 60), TEXT)  # frames in a row
SILENCE = st.tuples(st.just("silence"), st.integers(1, 60), st.just(""))
WAIT = st.floats(0.01, 15.0)
ANSWER = st.sampled_from(["understood", "phrased", "played", "finished", "transcribed", "voiced"])


class Watched:
    """A call whose every effect is checked, and that can be answered with the numbers it really asked for."""

    def __init__(self, *, busy: bool, lost: frozenset[Engine]) -> None:
        self.call = Call(CALL, CAMPAIGN, longest_s=200.0, lost=lost, busy=busy)
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

    def send(self, event: AnyEvent) -> None:
        self.begun = self.begun or isinstance(event, events.Incoming)
        try:
            out = self.call.handle(event, self.now)
        except ImpossibleEvent:
            out = self.call.end_politely("bug", self.now)
        if isinstance(event, events.HungUp) and self.begun and self.gone_at is None:
            self.gone_at = self.now
            assert not any(isinstance(effect, effects.Say | effects.Play) for effect in out)
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
        said = self.last.get(effects.Say) or self.last.get(effects.Play)
        match kind, self.last.get(effects.Understand), self.last.get(effects.Phrase), self.last.get(effects.Finalize):
            case "understood", effects.Understand(request=request), _, _:
                self.send(events.Understood(CALL, request, Understanding(slot="yes")))
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

    def check(self, out: list[AnyEffect]) -> None:
        for effect in out:
            assert not self.concluded, f"{effect} after the conclusion"
            self.last[type(effect)] = effect
            match effect:
                case effects.Say(utterance=utterance) | effects.Play(utterance=utterance):
                    assert utterance not in self.hushed
                    assert not self.hung_up
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
                case effects.Concluded():
                    self.concluded += 1
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


@settings(max_examples=120, deadline=None)
@given(
    st.lists(st.one_of(EVENT, ANSWER, ANSWER, SPEECH, SILENCE, WAIT), max_size=40),
    st.booleans(),
    st.sets(st.sampled_from(Engine)),
)
@example(["phrased"], False, set())
def test_no_sequence_of_events_breaks_or_sticks_a_call(
    steps: list[AnyEvent | str | tuple[str, int, str] | float], busy: bool, lost: set[Engine]
) -> None:
    w = Watched(busy=busy, lost=frozenset(lost))
    w.send(events.Incoming(CALL, "", "", ""))
    w.send(events.MediaStarted(CALL))
    for step in steps:
        match step:
            case str():
                w.answer(step)
            case tuple():
                w.speak(*step)
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


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0.02, 6.0), ACTIONS), max_size=10), st.sampled_from([None, 15.0]), st.booleans())
def test_a_call_in_a_real_world_ends_with_each_speakers_turns_in_order(
    story: list[tuple[float, Callable[[Driver], object]]], echo_db: float | None, hangs_up: bool
) -> None:
    d = Driver(longest_call_s=60.0)
    d.echo_db = echo_db
    d.pick_up()
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
    spoken = [0.1, *(t for t, _ in d.sounding), d.t]
    assert max(later - earlier for earlier, later in pairwise(spoken)) < LONGEST_SILENCE_S
