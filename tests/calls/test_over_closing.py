"""The caller speaks over our last words: nobody is hung up on in mid-sentence, and an opt-out always counts."""

from __future__ import annotations

import pytest

from appliance.calls import effects
from appliance.calls.effects import Prompt
from appliance.calls.events import Engine
from appliance.calls.states import State
from appliance.calls.timers import FINAL_S, LAST_WORDS_S, OVER_CLOSING_S
from tests.calls.driver import CAMPAIGN, Driver

OPT_OUT = "take me off your list"
DNC = ("agent", CAMPAIGN.outcome("dnc").closing)
NOT_QUALIFIED = ("agent", CAMPAIGN.outcome("not_qualified").closing)


def closing(last_word: str = "no", *, heard_s: float = 0.5) -> Driver:
    """So much of the closing to `last_word` has been heard."""
    d = Driver().pick_up().listen()
    d.says(last_word, after_s=0.3)
    d.until(lambda: d.state is State.SPEAKING and d.playing)
    return d.run(heard_s)


def test_an_opt_out_over_a_closing_is_heard_to_its_end_and_confirmed() -> None:
    d = closing()
    end = d.says(OPT_OUT)
    d.until(lambda: bool(d.of(effects.HangUp)))
    assert d.t > end
    d.finish()
    assert d.outcome == "dnc"
    assert d.transcript[1:] == [("caller", "no"), NOT_QUALIFIED, ("caller", OPT_OUT), DNC]
    assert not d.of(effects.Pause), "a closing is not interrupted"


def test_one_that_begins_with_the_very_last_word() -> None:
    d = closing()
    d.run(0.36)
    d.says(OPT_OUT)
    d.until(lambda: d.state is State.LISTENING)
    assert not d.notes.count("barge_pause")
    d.finish()
    assert d.outcome == "dnc"


def test_a_misheard_no_is_put_right() -> None:
    d = closing()
    d.says("yes i own it", after_s=0.3)
    d.until(lambda: d.transcript[-1] == ("agent", "Thank you. When was it built?"))
    d.reply("nineteen eighty")
    d.says("not interested")
    d.finish()
    assert d.outcome == "not_interested"
    assert d.of(effects.Concluded)[0].slots == {"owner": "yes", "year": "1980"}


@pytest.mark.parametrize("words", ["goodbye", "mumble", "say that again", "no"])
def test_what_changes_nothing_is_heard_to_its_end(words: str) -> None:
    d = closing()
    end = d.says(words, after_s=0.3)
    d.finish()
    assert d.outcome == "not_qualified"
    assert d.when(effects.HangUp) > end
    assert d.transcript[-2:] == [NOT_QUALIFIED, ("caller", words)]


@pytest.mark.parametrize("words", ["okay", "uh huh", "yes"])
def test_a_listening_noise_is_not_asked_about(words: str) -> None:
    d = closing()
    d.says(words)
    d.finish()
    assert d.outcome == "not_qualified"
    assert len(d.of(effects.Understand)) == 1
    assert d.when(effects.HangUp) - d.sounding[-1][0] < 0.8


def test_nor_waited_for_when_it_is_over() -> None:
    d = closing("a real person", heard_s=0.32)
    d.says("okay")
    d.until(lambda: d.state is State.HANGING_UP)
    assert "over_closing" not in d.notes
    assert d.playing or d.t - d.sounding[-1][0] < 0.03


def test_a_cough_at_the_end_is_nothing() -> None:
    d = closing(heard_s=1.0)
    d.noise(0.2)
    d.finish()
    assert d.outcome == "not_qualified"
    assert len(d.of(effects.Understand)) == 1


def test_after_an_opt_out_nothing_else_counts() -> None:
    d = closing(OPT_OUT)
    end = d.says("wait a real person")
    d.finish()
    assert d.outcome == "dnc"
    assert d.when(effects.HangUp) > end
    assert d.transcript.count(DNC) == 1


def test_who_speaks_without_end_is_listened_to_for_so_long() -> None:
    d = closing()
    d.noise(30)
    over = d.until(lambda: d.state is State.LISTENING).t
    d.final_s = 9.0
    d.until(lambda: bool(d.of(effects.HangUp)), limit_s=10)
    d.finish()
    assert d.outcome == "not_qualified"
    assert d.when(effects.HangUp) - over == pytest.approx(OVER_CLOSING_S + FINAL_S, abs=0.05)


def test_a_mind_that_does_not_answer_is_not_waited_for() -> None:
    d = closing()
    d.says(OPT_OUT)
    d.mind_s = 9.0
    d.until(lambda: d.state is State.THINKING)
    asked = d.t
    d.finish()
    assert d.outcome == "not_qualified"
    assert d.when(effects.HangUp) - asked == pytest.approx(FINAL_S + LAST_WORDS_S, abs=0.05)
    assert not d.of(effects.Play), "no holding line after a goodbye"
    assert d.transcript[-1] == ("caller", OPT_OUT), "the evidence"


def test_more_words_while_they_are_being_understood_are_part_of_them() -> None:
    d = closing()
    d.says("take me off")
    d.mind_s = 0.4
    d.until(lambda: d.state is State.THINKING)
    d.says("your list")
    d.finish()
    assert d.outcome == "dnc"
    assert ("caller", OPT_OUT) in d.transcript


def test_the_reply_to_them_can_be_taken_back() -> None:
    """It is over a closing still: what is not understood does not open the conversation again."""
    d = closing()
    d.says("yes i own it", after_s=0.3)
    d.until(lambda: d.state is State.PHRASING)
    d.says("mumble")
    d.finish()
    assert d.outcome == "not_qualified"
    assert d.transcript[-1] == ("caller", "yes i own it mumble")


@pytest.mark.parametrize("state", [State.PHRASING, State.SPEAKING])
def test_going_on_at_the_start_of_a_closing_takes_it_back(state: State) -> None:
    d = Driver().pick_up().listen()
    d.says("no", after_s=0.3)
    d.until(lambda: d.state is state)
    d.says("time")
    d.until(lambda: d.of(effects.Phrase)[-1].acts[-1].ref == "year").listen()
    assert d.transcript[1:] == [("caller", "no time"), ("agent", "It takes one minute. When was it built?")]


@pytest.mark.parametrize("more", ["yes", "and mumble"])
@pytest.mark.parametrize("hangs_up", [False, True])
def test_an_opt_out_whose_closing_is_taken_back_stays_one(more: str, hangs_up: bool) -> None:
    d = closing(OPT_OUT, heard_s=0.1)
    end = d.says(more)
    d.until(lambda: "take_back" in d.notes)
    if hangs_up:
        d.until(lambda: d.t >= end)
        d.hang_up()
    d.finish()
    assert d.outcome == "dnc"
    assert ("caller", f"{OPT_OUT} {more}") in d.transcript or hangs_up
    assert (DNC in d.transcript) is not hangs_up


@pytest.mark.parametrize("state", [State.LISTENING, State.DECIDING, State.THINKING])
@pytest.mark.parametrize(("words", "outcome"), [(OPT_OUT, "dnc"), ("uh i want a real person", "not_qualified")])
def test_speech_dies_over_them(state: State, words: str, outcome: str) -> None:
    """What is known of the words still counts, but nothing can be said any more."""
    d = closing()
    d.says(words)
    d.until(lambda: d.state is state)
    d.until(lambda: state is not State.LISTENING or d.t > d.sounding[-1][0] + 0.2)
    d.lose(Engine.SPEECH)
    d.finish()
    assert d.outcome == outcome
    assert not d.of(effects.Play)
    assert d.transcript[-1] == ("caller", words)


def test_speech_that_is_dead_already_hears_nobody() -> None:
    d = closing()
    d.says(OPT_OUT)
    d.run(0.3)
    d.lose(Engine.SPEECH)
    d.finish()
    assert d.outcome == "not_qualified"


# What else ends a call over words that may be an opt-out -----------------------------------------------------------


@pytest.mark.parametrize("state", [State.LISTENING, State.DECIDING, State.THINKING])
def test_a_stop_over_an_opt_out(state: State) -> None:
    d = Driver().pick_up().listen()
    end = d.says(OPT_OUT)
    d.mind_s = 0.5
    d.until((lambda: d.t >= end + 0.12) if state is State.LISTENING else lambda: d.state is state)
    assert d.state is state
    d.stop()
    d.finish()
    assert d.outcome == "dnc"
    assert [play.prompt for play in d.of(effects.Play)] == [Prompt.FAREWELL]
    assert d.transcript[-2:] == [("caller", OPT_OUT), ("agent", CAMPAIGN.lines.farewell)]


@pytest.mark.parametrize(("words", "outcome"), [("not interested", "cut_short"), (OPT_OUT, "dnc")])
@pytest.mark.parametrize("hangs_up", [False, True])
def test_what_a_stop_cuts_short_was_no_decision(words: str, outcome: str, hangs_up: bool) -> None:
    d = Driver().pick_up().listen()
    d.says(words)
    d.until(lambda: d.state is State.THINKING)
    d.stop()
    if hangs_up:
        d.hang_up()
    d.finish()
    assert d.outcome == outcome


def test_a_stop_keeps_what_was_decided() -> None:
    d = closing()
    d.stop()
    d.finish()
    assert d.outcome == "not_qualified"


def test_so_does_one_while_the_caller_speaks_over_the_closing() -> None:
    d = closing()
    d.says("mumble mumble mumble mumble mumble mumble")
    d.until(lambda: d.state is State.LISTENING)
    d.stop()
    d.finish()
    assert d.outcome == "not_qualified"
    farewell = d.turns[[turn.text for turn in d.turns].index(CAMPAIGN.lines.farewell)]
    assert not farewell.cut


def test_an_opt_out_is_not_asked_about_again() -> None:
    d = closing(OPT_OUT)
    d.stop()
    d.finish()
    assert d.outcome == "dnc"
    assert len(d.of(effects.Understand)) == 1
