"""Callers who are handed to a human: announced, never in silence, once; and what happens where nobody takes them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from appliance.calls import effects, events
from appliance.calls.campaign import Campaign
from appliance.calls.effects import Act, ActKind, Prompt
from appliance.calls.events import Engine
from appliance.calls.states import State
from appliance.calls.timers import DIALER_BYE_S, GIVE_UP_S, LAST_WORDS_S, SLOW_S
from tests.calls.driver import CALL, FOR_A_DIALER, Driver

OPT_OUT = "take me off your list"
LINES = FOR_A_DIALER.lines
CONNECTING = ("agent", LINES.connecting)
NOBODY = ("agent", f"{LINES.nobody_free} When may we call?")
HUMAN = "a real person"


def caller(*, can_transfer: bool = True, campaign: Campaign = FOR_A_DIALER, **turned: Any) -> Driver:
    d = Driver(campaign=campaign, can_transfer=can_transfer)
    for name, value in turned.items():
        setattr(d, name, value)
    return d.pick_up().listen()


def handing_over(*, words: str = HUMAN, **turned: Any) -> Driver:
    """The caller has asked for a human, who is being looked for."""
    d = caller(**turned)
    d.says(words)
    return d.until(lambda: d.state is State.TRANSFERRING)


def concluded(d: Driver) -> effects.Concluded:
    (effect,) = d.of(effects.Concluded)
    return effect


def prompts(d: Driver) -> list[Prompt]:
    return [play.prompt for play in d.of(effects.Play)]


def test_a_caller_who_wants_a_human_gets_one() -> None:
    d = handing_over(by_dialer=True).finish()
    assert d.of(effects.Transfer) == [effects.Transfer(CALL, "wants_human", {}, "owner")]
    assert d.transcript[1:] == [("caller", HUMAN), CONNECTING]
    assert (concluded(d).outcome, concluded(d).where, concluded(d).transferred) == ("wants_human", "owner", True)
    assert not d.of(effects.Release), "the transfer was the dialer's word"
    assert not d.of(effects.HangUp)


def test_the_human_gets_what_was_found_out() -> None:
    d = caller(by_dialer=True)
    for answer in ("yes", "nineteen eighty", "one two three four five"):
        d.reply(answer)
    d.says("nothing")
    d.finish()
    slots = {"owner": "yes", "year": "1980", "zip": "12345", "more": "nothing"}
    assert d.of(effects.Transfer) == [effects.Transfer(CALL, "completed", slots, "more")]
    assert (concluded(d).outcome, concluded(d).slots, concluded(d).transferred) == ("completed", slots, True)


def test_where_the_leg_is_ours_to_end_we_end_it() -> None:
    d = handing_over().finish()
    assert len(d.of(effects.HangUp)) == 1
    assert concluded(d).transferred


def test_a_bye_that_was_promised_and_does_not_come() -> None:
    d = handing_over(by_dialer=True, dialer_bye_s=None)
    at = d.t
    d.finish()
    assert d.when(effects.HangUp) - at == pytest.approx(0.4 + DIALER_BYE_S, abs=0.03)
    assert concluded(d).transferred


@pytest.mark.parametrize("words", ["not interested", "no", OPT_OUT])
def test_other_ends_are_ends(words: str) -> None:
    d = caller()
    d.says(words)
    d.finish()
    assert not d.of(effects.Transfer)
    assert len(d.of(effects.Release)) == 1


def test_without_humans_it_is_a_closing() -> None:
    d = caller(can_transfer=False)
    d.says(HUMAN)
    d.finish()
    assert d.transcript[-1] == ("agent", FOR_A_DIALER.outcome("wants_human").closing)
    assert d.of(effects.Release) == [effects.Release(CALL, "wants_human")]
    assert not concluded(d).transferred


def test_humans_who_left_while_it_was_announced_are_still_asked_for() -> None:
    d = caller(nobody=True)
    d.says(HUMAN)
    d.until(lambda: d.state is State.SPEAKING)
    d.board.can_transfer = False
    d.until(lambda: d.state is State.LISTENING)
    assert d.transcript[-1] == NOBODY


# Meanwhile ------------------------------------------------------------------------------------------------------------


def test_the_caller_meets_no_silence() -> None:
    d = handing_over(by_dialer=True, transfer_s=9.0)
    d.finish()
    assert prompts(d) == [Prompt.HOLDING] * 2
    ours = [t for t, _ in d.sounding]
    connecting = next(t for t, e in d.log if isinstance(e, effects.Transfer))
    assert next(t for t in ours if t > connecting) - connecting == pytest.approx(SLOW_S, abs=0.05)
    assert max(b - a for a, b in pairwise([connecting, *(t for t in ours if t > connecting)])) < 6.1
    assert concluded(d).transferred


@pytest.mark.parametrize("engines", [[Engine.SPEECH], [Engine.MIND], [Engine.SPEECH, Engine.MIND]])
def test_an_engine_that_dies_does_not_matter(engines: list[Engine]) -> None:
    d = handing_over(by_dialer=True, transfer_s=2.0)
    for engine in engines:
        d.lose(engine)
    d.finish()
    assert concluded(d).transferred
    assert prompts(d) == [Prompt.HOLDING]


@pytest.mark.parametrize("well", [True, False])
def test_an_opt_out_meanwhile(well: bool) -> None:
    d = handing_over(by_dialer=True, transfer_s=3.0, nobody=not well)
    since = d.t - 0.1
    d.says(OPT_OUT)
    d.finish()
    (effect,) = d.of(effects.OptOut)
    assert effect.at_s == pytest.approx(since, abs=0.03)
    assert (concluded(d).outcome, concluded(d).transferred) == ("dnc", well)
    assert ("caller", OPT_OUT) in d.transcript
    closing = ("agent", FOR_A_DIALER.outcome("dnc").closing)
    assert (d.transcript[-1] == closing) is not well


def test_the_holding_line_does_not_drown_an_opt_out() -> None:
    d = handing_over(by_dialer=True, transfer_s=3.0, final_s=0.45)
    d.says("stop it")
    d.until(lambda: len(d.of(effects.Finalize)) == 2).run(0.3)
    assert d.playing
    d.finish()
    assert d.outcome == "dnc"
    assert ("caller", "stop it") in d.transcript


def test_other_words_meanwhile_are_only_written_down() -> None:
    d = handing_over(by_dialer=True, transfer_s=3.0)
    d.says("no time")
    d.until(lambda: ("caller", "no time") in d.transcript)
    d.says("uh huh", after_s=0.5)
    d.finish()
    assert [u.text for u in d.of(effects.Understand)] == [HUMAN, "no time"], "no listening noise"
    assert [text for who, text in d.transcript if who == "caller"] == [HUMAN, "no time", "uh huh"]
    assert concluded(d).outcome == "wants_human"


def test_a_cough_meanwhile_is_nothing() -> None:
    d = handing_over(nobody=True, transfer_s=1.5)
    d.noise(0.2)
    d.until(lambda: d.state is State.LISTENING)
    assert d.transcript[-1] == NOBODY
    assert len(d.of(effects.Understand)) == 1


@pytest.mark.parametrize("state", ["heard", "deciding", "thinking"])
def test_words_that_are_being_understood_when_nobody_comes(state: str) -> None:
    """The refusal waits for them: an opt-out has to be answered as one."""
    d = handing_over(nobody=True, transfer_s=None, mind_s=0.5, final_s=0.3)
    end = d.says(OPT_OUT)
    if state == "heard":
        d.until(lambda: d.t >= end)
    else:
        d.until(lambda: len(d.of(effects.Finalize)) == 2)
        d.run(0.1 if state == "deciding" else 0.4)
    d.send(events.TransferFailed(CALL, True))
    d.finish()
    assert d.outcome == "dnc"
    assert len(d.of(effects.OptOut)) == 1
    assert d.transcript[-1] == ("agent", FOR_A_DIALER.outcome("dnc").closing)


def test_a_noise_that_is_being_transcribed_when_nobody_comes() -> None:
    d = handing_over(nobody=True, transfer_s=None)
    d.noise(0.5)
    d.until(lambda: len(d.of(effects.Finalize)) == 2)
    assert d.send(events.TransferFailed(CALL, True))[1:] == []
    d.until(lambda: d.state is State.LISTENING)
    assert d.transcript[-1] == NOBODY


def test_a_mind_that_never_understands_them_does_not_keep_the_caller_for_ever() -> None:
    d = handing_over(nobody=True, transfer_s=1.0)
    at = d.t
    d.mind_s = 99.0
    d.says("no time")
    d.until(lambda: "mind_late" in d.notes)
    assert d.t - at == pytest.approx(GIVE_UP_S, abs=0.03)
    d.mind_s = 0.06
    d.until(lambda: d.state is State.PHRASING)


# The caller leaves ----------------------------------------------------------------------------------------------------


def test_a_caller_who_hangs_up_meanwhile() -> None:
    d = handing_over(transfer_s=None)
    assert d.hang_up()[0] == effects.Release(CALL, "wants_human", gone=True)
    at = d.t
    d.finish()
    assert d.t - at == pytest.approx(LAST_WORDS_S, abs=0.03)
    assert (concluded(d).outcome, concluded(d).transferred) == ("wants_human", False)


@pytest.mark.parametrize("nobody", [True, False])
def test_a_bye_that_was_the_transfers_own_and_overtook_its_word(nobody: bool) -> None:
    d = handing_over(transfer_s=0.2, nobody=nobody)
    d.hang_up()
    at = d.t
    d.finish()
    assert d.t - at < 0.3
    assert concluded(d).transferred is not nobody


def test_an_opt_out_on_which_the_caller_hangs_up() -> None:
    d = handing_over(transfer_s=None, final_s=0.3)
    d.says(OPT_OUT)
    d.until(lambda: len(d.of(effects.Finalize)) == 2)
    d.hang_up()
    d.finish()
    assert d.outcome == "dnc"
    assert len(d.of(effects.OptOut)) == 1


def test_one_whose_words_come_after_the_hang_up_and_the_dialers_word() -> None:
    d = handing_over(transfer_s=None, final_s=0.4)
    d.says(OPT_OUT)
    d.until(lambda: len(d.of(effects.Finalize)) == 2)
    d.hang_up()
    d.send(events.Released(CALL, True))
    d.finish()
    assert (concluded(d).outcome, concluded(d).transferred) == ("dnc", True)


def test_one_that_is_still_being_understood_when_the_human_takes_over() -> None:
    d = handing_over(transfer_s=None, mind_s=0.6, by_dialer=True)
    d.says(OPT_OUT)
    d.until(lambda: len(d.of(effects.Understand)) == 2)
    d.send(events.Released(CALL, True))
    d.run(0.1)
    d.hang_up()
    d.finish()
    assert (concluded(d).outcome, concluded(d).transferred) == ("dnc", True)


def test_one_whose_words_come_after_the_human_took_over() -> None:
    d = handing_over(transfer_s=None, final_s=0.3)
    d.says(OPT_OUT)
    d.until(lambda: len(d.of(effects.Finalize)) == 2)
    d.send(events.Released(CALL, True))
    d.run(0.5)
    assert len(d.of(effects.OptOut)) == 1
    d.hang_up()
    assert (concluded(d).outcome, concluded(d).transferred) == ("dnc", True)


def test_last_words_and_the_dialers_word_are_both_waited_for() -> None:
    d = handing_over(transfer_s=1.5, mind_s=0.3)
    end = d.says("who is this")
    d.until(lambda: d.t >= end)
    d.hang_up()
    at = d.t
    d.run(0.6)
    assert d.state is State.LAST_WORDS
    d.finish()
    assert d.t - at < LAST_WORDS_S
    assert concluded(d).transferred


def test_a_mind_that_dies_over_the_last_words_does_not_cost_the_dialers() -> None:
    d = handing_over(transfer_s=1.5, mind_s=0.5)
    end = d.says("who is this")
    d.until(lambda: d.t >= end)
    d.hang_up()
    d.lose(Engine.MIND)
    d.finish()
    assert concluded(d).transferred


# Over the announcement ------------------------------------------------------------------------------------------------


def announced(words: str, **turned: Any) -> Driver:
    """The caller says it over the announcement."""
    d = caller(**turned)
    d.says(HUMAN)
    d.until(lambda: d.state is State.SPEAKING and d.playing).run(0.5)
    d.says(words, after_s=0.7)
    return d


def test_an_opt_out_over_the_announcement() -> None:
    d = announced(OPT_OUT).finish()
    assert d.outcome == "dnc"
    assert not d.of(effects.Transfer)
    assert d.transcript[-1] == ("agent", FOR_A_DIALER.outcome("dnc").closing)


def test_a_change_of_mind_over_it() -> None:
    d = announced("call me later")
    d.until(lambda: d.of(effects.Expect)[-1].question == "when").listen()
    assert d.transcript[-1] == ("agent", "Of course. When may we call?")
    assert not d.of(effects.Transfer)


@pytest.mark.parametrize("words", ["mumble mumble mumble mumble", "okay", HUMAN])
def test_other_words_over_it_are_heard_to_their_end_and_change_nothing(words: str) -> None:
    d = announced(words, by_dialer=True, transfer_s=3.0)
    end = d.t + 0.7 + len(words.split()) * 0.25
    d.until(lambda: d.state is State.TRANSFERRING).run(2.8)
    assert d.state is State.TRANSFERRING, "no timer of the talk is left"
    d.finish()
    assert concluded(d).transferred
    assert d.of(effects.Transfer)[0].outcome == "wants_human"
    assert words == "okay" or d.when(effects.Transfer) > end
    assert prompts(d) == [Prompt.HOLDING], "it is waited for as any other"


def test_speech_that_dies_over_words_over_it() -> None:
    d = announced("mumble mumble mumble mumble mumble", by_dialer=True)
    d.until(lambda: d.state is State.LISTENING)
    d.lose(Engine.SPEECH)
    d.finish()
    assert concluded(d).transferred


def test_going_on_at_its_start_takes_it_back() -> None:
    d = caller()
    d.says(HUMAN)
    d.until(lambda: d.state is State.SPEAKING and d.playing).run(0.1)
    d.says("mumble")
    d.until(lambda: "take_back" in d.notes)
    d.until(lambda: d.state is State.SPEAKING)
    assert not d.of(effects.Transfer)


def test_a_disclosure_that_was_cut_is_not_owed_before_it() -> None:
    d = Driver(campaign=FOR_A_DIALER, can_transfer=True).pick_up().run(0.5)
    d.says("uh i want a real person")
    d.until(lambda: bool(d.of(effects.Transfer)))
    assert d.of(effects.Phrase)[-1].acts == (Act(ActKind.CONNECTING),)


# Nobody takes them ----------------------------------------------------------------------------------------------------


def failed(*, words: str = HUMAN, **turned: Any) -> Driver:
    d = handing_over(words=words, nobody=True, **turned)
    return d.until(lambda: d.state is State.LISTENING)


def test_a_callback_is_offered() -> None:
    d = failed()
    assert d.transcript[-1] == NOBODY
    d.reply("tomorrow").finish()
    assert concluded(d).outcome == "callback"
    assert d.of(effects.Release) == [effects.Release(CALL, "callback")]
    assert len(d.of(effects.Transfer)) == 1


def test_the_wait_for_the_offer_is_counted_anew() -> None:
    d = failed(transfer_s=SLOW_S - 0.04)
    assert not d.of(effects.Play)


def test_a_transfer_that_takes_too_long_has_failed() -> None:
    d = handing_over(transfer_s=None)
    at = d.t
    d.until(lambda: "transfer_late" in d.notes)
    assert d.t - at == pytest.approx(GIVE_UP_S, abs=0.03)
    d.listen()
    assert d.transcript[-1] == NOBODY


@pytest.mark.parametrize("by_dialer", [True, False])
def test_one_that_comes_about_after_all(by_dialer: bool) -> None:
    d = handing_over(transfer_s=None)
    d.until(lambda: "transfer_late" in d.notes)
    d.until(lambda: d.state is State.SPEAKING).run(0.5)
    d.send(events.Released(CALL, by_dialer))
    assert d.turns[-1].cut
    d.run(0.2)
    if by_dialer:
        d.hang_up()
    d.finish()
    assert (concluded(d).outcome, concluded(d).transferred) == ("wants_human", True)


def test_one_that_fails_after_all_is_no_news() -> None:
    d = handing_over(transfer_s=None)
    d.until(lambda: "transfer_late" in d.notes).listen()
    before = d.board.deadline
    assert [type(e) for e in d.send(events.TransferFailed(CALL, False))] == [effects.Note]
    assert (d.state, d.board.deadline) == (State.LISTENING, before)


def test_without_a_question_for_the_time_it_is_closed() -> None:
    raw = FOR_A_DIALER.model_dump(mode="json")
    raw["questions"].pop()
    raw["objections"].pop()
    d = handing_over(campaign=Campaign.model_validate(raw), nobody=True).finish()
    closing = FOR_A_DIALER.outcome("wants_human").closing
    assert d.transcript[-1] == ("agent", f"{LINES.nobody_free} {closing}")
    assert d.of(effects.Release) == [effects.Release(CALL, "wants_human")]
    assert len(d.of(effects.Transfer)) == 1


def test_who_asks_for_a_human_again_is_not_handed_over_again() -> None:
    d = failed()
    d.reply(HUMAN).finish()
    assert d.transcript[-1] == ("agent", FOR_A_DIALER.outcome("wants_human").closing)
    assert len(d.of(effects.Transfer)) == 1
    assert d.outcome == "wants_human"


@pytest.mark.parametrize(
    ("words", "outcome"),
    [("", "wants_human"), ("goodbye", "wants_human"), ("mumble", "wants_human"), ("not interested", "not_interested")],
)
def test_who_gives_no_time_wanted_a_human_all_the_same(words: str, outcome: str) -> None:
    d = failed()
    for _ in range(2 if words == "mumble" else 1):
        d.reply(words) if words else None
    d.finish()
    assert d.outcome == outcome
    d = failed()
    d.hang_up()
    assert d.outcome == "wants_human"


def test_speech_is_dead_when_nobody_comes() -> None:
    d = handing_over(nobody=True, transfer_s=1.0)
    d.lose(Engine.SPEECH)
    d.until(lambda: d.state is State.HOLDING)
    d.bring_back(Engine.SPEECH)
    d.listen()
    assert d.transcript[-1] == ("agent", f"{LINES.back} {NOBODY[1]}")
    assert prompts(d) == [Prompt.HOLDING]


def test_what_a_dead_recognizer_owed_does_not_make_it_deaf_after_that() -> None:
    d = handing_over(nobody=True, transfer_s=2.0, final_s=9.0)
    d.says("no time")
    d.until(lambda: len(d.of(effects.Finalize)) == 2)
    d.lose(Engine.SPEECH)
    d.run(0.2)
    d.bring_back(Engine.SPEECH)
    d.final_s = 0.1
    d.until(lambda: d.state is State.LISTENING)
    assert ("caller", "no time") in d.transcript
    d.reply("tomorrow").finish()
    assert d.outcome == "callback"


# A stop ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_dialer", [True, False])
def test_a_stop_meanwhile_leaves_the_caller_to_the_human_who_comes(by_dialer: bool) -> None:
    d = handing_over(transfer_s=1.0, by_dialer=by_dialer)
    d.run(0.5)
    d.stop()
    d.finish()
    assert prompts(d) == [Prompt.FAREWELL]
    assert (concluded(d).outcome, concluded(d).transferred) == ("wants_human", True)
    assert not d.of(effects.Release)


@pytest.mark.parametrize("transfer_s", [0.5, 2.0])
def test_or_tells_the_dialer_when_nobody_does(transfer_s: float) -> None:
    d = handing_over(transfer_s=transfer_s, nobody=True)
    d.stop()
    d.finish()
    assert d.of(effects.Release) == [effects.Release(CALL, "wants_human")]
    assert d.when(effects.Release) >= d.when(effects.Transfer) + transfer_s
    assert not concluded(d).transferred


def test_or_when_the_dialer_says_nothing() -> None:
    d = handing_over(transfer_s=None)
    d.stop()
    d.finish()
    assert d.of(effects.Release) == [effects.Release(CALL, "wants_human")]
    assert d.when(effects.HangUp) > d.when(effects.Release)


def test_a_stop_over_the_announcement_ends_the_call() -> None:
    d = caller()
    d.says(HUMAN)
    d.until(lambda: d.state is State.SPEAKING)
    d.stop()
    d.finish()
    assert not d.of(effects.Transfer)
    assert d.outcome == "wants_human"


def test_a_word_that_nobody_waited_for_is_nothing() -> None:
    d = caller()
    before = list(d.log)
    assert d.send(events.Released(CALL, True)) == []
    assert d.send(events.TransferFailed(CALL, True)) == []
    assert d.log == before
