"""The caller hangs up on a sentence of their own: what it meant still counts, and nothing waits for long."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from appliance.calls import effects, events
from appliance.calls.events import Engine
from appliance.calls.states import State
from appliance.calls.timers import FINAL_S, LAST_WORDS_S
from tests.calls.driver import CALL, Driver

OPT_OUT = "take me off your list"


def say_all(d: Driver, text: str) -> None:
    """The caller says it; the recognizer may still be at its first words."""
    end = d.says(text)
    d.until(lambda: d.t >= end)


def into_listening(d: Driver, text: str, mind_s: float) -> None:
    d.pick_up().listen()
    say_all(d, text)
    d.mind_s = mind_s


def into_deciding(d: Driver, text: str, mind_s: float) -> None:
    d.pick_up().listen().says(text)
    d.until(lambda: d.state is State.DECIDING)
    d.mind_s = mind_s


def into_thinking(d: Driver, text: str, mind_s: float) -> None:
    into_deciding(d, text, mind_s)
    d.until(lambda: d.state is State.THINKING)


def into_paused(d: Driver, text: str, mind_s: float) -> None:
    d.word_lag_s = 2.0  # with its words the interruption would be sure, and the agent not paused but cut
    d.pick_up().run(1.0)
    say_all(d, text)
    d.mind_s = mind_s


def into_phrasing(d: Driver, text: str, mind_s: float) -> None:
    """The caller speaks first, and the greeting is not worded yet."""
    d.mind_s = 2.0
    d.pick_up()
    say_all(d, text)
    d.mind_s = mind_s


def into_holding(d: Driver, text: str, mind_s: float) -> None:
    into_thinking(d, text, mind_s)
    d.lose(Engine.SPEECH)


WITH_OPEN_WORDS: dict[State, Callable[[Driver, str, float], None]] = {
    State.LISTENING: into_listening,
    State.DECIDING: into_deciding,
    State.THINKING: into_thinking,
    State.PAUSED: into_paused,
    State.PHRASING: into_phrasing,
    State.HOLDING: into_holding,
}


def ended_on(state: State, text: str, *, mind_s: float = 0.2) -> Driver:
    """The caller has said it in this state, and hung up at once."""
    d = Driver()
    WITH_OPEN_WORDS[state](d, text, mind_s)
    assert d.state is state
    d.hang_up()
    assert d.state is State.LAST_WORDS
    return d


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        ("not interested", "not_interested"),
        ("a real person", "wants_human"),
        ("goodbye", "hung_up"),
        ("yes", "hung_up"),
        ("who is this", "hung_up"),
        ("mumble", "hung_up"),
    ],
)
def test_only_a_parting_wish_is_more_than_a_hang_up(words: str, outcome: str) -> None:
    d = ended_on(State.DECIDING, words).finish()
    assert d.outcome == outcome
    assert d.of(effects.Concluded)[0].slots == {}, "a decision needs an agent who repeats it"


@pytest.mark.parametrize("state", WITH_OPEN_WORDS)
def test_an_opt_out_and_an_immediate_hang_up(state: State) -> None:
    words = OPT_OUT if state is not State.PAUSED else "not interested"  # a longer one is no pause any more
    d = ended_on(state, words)
    hung_up = d.t
    d.finish()
    assert d.outcome == ("dnc" if state is not State.PAUSED else "not_interested")
    assert d.t - hung_up < 0.5
    assert [text for who, text in d.transcript if who == "caller"] == [words], "the evidence, once and whole"
    assert d.of(effects.Concluded)[0].duration_s == pytest.approx(hung_up - 0.1), "the line's time, not the mind's"
    assert not d.of(effects.HangUp)
    after = [type(effect) for t, effect in d.log if t > hung_up]
    assert not {effects.Say, effects.Play, effects.Pause, effects.Resume, effects.Hush} & set(after)


def test_an_opt_out_in_two_pieces() -> None:
    d = Driver().pick_up().listen()
    d.says("take me off", after_s=0.3)
    d.until(lambda: d.state is State.DECIDING)
    end = d.says("your list")
    d.until(lambda: d.t >= end)
    assert "take_back" in d.notes
    d.hang_up()
    d.finish()
    assert d.outcome == "dnc"
    assert d.transcript[-1] == ("caller", OPT_OUT)


def test_a_hang_up_on_a_paused_agent_tells_how_far_it_came() -> None:
    d = ended_on(State.PAUSED, "not interested").finish()
    assert d.transcript == [("agent", "Hello this is Ann."), ("caller", "not interested")]
    assert all(turn.cut for turn in d.turns)


def test_a_cough_is_nothing_to_understand() -> None:
    d = Driver().pick_up().listen()
    d.noise(0.2)
    d.run(0.2)
    d.hang_up()
    d.finish()
    assert d.outcome == "hung_up"
    assert not d.of(effects.Understand)


@pytest.mark.parametrize("state", [State.LISTENING, State.SPEAKING])
def test_a_silent_caller_who_hangs_up_is_not_waited_for(state: State) -> None:
    d = Driver().pick_up()
    d.until(lambda: d.state is state)
    d.run(0.5)
    d.hang_up()
    assert d.outcome == "hung_up"


@pytest.mark.parametrize("state", WITH_OPEN_WORDS)
def test_a_mind_that_is_late_is_not_waited_for(state: State) -> None:
    d = ended_on(state, "not interested", mind_s=9.0)
    hung_up = d.t
    d.finish()
    assert d.outcome == "hung_up"
    assert d.t - hung_up == pytest.approx(LAST_WORDS_S, abs=0.03)
    assert d.of(effects.Forget)[-1].request == d.of(effects.Understand)[-1].request


@pytest.mark.parametrize("state", [State.LISTENING, State.DECIDING])
@pytest.mark.parametrize("dies", [False, True])
def test_a_recognizer_that_is_late_or_dies_is_answered_for_by_its_partial_text(state: State, dies: bool) -> None:
    d = Driver()
    d.final_s = 9.0
    WITH_OPEN_WORDS[state](d, OPT_OUT, 0.2)
    d.run(0.14 if state is State.LISTENING else 0.0)
    assert d.state is state
    d.hang_up()
    hung_up = d.t
    if dies:
        d.lose(Engine.SPEECH)
    d.finish()
    assert d.outcome == "dnc"
    assert d.t - hung_up == pytest.approx(FINAL_S + d.mind_s, abs=0.05)


def test_the_final_text_of_an_earlier_stretch_is_not_taken_for_the_last_words() -> None:
    d = Driver().pick_up().listen()
    d.final_s = 0.4
    d.says("yes", after_s=0.3)
    d.until(lambda: d.state is State.DECIDING)
    end = d.says("wait")
    d.until(lambda: d.t >= end)
    d.hang_up()
    d.finish()
    assert [u.text for u in d.of(effects.Understand)] == ["yes wait"]


@pytest.mark.parametrize("state", WITH_OPEN_WORDS)
def test_a_mind_that_is_gone_is_not_asked(state: State) -> None:
    d = Driver()
    WITH_OPEN_WORDS[state](d, "not interested", 0.2)
    d.lose(Engine.MIND)
    d.hang_up()
    assert d.outcome == "hung_up"


@pytest.mark.parametrize("state", WITH_OPEN_WORDS)
def test_a_mind_that_dies_over_the_last_words(state: State) -> None:
    d = ended_on(state, "not interested")
    d.lose(Engine.MIND)
    assert d.outcome == "hung_up"
    d.bring_back(Engine.MIND)
    assert len(d.of(effects.Concluded)) == 1


@pytest.mark.parametrize("state", WITH_OPEN_WORDS)
def test_a_stop_does_not_wait_for_the_last_words(state: State) -> None:
    d = ended_on(state, "not interested")
    d.stop()
    assert d.outcome == "hung_up"
    assert not d.of(effects.HangUp)
    assert not d.of(effects.Play) or state in (State.HOLDING, State.PHRASING), "nobody is there for a goodbye"


def test_what_else_happens_after_the_hang_up_changes_nothing() -> None:
    d = ended_on(State.LISTENING, OPT_OUT)
    before, deadline = list(d.log), d.board.deadline
    said, phrase = d.of(effects.Say)[-1], d.of(effects.Phrase)[-1]
    for event in (
        events.HungUp(CALL, 200, "BYE", False),
        events.HungUp(CALL, 481, "gone", True),
        events.Heard(CALL, 99999, 0.9, -20.0, -70.0, "hello"),
        events.Played(CALL, said.utterance, 99999, True, 99999),
        events.Voiced(CALL, said.utterance, 0, 100),
        events.Phrased(CALL, phrase.request, "Again.", True),
        events.Transcribed(CALL, 999, "no"),
        events.EngineBack(CALL, Engine.SPEECH),
    ):
        assert d.send(event) == [], event
    assert (d.log, d.board.deadline) == (before, deadline)
    d.finish()
    assert d.outcome == "dnc"


def test_speech_that_dies_after_the_hang_up_says_nothing_to_nobody() -> None:
    d = ended_on(State.THINKING, OPT_OUT)
    d.lose(Engine.SPEECH)
    d.bring_back(Engine.SPEECH)
    d.finish()
    assert d.outcome == "dnc"
    assert not d.of(effects.Play)


def test_an_opt_out_that_is_being_answered_is_not_undone_by_words_over_the_wait() -> None:
    d = Driver().pick_up().listen()
    d.mind_s = 1.2
    d.says(OPT_OUT)
    d.until(lambda: "understood" in d.notes)
    assert d.of(effects.Play), "the holding line was heard: too late to take the decision back"
    d.says("yes")
    d.run(0.4)
    assert d.state is State.PHRASING
    d.hang_up()
    assert d.outcome == "dnc"


def over_closing(d: Driver, text: str, *, last_word: str = "no") -> Driver:
    """The caller says it while the closing is said, too late to take it back."""
    d.pick_up().listen()
    d.says(last_word, after_s=0.3)
    d.until(lambda: d.state is State.SPEAKING and d.playing)
    d.run(0.4)
    say_all(d, text)
    return d


@pytest.mark.parametrize(("words", "outcome"), [("goodbye", "not_qualified"), ("yes", "not_qualified"), ("stop it", "dnc")])
def test_a_decided_outcome_is_kept_but_for_an_opt_out(words: str, outcome: str) -> None:
    d = over_closing(Driver(), words)
    assert d.state is State.SPEAKING
    d.hang_up()
    d.finish()
    assert d.outcome == outcome
    assert d.of(effects.Concluded)[0].slots == {"owner": "no"}
    assert d.transcript[-1] == ("caller", words), "the evidence"


def test_after_an_opt_out_nothing_is_waited_for() -> None:
    d = over_closing(Driver(), "no", last_word=OPT_OUT)
    d.hang_up()
    assert d.outcome == "dnc"


@pytest.mark.parametrize("state", [State.LISTENING, State.DECIDING, State.THINKING])
@pytest.mark.parametrize(("words", "outcome"), [("uh i want a real person", "not_qualified"), (OPT_OUT, "dnc")])
def test_a_hang_up_on_what_is_said_over_a_closing(state: State, words: str, outcome: str) -> None:
    d = over_closing(Driver(), words)
    d.until(lambda: d.state is state)
    d.hang_up()
    d.finish()
    assert d.outcome == outcome
