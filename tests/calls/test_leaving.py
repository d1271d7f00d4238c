"""The end of a call: the dialer is told before any BYE, once, and ends it itself where it can."""

from __future__ import annotations

import pytest

from appliance.calls import effects, events
from appliance.calls.effects import Prompt
from appliance.calls.events import Engine
from appliance.calls.states import State
from appliance.calls.timers import DIALER_BYE_S, ENDING_S, LAST_WORDS_S, MEDIA_S, RELEASE_S
from tests.calls.driver import CALL, CAMPAIGN, Driver

OPT_OUT = "take me off your list"
DNC = ("agent", CAMPAIGN.outcome("dnc").closing)


def ending(words: str = "no", **turned: object) -> Driver:
    """The closing to `words` is over; the driver's `turned` attributes are set before."""
    d = Driver()
    for name, value in turned.items():
        setattr(d, name, value)
    d.pick_up().listen().says(words)
    return d.until(lambda: bool(d.of(effects.Release)))


def released(d: Driver) -> effects.Release:
    (release,) = d.of(effects.Release)
    return release


def test_a_dialer_that_cannot_end_the_call_lets_us() -> None:
    d = ending().finish()
    assert released(d) == effects.Release(CALL, "not_qualified")
    assert d.when(effects.HangUp) - d.when(effects.Release) == pytest.approx(0.02)
    assert d.outcome == "not_qualified"


def test_one_that_ends_it_itself_is_left_to_do_so() -> None:
    d = ending(by_dialer=True, release_s=0.2, dialer_bye_s=1.8)
    assert d.state is State.RELEASING
    d.finish()
    assert not d.of(effects.HangUp)
    assert d.outcome == "not_qualified", "its BYE is no caller's hang-up"
    assert released(d).gone is False


def test_its_bye_may_come_before_its_word() -> None:
    d = ending(release_s=1.0)
    d.hang_up()
    assert d.outcome == "not_qualified"
    assert released(d).gone is False


def test_one_that_promises_a_bye_is_not_waited_for_for_ever() -> None:
    d = ending(by_dialer=True, release_s=0.5, dialer_bye_s=None).finish()
    assert d.when(effects.HangUp) - d.when(effects.Release) == pytest.approx(0.5 + DIALER_BYE_S, abs=0.03)
    assert d.outcome == "not_qualified"


def test_nor_one_that_says_nothing() -> None:
    d = ending(release_s=None).finish()
    assert d.when(effects.HangUp) - d.when(effects.Release) == pytest.approx(RELEASE_S, abs=0.03)
    assert d.outcome == "not_qualified"


def test_its_word_may_come_too_late() -> None:
    d = ending(release_s=2.02, answers_bye=False).run(3)
    assert d.state is State.HANGING_UP
    assert len(d.of(effects.HangUp)) == 1


@pytest.mark.parametrize("rings", [True, False])
def test_a_call_without_a_word_is_the_dialers_too(rings: bool) -> None:
    d = Driver().ring()
    if rings:
        d.until(lambda: d.t > MEDIA_S)
    else:
        d.stop()
    assert released(d) == effects.Release(CALL, "technical" if rings else "cut_short")
    d.finish()
    assert d.outcome == released(d).outcome


def test_a_farewell_that_does_not_end_is_ended_with_the_dialer() -> None:
    d = Driver().pick_up().listen()
    d.stop()
    d.media = False
    d.until(lambda: d.state is State.RELEASING)
    assert d.when(effects.Release) - d.when(effects.Play) == pytest.approx(ENDING_S, abs=0.03)


def test_nothing_else_happens_while_the_dialer_lets_go() -> None:
    d = ending(release_s=1.9)
    before = d.board.deadline
    d.stop()
    d.lose(Engine.SPEECH)
    d.lose(Engine.MIND)
    for event in (
        events.Phrased(CALL, 99, "More.", True),
        events.TransferFailed(CALL, True),
        events.CallbackSet(CALL, "never"),
        events.CallbackRefused(CALL, ""),
    ):
        assert d.send(event) == []
    assert (d.state, d.board.deadline) == (State.RELEASING, before)
    assert not d.of(effects.Play)


# The caller hangs up --------------------------------------------------------------------------------------------------


def test_the_dialer_is_told_of_a_hang_up_before_anything_else() -> None:
    d = Driver().pick_up().listen()
    end = d.says("not interested")
    d.until(lambda: d.t >= end)
    out = d.hang_up()
    assert out[0] == effects.Release(CALL, "hung_up", gone=True)
    d.finish()
    assert d.outcome == "not_interested", "found out after it"
    assert released(d).gone


def test_it_is_told_what_was_decided_already() -> None:
    d = Driver().pick_up().listen()
    d.says("no")
    d.until(lambda: d.state is State.SPEAKING and d.playing)
    assert d.hang_up()[0] == effects.Release(CALL, "not_qualified", gone=True)
    assert d.outcome == "not_qualified"


@pytest.mark.parametrize("in_media", [False, True])
def test_a_leg_that_broke_is_told_too(in_media: bool) -> None:
    d = Driver().ring()
    if in_media:
        d.pick_up_ringing().listen()
    d.send(events.HungUp(CALL, 408, "timed out", True))
    assert released(d) == effects.Release(CALL, "technical", gone=True)
    assert d.outcome == "technical"


def test_a_caller_who_is_gone_before_the_first_word() -> None:
    d = Driver().ring()
    d.send(events.HungUp(CALL, 487, "cancelled", False))
    assert released(d) == effects.Release(CALL, "hung_up", gone=True)
    assert d.outcome == "hung_up"


def test_where_the_script_had_come_to() -> None:
    d = Driver().to_question("zip")
    d.hang_up()
    concluded = d.of(effects.Concluded)[0]
    assert (concluded.where, concluded.transferred) == ("zip", False)


# Opt-outs -------------------------------------------------------------------------------------------------------------


def opted_out(d: Driver) -> effects.OptOut:
    (effect,) = d.of(effects.OptOut)
    return effect


def test_an_opt_out_is_told_before_it_is_answered() -> None:
    d = Driver().pick_up().listen()
    since = d.t - 0.1
    d.says(OPT_OUT, after_s=0.4)
    d.finish()
    assert opted_out(d).at_s == pytest.approx(since + 0.4, abs=0.03)
    phrased = next(t for t, e in d.log if isinstance(e, effects.Phrase) and e.acts[-1].ref == "dnc")
    assert d.when(effects.OptOut) <= phrased
    kinds = [type(e) for t, e in d.log if t == phrased]
    assert kinds.index(effects.OptOut) < kinds.index(effects.Phrase)


def test_an_opt_out_in_two_pieces_began_with_the_first() -> None:
    d = Driver().pick_up().listen()
    since = d.t - 0.1
    d.says("take me off")
    d.until(lambda: d.state is State.DECIDING)
    d.says("your list")
    d.finish()
    assert opted_out(d).at_s == pytest.approx(since, abs=0.03)


def test_over_a_closing() -> None:
    d = Driver().pick_up().listen()
    d.says("no")
    d.until(lambda: d.state is State.SPEAKING and d.playing).run(0.5)
    since = d.t - 0.1
    d.says(OPT_OUT)
    d.finish()
    assert opted_out(d).at_s == pytest.approx(since, abs=0.03)
    assert released(d).outcome == "dnc"


def test_in_the_last_words() -> None:
    d = Driver().pick_up().listen()
    since = d.t - 0.1
    end = d.says(OPT_OUT)
    d.until(lambda: d.t >= end)
    d.hang_up()
    d.finish()
    assert opted_out(d).at_s == pytest.approx(since, abs=0.03)
    assert (released(d).outcome, d.outcome) == ("hung_up", "dnc")


@pytest.mark.parametrize("state", [State.DECIDING, State.THINKING])
def test_while_we_say_farewell(state: State) -> None:
    d = Driver().pick_up().listen()
    since = d.t - 0.1
    d.says(OPT_OUT)
    d.until(lambda: d.state is state)
    d.stop()
    d.finish()
    assert opted_out(d).at_s == pytest.approx(since, abs=0.03)
    assert released(d).outcome == d.outcome == "dnc"


def test_in_words_that_a_stop_cuts() -> None:
    d = Driver().pick_up().listen()
    since = d.t - 0.1
    end = d.says(OPT_OUT)
    d.until(lambda: d.t >= end + 0.12)
    assert d.state is State.LISTENING
    d.stop()
    d.finish()
    assert opted_out(d).at_s == pytest.approx(since, abs=0.03)


def test_twice_is_once() -> None:
    d = Driver().pick_up().listen()
    d.says(OPT_OUT)
    d.until(lambda: d.state is State.SPEAKING and d.playing).run(0.1)
    d.says("stop it")
    d.until(lambda: "take_back" in d.notes)
    d.finish()
    assert len(d.of(effects.OptOut)) == 1
    assert d.outcome == "dnc"


def test_a_script_that_leads_to_it_means_it() -> None:
    raw = CAMPAIGN.model_dump(mode="json")
    raw["objections"][1]["then"] = "end:dnc"
    d = Driver(campaign=CAMPAIGN.model_validate(raw)).pick_up().listen()
    d.says("we rent")
    d.finish()
    assert d.outcome == "dnc"
    assert len(d.of(effects.OptOut)) == 1


@pytest.mark.parametrize("by_us", [False, True])
def test_over_the_silence_in_which_a_slow_dialer_lets_go(by_us: bool) -> None:
    d = ending(release_s=None)
    end = d.says(OPT_OUT, after_s=0.1)
    d.until(lambda: d.t >= end + 0.12)
    assert d.state is State.RELEASING
    if by_us:
        d.until(lambda: bool(d.of(effects.HangUp)))
    else:
        d.hang_up()
    since = d.t
    d.finish()
    assert (released(d).outcome, d.outcome) == ("not_qualified", "dnc")
    assert len(d.of(effects.OptOut)) == 1
    assert d.t - since <= LAST_WORDS_S
    assert d.transcript[-1] == ("caller", OPT_OUT)


def test_other_words_there_change_nothing() -> None:
    d = ending(release_s=None)
    end = d.says("a real person", after_s=0.1)
    d.until(lambda: d.t >= end + 0.12)
    d.hang_up()
    d.finish()
    assert d.outcome == "not_qualified"


# Over capacity --------------------------------------------------------------------------------------------------------


def busy(**turned: object) -> Driver:
    d = Driver(lines=-1, can_transfer=True)
    for name, value in turned.items():
        setattr(d, name, value)
    return d.pick_up()


def prompts(d: Driver) -> list[Prompt]:
    return [play.prompt for play in d.of(effects.Play)]


def test_a_caller_over_capacity_is_put_through() -> None:
    d = busy(by_dialer=True).finish()
    assert prompts(d) == [Prompt.OVERFLOW]
    assert d.of(effects.Transfer) == [effects.Transfer(CALL, "busy", {}, "", overflow=True)]
    assert not d.of(effects.Release)
    assert not d.of(effects.HangUp)
    concluded = d.of(effects.Concluded)[0]
    assert (concluded.outcome, concluded.where, concluded.transferred) == ("busy", "", True)


@pytest.mark.parametrize(("transfer_s", "lines"), [(0.2, []), (None, [Prompt.HOLDING] * 2)])
def test_where_that_fails_they_hear_that_all_are_busy(transfer_s: float | None, lines: list[Prompt]) -> None:
    d = busy(nobody=True, transfer_s=transfer_s).finish()
    assert prompts(d) == [Prompt.OVERFLOW, *lines, Prompt.BUSY]
    assert released(d) == effects.Release(CALL, "busy")
    assert d.outcome == "busy"
    assert not d.of(effects.Concluded)[0].transferred


def test_an_opt_out_of_one_who_is_put_through() -> None:
    d = busy(transfer_s=3.0, nobody=True)
    d.until(lambda: d.state is State.TRANSFERRING)
    d.says(OPT_OUT)
    d.finish()
    assert len(d.of(effects.OptOut)) == 1
    assert released(d).outcome == d.outcome == "dnc"
