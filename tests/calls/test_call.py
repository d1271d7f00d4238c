"""Whole calls, told as stories."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from appliance.calls import effects, events
from appliance.calls.call import Call
from appliance.calls.campaign import Campaign
from appliance.calls.effects import Act, ActKind, Prompt
from appliance.calls.events import Engine, Understanding
from appliance.calls.states import ImpossibleEvent, State
from appliance.calls.timers import GIVE_UP_S, HANG_UP_S, MEDIA_S, NO_INPUT_S, RELEASE_S, SLOW_S
from appliance.calls.turns import MAX_TURN_S
from tests.calls.driver import CALL, CAMPAIGN, WORD_S, Driver

HELLO = "Hello this is Ann. I am a machine and we record. Do you own your home?"
HOLDING = CAMPAIGN.lines.holding
GOODBYE = CAMPAIGN.lines.goodbye
FAREWELL = CAMPAIGN.lines.farewell
SORRY = CAMPAIGN.lines.sorry
BACK = CAMPAIGN.lines.back

# How a call gets into each state in which an engine can be lost or a stop can be asked.
INTO: dict[State, Callable[[Driver], object]] = {
    State.RINGING: lambda d: d.ring(),
    State.LISTENING: lambda d: d.to_question("year"),
    State.DECIDING: lambda d: (d.to_question("year"), d.says("nineteen eighty"), d.until(lambda: d.state is State.DECIDING)),
    State.THINKING: lambda d: (d.to_question("year"), d.says("nineteen eighty"), d.until(lambda: d.state is State.THINKING)),
    State.PHRASING: lambda d: (d.to_question("year"), d.says("nineteen eighty"), d.until(lambda: d.state is State.PHRASING)),
    State.SPEAKING: lambda d: (
        d.to_question("year"),
        d.says("nineteen eighty"),
        d.until(lambda: d.state is State.SPEAKING and d.playing),
    ),
    State.PAUSED: lambda d: (d.pick_up(), d.run(1.0), d.says("okay"), d.until(lambda: d.state is State.PAUSED)),
}


def prompts(d: Driver) -> list[Prompt]:
    return [play.prompt for play in d.of(effects.Play)]


# The conversation ----------------------------------------------------------------------------------------------------


def test_interested_to_completion() -> None:
    d = Driver().pick_up()
    d.listen()
    for answer in ("yes", "nineteen eighty", "one two three four five", "nothing"):
        d.reply(answer)
    d.finish()
    assert d.outcome == "completed"
    assert d.of(effects.Concluded)[0].slots == {"owner": "yes", "year": "1980", "zip": "12345", "more": "nothing"}
    assert d.transcript == [
        ("agent", HELLO),
        ("caller", "yes"),
        ("agent", "Thank you. When was it built?"),
        ("caller", "nineteen eighty"),
        ("agent", "Thank you. What is your zip code?"),
        ("caller", "one two three four five"),
        ("agent", "Thank you. Anything else?"),
        ("caller", "nothing"),
        ("agent", "All done. Goodbye."),
    ]
    assert [turn.start_s for turn in d.turns] == sorted(turn.start_s for turn in d.turns)
    assert not any(turn.cut for turn in d.turns)
    assert len(d.of(effects.HangUp)) == 1


def test_times_and_gap_of_a_reply_are_those_of_the_line() -> None:
    d = Driver().pick_up().listen()
    end = d.says("yes", after_s=0.3)
    d.until(lambda: len(d.turns) == 2)
    caller = d.turns[1]
    media_at = 0.1
    assert caller.end_s == pytest.approx(end - media_at, abs=0.03)
    assert caller.start_s == pytest.approx(end - WORD_S - media_at, abs=0.03)
    heard = d.heard_at(end)
    d.listen()
    reply = d.turns[2]
    assert reply.start_s == pytest.approx(heard - media_at, abs=0.03)
    assert reply.gap_ms is not None
    assert reply.gap_ms == pytest.approx((heard - end) * 1000, abs=40)
    assert reply.gap_ms < 600  # a bare "yes" is held for HOLD_ONE_WORD_S
    assert d.turns[0].gap_ms is None, "the greeting answers nobody"


@pytest.mark.parametrize(
    ("words", "outcome", "closing"),
    [
        ("take me off your list", "dnc", "I will remove you. Goodbye."),
        ("a real person", "wants_human", "A colleague will call. Goodbye."),
        ("not interested", "not_interested", "All right. Goodbye."),
        ("no", "not_qualified", "Thank you anyway. Goodbye."),
        ("we rent", "not_qualified", "Then it is not for you. Thank you anyway. Goodbye."),
    ],
)
def test_what_ends_the_call_is_answered_and_concluded(words: str, outcome: str, closing: str) -> None:
    d = Driver().pick_up().listen()
    d.reply(words).finish()
    assert d.outcome == outcome
    assert d.transcript[1:] == [("caller", words), ("agent", closing)]


def test_a_question_back_is_answered_and_the_own_one_asked_again() -> None:
    d = Driver().pick_up().listen()
    d.reply("who is this")
    assert d.transcript[-1] == ("agent", "I call for Roof Care. Do you own your home?")
    d.reply("yes but who is this")
    assert d.transcript[-1] == ("agent", "I call for Roof Care. When was it built?")


def test_silence_to_no_input() -> None:
    d = Driver().pick_up().listen()
    asked = d.t
    d.until(lambda: len(d.turns) == 2)
    assert d.t - asked == pytest.approx(NO_INPUT_S + 2.5, abs=0.6)
    d.finish()
    assert d.outcome == "no_input"
    again = ("agent", "Are you still there? Is the home yours?")
    assert d.transcript == [("agent", HELLO), again, again, ("agent", "I can not hear you. Goodbye.")]
    assert all(turn.gap_ms is None for turn in d.turns)


def test_an_answer_after_a_silence_goes_on() -> None:
    d = Driver().pick_up().listen()
    d.until(lambda: len(d.turns) == 2)
    d.reply("yes")
    assert d.transcript[-1] == ("agent", "Thank you. When was it built?")


def test_who_speaks_as_the_silence_runs_out_is_not_talked_over() -> None:
    d = Driver().pick_up().listen()
    d.says("yes", after_s=NO_INPUT_S - 0.03)
    d.until(lambda: len(d.turns) == 3)
    assert d.transcript[1:] == [("caller", "yes"), ("agent", "Thank you. When was it built?")]
    assert "take_back" in d.notes


def test_wordless_speech_is_apologized_for_and_asked_again_till_it_gives_up() -> None:
    d = Driver().pick_up().listen()
    d.noise(1.0, after_s=0.3)
    d.until(lambda: len(d.turns) == 2)
    assert d.transcript[-1] == ("agent", f"{SORRY} Is the home yours?")
    d.reply("mumble mumble")
    d.finish()
    assert d.outcome == "not_qualified", "one reask, then where give_up says"


def test_a_noise_burst_is_ignored() -> None:
    d = Driver().pick_up().listen()
    d.noise(0.16, after_s=0.3)
    d.run(3.0)
    assert "noise" in d.notes
    assert d.state is State.LISTENING
    assert len(d.turns) == 1
    assert not d.of(effects.Understand)
    d.until(lambda: len(d.turns) == 2, limit_s=9)
    assert d.turns[1].gap_ms is None, "'are you still there' is no answer to the noise"


def test_a_pause_in_mid_sentence_is_waited_for() -> None:
    d = Driver().to_question("zip")
    d.says("one two three", after_s=0.3)
    d.says("four five", after_s=0.3 + 3 * WORD_S + 0.9)
    d.until(lambda: d.state is State.SPEAKING)
    assert d.of(effects.Understand)[-1].text == "one two three four five"
    assert "take_back" not in d.notes


def test_hanging_up_in_mid_sentence_keeps_all_that_was_said() -> None:
    """The recognizer is asked for the words it had not come to: the transcript has them, and so has the mind."""
    d = Driver().pick_up().listen()
    d.says("well i think that", after_s=0.3)
    d.run(1.0)
    d.hang_up()
    d.finish()
    assert d.outcome == "hung_up"
    assert d.transcript == [("agent", HELLO), ("caller", "well i")]
    assert d.turns[-1].cut
    assert [u.text for u in d.of(effects.Understand)] == ["well i"]


def test_hanging_up_on_us_keeps_what_was_heard() -> None:
    d = Driver().pick_up()
    d.run(1.7)
    d.hang_up()
    assert d.outcome == "hung_up"
    assert d.transcript == [("agent", "Hello this is Ann. I am")]
    assert d.turns[0].cut
    assert d.of(effects.Concluded)[0].duration_s == pytest.approx(1.7)
    assert not d.of(effects.HangUp)


def test_hanging_up_on_our_closing_keeps_its_outcome_and_the_last_words() -> None:
    d = Driver().pick_up().listen()
    d.says("take me off your list", after_s=0.3)
    d.until(lambda: d.state is State.SPEAKING)
    d.run(0.4)
    d.says("and never call again")
    d.run(0.7)
    d.hang_up()
    assert d.outcome == "dnc"
    assert d.transcript[1:] == [("caller", "take me off your list"), ("agent", "I will remove you."), ("caller", "and never")]


def test_a_bye_that_is_not_answered() -> None:
    d = Driver()
    d.answers_bye = False
    d.pick_up().listen()
    d.reply("no").finish()
    assert d.outcome == "not_qualified"
    assert d.when(effects.Concluded) - d.when(effects.HangUp) == pytest.approx(HANG_UP_S, abs=0.03)


# Interruptions -------------------------------------------------------------------------------------------------------


def test_barge_in_commits_and_cuts_the_agent_to_what_was_heard() -> None:
    d = Driver().pick_up()
    d.run(0.8)
    began = d.t
    d.says("wait who is this")
    d.until(lambda: d.state is State.PAUSED)
    assert d.t - began <= 0.12
    d.until(lambda: len(d.turns) == 1)
    assert d.transcript == [("agent", "Hello this is")]
    assert d.turns[0].cut
    assert d.turns[0].end_s == pytest.approx(0.8, abs=0.12)
    d.until(lambda: len(d.turns) == 3, limit_s=10)
    assert d.transcript[1] == ("caller", "wait who is this")


def test_a_backchannel_pauses_and_resumes_at_the_place() -> None:
    d = Driver().pick_up()
    d.run(1.0)
    d.says("uh huh")
    d.listen()
    assert d.notes.count("barge_pause") == d.notes.count("barge_resume") == 1
    assert d.transcript == [("agent", HELLO)]
    assert d.turns[0].start_s == pytest.approx(0.06, abs=0.05), "the pause does not move the start"
    d.reply("yes")
    assert d.transcript[1] == ("caller", "yes"), "the listening noise is no part of the answer"


def test_a_cough_resumes_and_a_long_wordless_stretch_commits() -> None:
    d = Driver().pick_up()
    d.run(0.6)
    d.noise(0.3)
    d.until(lambda: "barge_resume" in d.notes, limit_s=2)
    d.noise(1.5, after_s=0.2)
    d.until(lambda: "barge_commit" in d.notes, limit_s=3)
    assert d.notes.index("barge_resume") < d.notes.index("barge_commit")


def test_own_echo_neither_pauses_nor_takes_back_nor_is_an_answer() -> None:
    d = Driver()
    d.echo_db = 15.0
    d.pick_up().listen()
    d.mind_s = 1.5  # so that the holding line echoes while the mind thinks
    d.reply("yes")
    d.run(1.0)
    assert HOLDING in [text for _, text in d.transcript]
    assert not {"barge_pause", "take_back", "noise"} & set(d.notes)
    assert d.state is State.LISTENING


def test_who_speaks_into_our_last_words_has_answered() -> None:
    d = Driver().pick_up()
    d.until(lambda: d.state is State.SPEAKING)
    total_s = len(HELLO.split()) * WORD_S
    d.run(total_s - 0.06)
    d.says("no we are fine")
    d.until(lambda: "barge_commit" in d.notes or d.state is State.LISTENING)
    d.until(lambda: len(d.turns) >= 2, limit_s=10)
    assert d.transcript[1] == ("caller", "no we are fine")


def test_playout_ending_in_a_pause_resumes_and_listens() -> None:
    d = Driver().pick_up()
    d.run(1.0)
    d.says("okay")
    d.until(lambda: d.state is State.PAUSED)
    said = d.of(effects.Say)[-1]
    d.send(events.Played(CALL, said.utterance, 99999, True, 20000))
    assert d.state is State.LISTENING
    assert d.transcript == [("agent", HELLO)]
    d.until(lambda: len(d.turns) == 2)
    assert d.transcript[1] == ("caller", "okay")


def test_a_closing_is_not_interrupted() -> None:
    d = Driver().pick_up().listen()
    d.says("not interested", after_s=0.3)
    d.until(lambda: d.state is State.SPEAKING)
    d.run(0.4)
    d.says("no no")
    d.finish()
    assert not d.of(effects.Pause)
    assert d.outcome == "not_interested"
    assert ("agent", "All right. Goodbye.") in d.transcript


# Answers over the end of a question -----------------------------------------------------------------------------------


def test_a_yes_over_the_last_words_of_a_question_is_the_answer() -> None:
    d = Driver().pick_up()
    d.run(len(HELLO.split()) * WORD_S - 0.6)
    d.says("yes")
    d.until(lambda: d.state is State.PAUSED)
    d.until(lambda: "answered_early" in d.notes, limit_s=1)
    d.until(lambda: d.state is State.SPEAKING).listen()
    assert [who for who, _ in d.transcript] == ["agent", "caller", "agent"]
    assert d.transcript[1:] == [("caller", "yes"), ("agent", "Thank you. When was it built?")], "and no disclosure again"
    assert d.turns[0].cut
    assert d.turns[0].text.endswith("Do you")
    assert not d.of(effects.Resume)
    assert d.turns[2].gap_ms is not None
    assert d.turns[2].gap_ms < 700


@pytest.mark.parametrize(
    ("left_s", "what"),
    [(1.4, "too early"), (0.6, "a cough")],
)
def test_what_is_no_answer_over_a_question_is_a_listening_noise(left_s: float, what: str) -> None:
    d = Driver().pick_up()
    d.run(len(HELLO.split()) * WORD_S - left_s)
    if what == "a cough":
        d.noise(0.25)
    else:
        d.says("yes")
    d.listen()
    assert d.notes.count("barge_resume") == 1
    assert "answered_early" not in d.notes
    assert d.transcript == [("agent", HELLO)]


def test_a_noise_over_the_beginning_of_a_short_question_is_not_its_answer() -> None:
    raw = CAMPAIGN.model_dump(mode="json")
    raw["questions"][1]["ask"] = "Which year?"
    raw["lines"]["acknowledge"] = ["Fine."]
    d = Driver(campaign=Campaign.model_validate(raw)).pick_up().listen()
    d.says("yes", after_s=0.3)
    d.until(lambda: d.playing)
    d.says("okay", after_s=0.02)
    d.until(lambda: d.state is State.PAUSED)
    d.until(lambda: "barge_resume" in d.notes, limit_s=2)
    d.listen()
    assert d.transcript[1:] == [("caller", "yes"), ("agent", "Fine. Which year?")]


def test_a_noise_over_a_sentence_whose_end_is_to_come_is_not_an_answer() -> None:
    d = Driver()
    d.later_clause_s = 0.9
    d.pick_up()
    d.run(0.5)
    d.says("okay")
    d.until(lambda: "barge_resume" in d.notes, limit_s=2)
    assert "answered_early" not in d.notes


# The disclosure ------------------------------------------------------------------------------------------------------

DISCLOSURE = CAMPAIGN.greeting.disclosure


def test_a_disclosure_that_was_cut_comes_first_in_the_reply_and_once() -> None:
    d = Driver().pick_up()
    d.run(0.8)
    d.says("wait who is this")
    d.until(lambda: len(d.of(effects.Phrase)) == 2)
    assert d.of(effects.Phrase)[-1].acts[0] == Act(ActKind.DISCLOSE)
    d.listen()
    assert d.transcript[0] == ("agent", "Hello this is")
    assert d.transcript[-1] == ("agent", f"{DISCLOSURE} {SORRY} Is the home yours?")
    d.reply("yes")
    assert d.transcript[-1] == ("agent", "Thank you. When was it built?")


def test_it_is_owed_for_as_long_as_it_is_cut() -> None:
    d = Driver().pick_up()
    d.run(0.8)
    d.says("who is this")
    d.until(lambda: len(d.turns) == 2, limit_s=5)
    d.run(0.7)
    d.says("who is this")
    d.until(lambda: len(d.of(effects.Phrase)) == 3).listen()
    assert [text for who, text in d.transcript if who == "agent"] == [
        "Hello this is",
        "I am a machine",
        f"{DISCLOSURE} I call for Roof Care. Do you own your home?",
    ]
    d.reply("say that again")
    assert d.transcript[-1] == ("agent", "Do you own your home?")


def test_it_is_owed_though_the_reply_that_began_with_it_was_taken_back() -> None:
    d = Driver().pick_up()
    d.run(0.8)
    d.says("wait who is this")
    d.until(lambda: len(d.of(effects.Phrase)) == 2)
    d.says("please")
    d.until(lambda: "take_back" in d.notes, limit_s=1)
    d.until(lambda: d.state is State.SPEAKING).listen()
    assert d.transcript[-1][1].startswith(DISCLOSURE)
    assert d.transcript[-1][1].count(DISCLOSURE) == 1


def test_a_greeting_that_was_cut_after_its_disclosure_owes_nothing() -> None:
    d = Driver().pick_up()
    d.run((4 + 7) * WORD_S + 0.4)
    d.says("wait who is this")
    d.until(lambda: len(d.of(effects.Phrase)) == 2)
    assert d.of(effects.Phrase)[-1].acts[0] != Act(ActKind.DISCLOSE)


def test_last_words_owe_no_disclosure() -> None:
    d = Driver().pick_up()
    d.run(0.8)
    d.says("not interested")
    d.finish()
    assert d.outcome == "not_interested"
    assert d.transcript[-1] == ("agent", "All right. Goodbye.")


@pytest.mark.parametrize("cut", [False, True])
def test_a_greeting_that_stalls_half_way_is_disclosed_in_two_pieces(cut: bool) -> None:
    d = Driver()
    d.later_clause_s = 2.2
    d.pick_up()
    d.until(lambda: len(d.turns) == 2)
    assert d.transcript == [("agent", "Hello this is Ann."), ("agent", HOLDING)]
    if cut:
        d.until(lambda: d.of(effects.Say)[-1].text.endswith("?")).run(0.4)
        d.says("wait who is this")
    else:
        d.listen().says("yes", after_s=0.3)
    d.until(lambda: len(d.of(effects.Phrase)) == 2)
    assert d.transcript[2][1].startswith(f"{DISCLOSURE} Do")
    assert d.turns[2].cut is cut
    assert d.of(effects.Phrase)[-1].acts[0].kind is not ActKind.DISCLOSE, "it was heard whole"


def test_a_thank_you_for_waiting_is_no_part_of_the_disclosure() -> None:
    d = Driver().pick_up()
    d.lose(Engine.SPEECH)
    d.run(0.5)
    d.bring_back(Engine.SPEECH)
    d.until(lambda: d.state is State.SPEAKING)
    assert d.of(effects.Phrase)[-1].acts[:2] == (Act(ActKind.BACK), Act(ActKind.GREET))
    d.run((len(BACK.split()) + 4) * WORD_S + 0.6)
    d.says("wait who is this")
    d.until(lambda: len(d.of(effects.Phrase)) == 3)
    assert d.transcript[-1] == ("agent", f"{BACK} Hello this is Ann. I am")
    assert d.of(effects.Phrase)[-1].acts[0] == Act(ActKind.DISCLOSE)


# Take back -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.DECIDING, State.THINKING, State.PHRASING])
def test_the_caller_goes_on_before_the_reply(state: State) -> None:
    d = Driver().pick_up().listen()
    d.mind_s = 0.3
    d.says("yes", after_s=0.3)
    d.until(lambda: d.state is state)
    if state is State.DECIDING:
        d.final_s = 0.4
    d.says("but who is this")
    d.until(lambda: "take_back" in d.notes, limit_s=1)
    d.mind_s = 0.06
    d.until(lambda: d.state is State.SPEAKING)
    d.listen()
    assert d.transcript[1:] == [("caller", "yes but who is this"), ("agent", "I call for Roof Care. When was it built?")]
    assert d.turns[1].end_s - d.turns[1].start_s > 5 * WORD_S
    expected = [e.question for e in d.of(effects.Expect)]
    assert expected == (["owner", "year", "owner", "year"] if state is State.PHRASING else ["owner", "year"])


def test_the_caller_goes_on_just_after_the_reply_has_begun() -> None:
    d = Driver().pick_up().listen()
    d.says("yes", after_s=0.3)
    d.until(lambda: d.playing)
    d.says("but who is this")
    d.until(lambda: "take_back" in d.notes, limit_s=1)
    d.until(lambda: d.state is State.SPEAKING).listen()
    assert d.transcript[1:] == [("caller", "yes but who is this"), ("agent", "I call for Roof Care. When was it built?")]
    assert d.turns[-1].gap_ms is not None
    assert d.turns[-1].gap_ms < 1000


def test_a_decision_that_ends_the_call_can_be_taken_back_too() -> None:
    d = Driver().pick_up().listen()
    d.mind_s = 0.3
    d.says("no", after_s=0.3)
    d.until(lambda: d.state is State.PHRASING)
    d.says("time")
    d.mind_s = 0.06
    d.until(lambda: d.state is State.SPEAKING).listen()
    assert d.outcome is None
    assert d.transcript[1:] == [("caller", "no time"), ("agent", "It takes one minute. When was it built?")]


def test_words_over_a_holding_line_do_not_undo_what_was_asked_for() -> None:
    d = Driver().pick_up().listen()
    d.mind_s = 2.5
    d.says("take me off your list", after_s=0.3)
    d.until(lambda: bool(d.of(effects.Play)))
    d.run(0.6)
    d.says("okay")
    d.finish()
    assert d.outcome == "dnc"


def test_going_on_just_as_the_holding_line_begins_stops_the_line() -> None:
    d = Driver().pick_up().listen()
    d.mind_s = 1.5
    d.says("yes", after_s=0.3)
    d.until(lambda: bool(d.of(effects.Play)))
    d.says("but who is this", after_s=0.02)
    d.until(lambda: "take_back" in d.notes, limit_s=1)
    assert d.of(effects.Hush)[-1].utterance == d.of(effects.Play)[-1].utterance
    d.mind_s = 0.06
    d.until(lambda: d.state is State.SPEAKING).listen()
    assert d.transcript[1] == ("caller", "yes but who is this")
    assert HOLDING not in [text for _, text in d.transcript]


def test_a_greeting_that_is_not_worded_yet_is_not_taken_back() -> None:
    d = Driver()
    d.mind_s = 0.4
    d.pick_up()
    d.says("hello")
    d.listen()
    assert d.transcript == [("agent", HELLO)]


def test_who_speaks_without_end_is_answered_and_the_rest_is_a_new_turn() -> None:
    d = Driver().pick_up().listen()
    words = ["blah"] * 100
    d.says(" ".join(words), after_s=0.3)
    d.until(lambda: "end_of_turn" in d.notes)
    assert d.t == pytest.approx(0.1 + 4 + MAX_TURN_S, abs=1)
    d.until(lambda: "barge_commit" in d.notes, limit_s=2)
    assert d.of(effects.Say), "a reply was tried; they speak on, and we are silent again"
    d.finish()
    assert "take_back" not in d.notes
    caller = [turn.text for turn in d.turns if turn.who.value == "caller"]
    assert len(caller) == 2
    assert " ".join(caller).split() == words, "every word is in the transcript, and once"


def test_a_wordy_interruption_that_nobody_judged_yet_is_in_the_transcript() -> None:
    d = Driver().pick_up()
    d.word_lag_s = -0.2
    d.run(1.0)
    d.says("wait who is this")
    d.until(lambda: d.state is State.PAUSED)
    d.stop()
    assert d.transcript == [("agent", "Hello this is Ann."), ("caller", "wait")]


# The recognizer's last word ------------------------------------------------------------------------------------------


def test_a_late_final_text_is_replaced_by_the_partial_one() -> None:
    d = Driver().pick_up().listen()
    d.final_s = 2.0
    d.reply("yes")
    assert "final_late" in d.notes
    assert d.transcript[1:] == [("caller", "yes"), ("agent", "Thank you. When was it built?")]


@pytest.mark.parametrize("final_s", [0.3, 1.0])
def test_the_final_text_of_a_stretch_that_was_taken_back_is_not_heard_twice(final_s: float) -> None:
    d = Driver().pick_up().listen()
    d.final_s = final_s
    d.says("yes", after_s=0.3)
    d.until(lambda: d.state is State.DECIDING)
    d.says("but who is this")
    d.until(lambda: "take_back" in d.notes)
    d.run(0.5)
    d.final_s = 0.1
    d.until(lambda: bool(d.of(effects.Understand)))
    assert [u.text for u in d.of(effects.Understand)] == ["yes but who is this"]


# Engines die ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", INTO)
def test_speech_is_lost_and_comes_back(state: State) -> None:
    d = Driver()
    INTO[state](d)
    assert d.state is state
    d.lose(Engine.SPEECH)
    if state is State.RINGING:
        d.pick_up_ringing()
    lost = d.t
    d.until(lambda: any(t > lost for t, _ in d.sounding), limit_s=SLOW_S + 0.1)
    d.run(3.0)
    assert d.state is State.HOLDING
    d.bring_back(Engine.SPEECH)
    d.until(lambda: d.state in (State.SPEAKING, State.LISTENING), limit_s=3).listen()
    assert ("agent", HOLDING) in d.transcript
    d.finish()
    assert d.outcome == "no_input"
    assert [t.start_s for t in d.turns] == sorted(t.start_s for t in d.turns)


@pytest.mark.parametrize("state", INTO)
def test_speech_is_lost_and_back_within_the_holding_line(state: State) -> None:
    d = Driver()
    INTO[state](d)
    d.lose(Engine.SPEECH)
    d.run(0.1)
    d.bring_back(Engine.SPEECH)
    if state is State.RINGING:
        d.pick_up_ringing()
    d.listen()
    d.reply("yes" if d.of(effects.Expect)[-1].question == "owner" else "nineteen eighty")
    assert d.transcript[-1][0] == "agent"
    assert d.of(effects.Concluded) == []


@pytest.mark.parametrize("engine", Engine)
@pytest.mark.parametrize("state", INTO)
def test_an_engine_that_never_comes_back_ends_the_call_politely(state: State, engine: Engine) -> None:
    d = Driver()
    INTO[state](d)
    d.lose(engine)
    if state is State.RINGING:
        d.pick_up_ringing()
    if engine is Engine.MIND and state in (State.LISTENING, State.SPEAKING, State.PAUSED):
        d.until(lambda: d.state is State.LISTENING)
        d.says("nineteen eighty", after_s=0.3)
    lost = d.t
    d.finish()
    assert d.outcome == "technical"
    assert d.transcript[-1] == ("agent", GOODBYE)
    assert prompts(d)[-1] is Prompt.GOODBYE
    assert d.t - lost < GIVE_UP_S + 12


@pytest.mark.parametrize("state", INTO)
def test_the_mind_is_lost_and_comes_back(state: State) -> None:
    d = Driver()
    INTO[state](d)
    d.lose(Engine.MIND)
    if state is State.RINGING:
        d.pick_up_ringing()
    if state in (State.LISTENING, State.SPEAKING, State.PAUSED):
        d.until(lambda: d.state is State.LISTENING)
        d.says("yes" if state is State.PAUSED else "nineteen eighty", after_s=0.3)
        d.until(lambda: d.state is not State.LISTENING)
    lost = d.t
    d.until(lambda: bool(d.of(effects.Play)), limit_s=SLOW_S + 0.4)
    d.until(lambda: d.t > lost + 2.0)
    d.bring_back(Engine.MIND)
    d.listen()
    assert ("agent", HOLDING) in d.transcript
    assert d.transcript[-1][1].endswith("?")
    assert d.transcript[-1][1].count("Thank you.") <= 1
    assert [t.start_s for t in d.turns] == sorted(t.start_s for t in d.turns)


def test_a_slow_mind_is_covered_by_a_holding_line_within_its_time() -> None:
    d = Driver().pick_up().listen()
    d.mind_s = 2.0
    d.says("yes", after_s=0.3)
    d.until(lambda: d.state is State.DECIDING)
    decided = d.t
    d.until(lambda: bool(d.of(effects.Play)))
    assert d.t - decided == pytest.approx(SLOW_S, abs=0.03)
    d.until(lambda: d.state is State.SPEAKING).listen()
    assert d.transcript[1:] == [
        ("caller", "yes"),
        ("agent", HOLDING),
        ("agent", "Thank you."),
        ("agent", HOLDING),
        ("agent", "When was it built?"),
    ]
    assert d.turns[2].gap_ms is not None
    assert d.turns[3].gap_ms is None


def test_a_very_slow_mind_is_covered_again_and_then_given_up() -> None:
    d = Driver().pick_up().listen()
    d.mind_s = 100
    d.says("yes", after_s=0.3)
    d.finish()
    assert prompts(d) == [Prompt.HOLDING, Prompt.HOLDING, Prompt.GOODBYE]
    assert d.outcome == "technical"


def test_a_mind_that_dies_in_mid_sentence_says_all_of_it_again() -> None:
    d = Driver().pick_up().listen()
    d.mind_s = 0.2
    d.says("yes", after_s=0.3)
    d.until(lambda: d.state is State.SPEAKING)
    d.lose(Engine.MIND)
    d.run(0.1)
    d.bring_back(Engine.MIND)
    d.listen()
    assert d.transcript[1:] == [("caller", "yes"), ("agent", "Thank you."), ("agent", "Thank you. When was it built?")]
    assert d.turns[2].cut is False


@pytest.mark.parametrize("engine", Engine)
def test_a_sentence_that_stalls_half_way_is_held_and_goes_on(engine: Engine) -> None:
    d = Driver().pick_up().listen()
    d.mind_s = 0.2
    d.says("yes", after_s=0.3)
    d.later_clause_s = 2.0 if engine is Engine.MIND else 0.0
    d.until(lambda: d.state is State.SPEAKING)
    d.voice_s = 1.6 if engine is Engine.SPEECH else d.voice_s
    d.until(lambda: d.state is State.LISTENING, limit_s=10)
    assert d.transcript[1:] == [
        ("caller", "yes"),
        ("agent", "Thank you."),
        ("agent", HOLDING),
        ("agent", "When was it built?"),
    ]


def test_a_voice_that_makes_no_sound_does_not_claim_to_have_spoken() -> None:
    d = Driver().pick_up()
    d.hang_up()
    d = Driver().pick_up().listen()
    d.says("yes", after_s=0.3)
    d.until(lambda: d.state is State.SPEAKING)
    said = d.of(effects.Say)[-1]
    d.send(events.Voiced(CALL, said.utterance, said.clause, 0))
    d.until(lambda: d.state is State.LISTENING)
    assert "Thank you." not in d.transcript[-1][1]


def test_no_holding_line_in_the_daemon_is_not_told_as_heard() -> None:
    d = Driver()
    d.daemon_lines = False
    d.pick_up().listen()
    d.lose(Engine.SPEECH)
    d.finish()
    assert d.outcome == "technical"
    assert d.transcript == [("agent", HELLO)]


def test_an_opt_out_outlives_a_speech_engine_that_dies_and_a_caller_who_speaks_on() -> None:
    d = Driver().pick_up().listen()
    d.mind_s = 0.3
    d.says("take me off your list", after_s=0.3)
    d.until(lambda: d.state is State.PHRASING)
    d.lose(Engine.SPEECH)
    d.run(2.0)
    d.bring_back(Engine.SPEECH)
    d.until(lambda: d.state is State.PHRASING)
    d.says("hello are you there")
    d.finish()
    assert d.outcome == "dnc"
    assert ("agent", f"{BACK} I will remove you. Goodbye.") in d.transcript


def test_the_mind_answers_while_speech_is_gone() -> None:
    d = Driver().pick_up().listen()
    d.mind_s = 1.5
    d.says("yes", after_s=0.3)
    d.until(lambda: d.state is State.THINKING)
    d.lose(Engine.SPEECH)
    d.run(3.0)
    d.mind_s = 0.06
    d.bring_back(Engine.SPEECH)
    d.until(lambda: d.state is State.SPEAKING).listen()
    assert d.transcript[-1] == ("agent", f"{BACK} Thank you. When was it built?")


def test_speech_is_back_before_the_mind_has_answered() -> None:
    d = Driver().pick_up().listen()
    d.mind_s = 4.0
    d.says("yes", after_s=0.3)
    d.until(lambda: d.state is State.THINKING)
    d.lose(Engine.SPEECH)
    d.run(0.5)
    d.bring_back(Engine.SPEECH)
    d.until(lambda: d.state is State.THINKING)
    d.until(lambda: d.state is State.PHRASING)
    d.until(lambda: d.state is State.LISTENING)
    assert [text for _, text in d.transcript if text != HOLDING] == [HELLO, "yes", "Thank you.", "When was it built?"]


def test_progress_that_is_none_changes_nothing() -> None:
    d = Driver().pick_up()
    d.run(1.0)
    say, deadline = d.of(effects.Say)[-1], d.board.deadline
    assert d.send(events.Played(CALL, say.utterance, 160, False, 99999)) == []
    assert d.board.deadline == deadline
    d.hang_up()
    assert d.turns[0].end_s == pytest.approx(1.0, abs=0.05)


def test_speech_dies_twice_and_thanks_once() -> None:
    d = Driver().pick_up().listen()
    d.lose(Engine.SPEECH)
    d.run(2.0)
    d.mind_s = 0.5
    d.bring_back(Engine.SPEECH)
    d.until(lambda: d.state is State.PHRASING)
    d.lose(Engine.SPEECH)
    d.lose(Engine.SPEECH)
    d.run(2.0)
    d.bring_back(Engine.SPEECH)
    d.bring_back(Engine.SPEECH)
    d.until(lambda: d.state is State.SPEAKING).listen()
    assert d.transcript[-1] == ("agent", f"{BACK} Is the home yours?")


def test_what_the_caller_was_saying_when_speech_died_is_in_the_transcript() -> None:
    d = Driver().pick_up().listen()
    d.says("well we bought it", after_s=0.3)
    d.run(1.0)
    d.lose(Engine.SPEECH)
    assert d.transcript[-1] == ("caller", "well we")


def test_the_last_words_are_all_voiced_when_speech_dies() -> None:
    d = Driver().pick_up().listen()
    d.says("no", after_s=0.3)
    d.until(lambda: d.state is State.SPEAKING)
    d.run(0.2)
    d.lose(Engine.SPEECH)
    d.finish()
    assert d.outcome == "not_qualified"
    assert d.transcript[-1] == ("agent", "Thank you anyway. Goodbye.")
    assert prompts(d) == []


# Ends that nobody chose ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [*INTO, State.HOLDING])
def test_a_stop_is_polite_in_every_state(state: State) -> None:
    d = Driver()
    if state is State.HOLDING:
        d.pick_up().listen().lose(Engine.SPEECH)
        d.run(0.4)
    else:
        INTO[state](d)
    assert d.state is state
    d.stop()
    d.stop()
    d.finish()
    assert d.outcome == "cut_short"
    if state is State.RINGING:
        assert prompts(d) == []
    else:
        assert [text for who, text in d.transcript if who == "agent"][-1] == FAREWELL
        assert prompts(d).count(Prompt.FAREWELL) == 1
        assert Prompt.GOODBYE not in prompts(d), "there is no technical problem"
    assert len(d.of(effects.HangUp)) == 1


def test_a_goodbye_that_does_not_end_is_ended() -> None:
    d = Driver().pick_up().listen()
    d.stop()
    d.media = False
    d.finish()
    assert d.when(effects.HangUp) - d.when(effects.Play) == pytest.approx(30, abs=0.03)


def test_media_never_comes() -> None:
    d = Driver().ring()
    d.answers_bye = False
    d.finish()
    assert d.outcome == "technical"
    assert d.of(effects.Concluded)[0].duration_s == 0
    assert d.t == pytest.approx(MEDIA_S + HANG_UP_S, abs=0.05)
    assert not d.of(effects.Say)


@pytest.mark.parametrize(("release_s", "state"), [(0.0, State.HANGING_UP), (1.0, State.RELEASING)])
def test_media_that_crosses_our_bye_and_words_for_it(release_s: float, state: State) -> None:
    d = Driver()
    d.answers_bye, d.release_s = False, release_s
    d.ring()
    d.stop()
    d.run(0.5)
    assert d.send(events.MediaStarted(CALL)) == []
    assert d.state is state
    d.finish()
    assert not d.of(effects.Say)


def test_the_longest_call() -> None:
    d = Driver(longest_call_s=14).pick_up().listen()
    while d.t < 12:
        d.reply("say that again")
    d.finish()
    assert d.outcome == "cut_short"
    assert d.transcript[-1] == ("agent", FAREWELL)
    assert d.t < 14 + 3


def test_a_mind_with_no_words_for_the_greeting_listens() -> None:
    d = Driver()
    d.up[Engine.MIND] = False
    d.ring()
    asked = d.of(effects.Phrase)[0]
    d.send(events.Phrased(CALL, asked.request, "", False))
    d.send(events.Phrased(CALL, asked.request, "", True))
    d.send(events.MediaStarted(CALL))
    assert d.state is State.LISTENING


def test_a_mind_with_no_words_for_a_closing_hangs_up() -> None:
    raw = CAMPAIGN.model_dump(mode="json")
    raw["outcomes"] = [{"id": o["id"]} for o in raw["outcomes"]]
    d = Driver(campaign=Campaign.model_validate(raw)).pick_up().listen()
    d.reply("not interested").finish()
    assert d.outcome == "not_interested"
    assert d.transcript[1:] == [("caller", "not interested")]


# What does not belong here -------------------------------------------------------------------------------------------


def test_stale_duplicate_and_unsolicited_answers_are_ignored() -> None:
    d = Driver().to_question("year")
    before = list(d.log)
    phrase, say = d.of(effects.Phrase)[-1], d.of(effects.Say)[-1]
    understand, finalize = d.of(effects.Understand)[-1], d.of(effects.Finalize)[-1]
    opt_out = Understanding(intent="opt_out")
    for event in (
        events.Understood(CALL, understand.request, opt_out),
        events.Understood(CALL, 999, opt_out),
        events.Phrased(CALL, phrase.request, "Again.", True),
        events.Phrased(CALL, 999, "What?", True),
        events.Transcribed(CALL, finalize.turn, "again"),
        events.Transcribed(CALL, 999, "what"),
        events.Played(CALL, say.utterance, 9999, True, 99999),
        events.Played(CALL, 999, 9999, True, 99999),
        events.Voiced(CALL, say.utterance, 0, 0),
        events.Voiced(CALL, 999, 0, 100),
        events.EngineBack(CALL, Engine.MIND),
    ):
        assert d.send(event) == [], event
    assert d.log == before
    assert d.state is State.LISTENING


def test_an_understanding_for_a_request_of_words_is_ignored() -> None:
    d = Driver().pick_up().listen()
    d.mind_s = 1.0
    d.says("yes", after_s=0.3)
    d.until(lambda: d.state is State.PHRASING)
    asked = d.of(effects.Phrase)[-1]
    assert d.send(events.Understood(CALL, asked.request, Understanding(intent="opt_out"))) == []
    assert d.state is State.PHRASING


def test_progress_of_something_not_said_yet_is_ignored() -> None:
    d = Driver().ring()
    d.run(0.1)
    asked = d.of(effects.Phrase)[0].request
    assert d.send(events.Played(CALL, asked + 1, 800, False, 800)) == []
    d.hang_up()
    assert d.transcript == []


def test_late_events_of_an_ended_call_are_nothing() -> None:
    d = Driver().pick_up().listen()
    d.hang_up()
    call = Call(CALL, CAMPAIGN, longest_s=60, lost=frozenset(), busy=False)
    call.handle(events.Incoming(CALL, "", "", ""), 0.0)
    call.handle(events.HungUp(CALL, 487, "", False), 1.0)
    for event in (events.MediaStarted(CALL), events.Heard(CALL, 160, 1.0, -20, -127, "yes"), events.StopAsked(CALL)):
        assert d.send(event) == []
        assert call.handle(event, 2.0) == []
    assert call.deadline is None
    assert call.handle_timer(99.0) == []
    assert call.end_politely("bug", 99.0) == []


def test_impossible_events_raise_and_end_only_that_call_politely() -> None:
    call = Call(CALL, CAMPAIGN, longest_s=60, lost=frozenset(), busy=False)
    with pytest.raises(ImpossibleEvent) as raised:
        call.handle(events.MediaStarted(CALL), 0.0)
    assert (raised.value.event_type, raised.value.state) == ("MediaStarted", State.RINGING)
    d = Driver().pick_up()
    d.run(1.0)
    d.send(events.MediaStarted(CALL))
    assert "impossible_event" in d.notes
    d.finish()
    assert d.outcome == "technical"
    assert d.transcript[-1] == ("agent", GOODBYE)
    with pytest.raises(ImpossibleEvent):
        d2 = Call(CALL, CAMPAIGN, longest_s=60, lost=frozenset(), busy=False)
        d2.handle(events.Incoming(CALL, "", "", ""), 0.0)
        d2.handle(events.Incoming(CALL, "", "", ""), 0.0)


def test_an_armed_anew_timer_is_not_due() -> None:
    """A shell that comes very late finds several timers due; the first may have stopped the others."""
    call = Call(CALL, CAMPAIGN, longest_s=10.0, lost=frozenset(), busy=False)
    call.handle(events.Incoming(CALL, "", "", ""), 0.0)
    out = call.handle_timer(1000.0)
    assert [type(e) for e in out] == [effects.Note, effects.Forget, effects.Release]
    assert call.deadline == 1000.0 + RELEASE_S


def test_the_greeting_is_worded_while_it_rings() -> None:
    d = Driver().ring()
    assert d.of(effects.Phrase)[0].acts == (Act(ActKind.GREET), Act(ActKind.ASK, "owner"))
    d.run(0.3)
    d.pick_up_ringing()
    assert d.when(effects.Say) == d.t
