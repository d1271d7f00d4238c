from __future__ import annotations

from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audio.formats import FRAME_S, FRAME_SAMPLES
from appliance.calls import effects, events
from appliance.calls.campaign import Campaign
from appliance.calls.effects import AnyEffect
from appliance.calls.events import AnyEvent, Engine, Understanding
from appliance.calls.shadow import ShadowCall, ShadowReport, shadow_report
from appliance.calls.states import ImpossibleEvent, State
from appliance.calls.timers import FINAL_S, HANG_UP_S, LAST_WORDS_S, MEDIA_S
from tests.calls.driver import CAMPAIGN as ROOFS
from tests.calls.driver import MEANINGS

T = TypeVar("T", bound=effects.Effect)

CALL = "c1"
ALLOWED = (
    effects.Answer, effects.Finalize, effects.Understand, effects.Expect, effects.TurnTaken, effects.Note, effects.HangUp,
    effects.Concluded,
)  # fmt: skip
DATA = ROOFS.model_dump(mode="json")
DATA["objections"] += [
    {"id": "later", "phrases": ["call me later"], "say": "Of course.", "then": "call_at"},
    {"id": "wrong_number", "phrases": ["wrong number"], "say": "Oh.", "then": "end:wrong_number"},
]
DATA["outcomes"] += [{"id": "wrong_number"}, {"id": "callback"}]
DATA["questions"].append(
    {"id": "call_at", "ask": "When?", "reask": "When?", "slot": "when", "aside": True, "give_up": "end:callback"}
)
CAMPAIGN = Campaign.model_validate(DATA)
MEANT = MEANINGS | {"call me later": Understanding("later"), "wrong number": Understanding("wrong_number")}


class Listened:
    """One call in shadow mode, with the engines' parts played by a table. Times are seconds since its INVITE."""

    def __init__(self, *, lost: frozenset[Engine] = frozenset()) -> None:
        self.call = ShadowCall(CALL, CAMPAIGN, longest_s=300.0, lost=lost)
        self.t = 0.0
        self.frames = 0
        self.out: list[AnyEffect] = []
        self.mind = True  # it answers at once
        self.recognizer = True  # it gives final texts

    def of(self, kind: type[T]) -> list[T]:
        return [effect for effect in self.out if isinstance(effect, kind)]

    @property
    def outcome(self) -> str:
        (done,) = self.of(effects.Concluded)
        return done.outcome

    @property
    def heard(self) -> list[str]:
        return [turn.text for turn in self.of(effects.TurnTaken)]

    def send(self, event: AnyEvent) -> None:
        self._apply(self.call.handle(event, self.t))

    def wait(self, seconds: float) -> None:
        self.t += seconds
        while self.call.deadline is not None and self.call.deadline <= self.t:
            self._apply(self.call.handle_timer(self.t))

    def up(self) -> Listened:
        self.send(events.Incoming(CALL, "V1", "5550100", "s1"))
        self.send(events.MediaStarted(CALL))
        return self

    def speak(self, text: str, *, seconds: float = 1.0, silence_s: float = 2.0) -> Listened:
        """Words, then silence, frame by frame."""
        for n in range(round((seconds + silence_s) / FRAME_S)):
            self.frames += 1
            self.t += FRAME_S
            speech = n * FRAME_S < seconds
            said = text if n == round(seconds / FRAME_S / 2) else None
            level, chance = (-22.0, 0.9) if speech else (-70.0, 0.1)
            self.send(events.Heard(CALL, self.frames * FRAME_SAMPLES, chance, level, -127.0, said))
            self._text = text
        return self

    def bye(self, *, by_us: bool = False) -> Listened:
        self.send(events.HungUp(CALL, 200, "", by_us))
        return self

    def _apply(self, out: list[AnyEffect]) -> None:
        for effect in out:
            assert isinstance(effect, ALLOWED), effect
            self.out.append(effect)
            if isinstance(effect, effects.Finalize) and self.recognizer:
                self.send(events.Transcribed(CALL, effect.turn, self._text))
            if isinstance(effect, effects.Understand) and self.mind:
                self.send(events.Understood(CALL, effect.request, MEANT.get(effect.text, Understanding())))


def test_it_answers_and_listens_for_anything() -> None:
    one = Listened().up()
    assert one.out == [effects.Answer(CALL), effects.Expect(CALL, None)]
    assert one.call.state is State.LISTENING


def test_every_turn_is_taken_and_understood_as_no_answer_to_a_question() -> None:
    one = Listened().up().speak("yes i own it").speak("nineteen eighty").bye()
    assert one.heard == ["yes i own it", "nineteen eighty"]
    assert [(asked.question, asked.text) for asked in one.of(effects.Understand)] == [
        (None, "yes i own it"),
        (None, "nineteen eighty"),
    ]
    assert one.outcome == "hung_up"
    assert one.call.state is State.ENDED
    assert one.call.deadline is None


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (["take me off your list"], "dnc"),
        (["not interested"], "not_interested"),
        (["a real person"], "wants_human"),
        (["we rent"], "not_qualified"),
        (["wrong number"], "wrong_number"),
        (["call me later"], "callback"),
        (["not interested", "a real person"], "not_interested"),  # there the box would have ended it
        (["not interested", "take me off your list", "we rent"], "dnc"),
        (["who is this", "no time"], "hung_up"),  # the box would have talked on
        (["say that again", "goodbye"], "hung_up"),  # how most calls end
        ([], "hung_up"),
    ],
)
def test_the_outcome_that_the_box_would_have_given(said: list[str], outcome: str) -> None:
    one = Listened().up()
    for text in said:
        one.speak(text)
    assert one.bye().outcome == outcome


def test_times_count_from_the_media() -> None:
    one = Listened()
    one.send(events.Incoming(CALL, "V1", "5550100", "s1"))
    one.wait(3.0)
    one.send(events.MediaStarted(CALL))
    one.speak("yes").bye()
    (done,) = one.of(effects.Concluded)
    assert done.duration_s == pytest.approx(3.0)
    assert (done.slots, done.transferred) == ({}, False)


def test_who_hangs_up_in_mid_sentence_is_still_understood() -> None:
    one = Listened().up().speak("take me off your list", silence_s=0.0).bye()
    assert one.heard == ["take me off your list"]
    assert one.of(effects.TurnTaken)[0].cut
    assert one.outcome == "dnc"


def test_last_words_are_waited_for_a_moment() -> None:
    one = Listened().up()
    one.mind = one.recognizer = False
    one.speak("not interested", silence_s=0.0).bye()
    one.bye()  # a second one is nothing
    assert one.call.state is State.LAST_WORDS
    one.wait(FINAL_S)
    assert one.heard == ["not interested"]  # its partial text has to do
    assert one.call.state is State.LAST_WORDS
    one.wait(LAST_WORDS_S - FINAL_S)
    assert one.outcome == "hung_up"


def test_a_stop_while_last_words_are_waited_for_is_the_end() -> None:
    one = Listened().up()
    one.mind = False
    one.speak("not interested").bye()
    one.send(events.StopAsked(CALL))
    assert one.outcome == "hung_up"
    assert one.of(effects.HangUp) == []


def test_a_late_final_text_is_not_waited_for() -> None:
    one = Listened().up()
    one.recognizer = False
    one.speak("not interested")
    assert one.call.state is State.DECIDING
    one.wait(FINAL_S)
    assert one.heard == ["not interested"]
    one.send(events.Transcribed(CALL, 1, "too late"))
    assert one.heard == ["not interested"]
    assert one.bye().outcome == "not_interested"


def test_what_is_said_while_a_final_text_is_awaited_is_a_turn_of_its_own() -> None:
    one = Listened().up()
    one.recognizer = False
    one.speak("yes i own it").speak("more", silence_s=0.0)
    one.send(events.Transcribed(CALL, 1, "yes i own it"))
    one.recognizer = True
    one.speak("we rent")
    assert one.heard == ["yes i own it", "we rent"]


def test_a_wordless_stretch_is_no_turn() -> None:
    one = Listened().up().speak("")
    assert one.heard == []
    assert one.of(effects.Understand) == []
    assert one.call.state is State.LISTENING


def test_asked_to_stop_it_hangs_up_without_a_word() -> None:
    one = Listened().up().speak("not interested")
    one.send(events.StopAsked(CALL))
    assert one.of(effects.HangUp) == [effects.HangUp(CALL)]
    one.send(events.StopAsked(CALL))
    assert len(one.of(effects.HangUp)) == 1
    assert one.bye(by_us=True).outcome == "not_interested"
    assert one.call.end_politely("bug", one.t) == []
    assert one.call.handle(events.StopAsked(CALL), one.t) == []


def test_a_bye_without_an_answer_is_the_end() -> None:
    one = Listened().up()
    one.send(events.StopAsked(CALL))
    one.wait(HANG_UP_S)
    assert one.outcome == "hung_up"


def test_no_media_and_calls_without_end_are_ended() -> None:
    silent = Listened()
    silent.send(events.Incoming(CALL, "V1", "5550100", "s1"))
    silent.wait(MEDIA_S)
    silent.send(events.MediaStarted(CALL))  # it crossed our BYE
    assert silent.bye(by_us=True).outcome == "technical"
    endless = Listened().up()
    endless.wait(300.0)
    assert len(endless.of(effects.HangUp)) == 1


def test_a_caller_who_gives_up_ringing() -> None:
    one = Listened()
    one.send(events.Incoming(CALL, "V1", "5550100", "s1"))
    assert one.bye().outcome == "hung_up"


def test_without_a_mind_there_is_a_transcript_and_no_opinion() -> None:
    one = Listened(lost=frozenset({Engine.MIND})).up().speak("not interested")
    one.send(events.EngineBack(CALL, Engine.MIND))
    one.send(events.EngineBack(CALL, Engine.MIND))
    assert one.heard == ["not interested"]
    assert one.of(effects.Understand) == []
    one.speak("we rent").bye()
    assert one.outcome == "not_qualified"


def test_a_mind_that_dies_with_the_last_words_is_not_waited_for() -> None:
    one = Listened().up()
    one.mind = False
    one.speak("not interested").bye()
    one.send(events.EngineLost(CALL, Engine.MIND))
    assert one.outcome == "hung_up"


def test_an_answer_that_nobody_waits_for_is_nothing() -> None:
    one = Listened().up().speak("yes")
    assert one.call.handle(events.Understood(CALL, 99, Understanding("opt_out")), one.t) == []
    assert one.bye().outcome == "hung_up"


def test_a_recognizer_that_dies_takes_no_words_with_it() -> None:
    one = Listened().up()
    one.recognizer = False
    one.speak("not interested")  # its final text is awaited
    one.send(events.EngineLost(CALL, Engine.SPEECH))
    assert one.heard == ["not interested"]
    one.send(events.EngineBack(CALL, Engine.SPEECH))
    assert one.out[-1] == effects.Expect(CALL, None)
    one.speak("and another th", silence_s=0.0)
    one.send(events.EngineLost(CALL, Engine.SPEECH))
    assert one.heard == ["not interested", "and another th"]
    assert one.bye().outcome == "not_interested"


@pytest.mark.parametrize(
    "event",
    [
        events.Voiced(CALL, 1, 0, 8000),
        events.Played(CALL, 1, 8000, True, 8000),
        events.Phrased(CALL, 1, "Hello.", True),
        events.Released(CALL, True),
        events.TransferFailed(CALL, True),
        events.CallbackSet(CALL, "tomorrow"),
        events.CallbackRefused(CALL, ""),
        events.Transcribed(CALL, 99, "hello"),
    ],
)
def test_answers_to_what_it_never_asks_for_are_nothing(event: AnyEvent) -> None:
    assert Listened().up().call.handle(event, 1.0) == []


def test_what_cannot_be_is_a_bug() -> None:
    one = Listened().up()
    with pytest.raises(ImpossibleEvent):
        one.send(events.Incoming(CALL, "V1", "5550100", "s1"))
    with pytest.raises(ImpossibleEvent):
        one.send(events.MediaStarted(CALL))


EVENTS = st.sampled_from(
    [
        events.MediaStarted(CALL),
        events.HungUp(CALL, 200, "", False),
        events.StopAsked(CALL),
        *(kind(CALL, engine) for kind in (events.EngineLost, events.EngineBack) for engine in Engine),
        *(events.Transcribed(CALL, n, "we rent") for n in range(1, 5)),
        *(events.Understood(CALL, n, Understanding("opt_out")) for n in range(1, 5)),
    ]
)


@given(st.lists(EVENTS | st.sampled_from(["speak", "wait"]), max_size=25))
def test_in_any_order_it_ends_once_and_never_does_more_than_listen(story: list[AnyEvent | str]) -> None:
    one = Listened()
    one.recognizer = one.mind = False
    one.send(events.Incoming(CALL, "V1", "5550100", "s1"))
    for step in story:
        try:
            if step == "speak":
                one.speak("we rent", seconds=0.2, silence_s=1.0)
            elif isinstance(step, str):
                one.wait(0.3)
            else:
                one.send(step)
        except ImpossibleEvent:
            assert isinstance(step, events.MediaStarted)
    one.bye()
    one.wait(HANG_UP_S + LAST_WORDS_S)
    assert len(one.of(effects.Concluded)) == 1
    assert one.out[-1] == one.of(effects.Concluded)[0]


# The report ----------------------------------------------------------------------------------------------------------


def test_the_report_counts_agreement_where_there_was_an_opinion() -> None:
    rows = [("NI", "NI"), ("NI", "NI"), ("DNC", "NI"), ("", "SALE"), ("", "NI"), ("CALLBK", "CALLBK")]
    assert shadow_report(rows) == ShadowReport(
        calls=6,
        no_opinion=2,
        agreed=3,
        agreement=0.75,
        pairs={("NI", "NI"): 2, ("DNC", "NI"): 1, ("", "SALE"): 1, ("", "NI"): 1, ("CALLBK", "CALLBK"): 1},
    )


def test_two_empty_statuses_are_no_agreement() -> None:
    assert shadow_report([("", "")]) == ShadowReport(1, 1, 0, None, {("", ""): 1})
    assert shadow_report([]) == ShadowReport(0, 0, 0, None, {})
