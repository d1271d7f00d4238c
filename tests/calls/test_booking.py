"""Callbacks: the time that the caller says is booked with the dialer, or refused, before the agent says so."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.calls import effects, events
from appliance.calls.campaign import Campaign
from appliance.calls.effects import Prompt
from appliance.calls.events import Engine
from appliance.calls.states import State
from appliance.calls.timers import GIVE_UP_S, LAST_WORDS_S, SLOW_S
from tests.calls.driver import CALL, FOR_A_DIALER, Driver

LINES = FOR_A_DIALER.lines
LATER = ("agent", FOR_A_DIALER.outcome("callback").closing)
HOURS = "from nine to five"


def noted(when: str) -> tuple[str, str]:
    return ("agent", f"I have noted that we call you on {when}. Goodbye.")


def asked(*, campaign: Campaign = FOR_A_DIALER, can_transfer: bool = False, **turned: Any) -> Driver:
    """The caller wants to be called back, and has been asked when."""
    d = Driver(campaign=campaign, can_transfer=can_transfer)
    for name, value in turned.items():
        setattr(d, name, value)
    d.pick_up().listen()
    return d.reply("call me later").listen()


def booked(d: Driver) -> list[str]:
    return [effect.when for effect in d.of(effects.BookCallback)]


def booking(when: str = "tomorrow", **turned: Any) -> Driver:
    d = asked(**turned)
    d.says(when)
    return d.until(lambda: d.state is State.BOOKING)


def test_a_time_is_booked_and_confirmed() -> None:
    d = asked()
    assert d.transcript[-1] == ("agent", "Of course. When may we call?")
    d.says("tomorrow at ten")
    d.finish()
    assert booked(d) == ["tomorrow at ten"]
    assert d.transcript[-1] == noted("tomorrow at ten")
    assert d.outcome == "callback"
    assert d.of(effects.Concluded)[0].slots == {"when": "tomorrow at ten"}
    assert not d.of(effects.Play)


def test_a_time_that_nobody_keeps_is_not_promised() -> None:
    d = asked(lost={"tomorrow at ten"})
    d.says("tomorrow at ten")
    d.finish()
    assert d.transcript[-1] == LATER
    assert d.outcome == "callback"


def test_a_time_outside_the_hours_is_refused_with_them() -> None:
    d = asked(refused={"on sunday": HOURS})
    d.reply("on sunday").listen()
    assert d.transcript[-1] == ("agent", f"I am sorry, we may only call {HOURS}. Which day and hour?")
    d.reply("tomorrow").finish()
    assert booked(d) == ["on sunday", "tomorrow"]
    assert d.transcript[-1] == noted("tomorrow")


def test_one_that_is_no_time_is_asked_again() -> None:
    d = asked(refused={"tomorrow": ""})
    d.reply("tomorrow").listen()
    assert d.transcript[-1] == ("agent", f"{LINES.sorry} Which day and hour?")


@pytest.mark.parametrize(("hours", "last"), [(HOURS, f"I am sorry, we may only call {HOURS}. {LATER[1]}"), ("", LATER[1])])
def test_who_insists_is_called_back_some_time(hours: str, last: str) -> None:
    d = asked(refused={"on sunday": hours, "tomorrow": hours})
    d.reply("on sunday").listen()
    d.reply("tomorrow").finish()
    assert d.transcript[-1] == ("agent", last)
    assert d.outcome == "callback"
    assert d.of(effects.Concluded)[0].slots == {}, "no time was agreed on"


def test_the_same_time_again_is_refused_again_without_asking() -> None:
    d = asked(refused={"on sunday": HOURS})
    d.reply("on sunday").listen()
    d.reply("on sunday").finish()
    assert booked(d) == ["on sunday"]
    assert d.outcome == "callback"


def test_what_is_never_understood_gives_up_without_a_time() -> None:
    d = asked()
    d.reply("mumble").listen()
    d.reply("mumble").finish()
    assert (d.outcome, booked(d)) == ("callback", [])
    assert d.transcript[-1] == LATER


def test_the_caller_may_say_something_else_instead() -> None:
    d = asked()
    d.reply("who is this").listen()
    assert d.transcript[-1] == ("agent", "I call for Roof Care. When may we call?")
    d.reply("no time").finish()
    assert d.outcome == "callback", "what goes on with the next question has none here"


def test_a_dialer_that_takes_its_time_is_covered() -> None:
    d = booking(book_s=2.0)
    d.until(lambda: bool(d.of(effects.Play)))
    assert d.of(effects.Play)[0].prompt is Prompt.HOLDING
    waits = d.t - d.when(effects.BookCallback)
    assert waits < SLOW_S
    d.finish()
    assert d.transcript[-1] == noted("tomorrow")


@pytest.mark.parametrize("known", [True, False])
def test_one_that_says_nothing_has_promised_nothing(known: bool) -> None:
    raw = FOR_A_DIALER.model_dump(mode="json")
    if not known:
        raw["outcomes"].pop()
        raw["questions"][4]["give_up"] = "end:not_interested"
    d = booking(book_s=None, campaign=Campaign.model_validate(raw))
    at = d.t
    d.until(lambda: "booking_late" in d.notes)
    assert d.t - at == pytest.approx(GIVE_UP_S, abs=0.3)
    d.finish()
    assert d.transcript[-1] == (LATER if known else ("agent", "All right. Goodbye."))
    assert d.outcome == ("callback" if known else "not_interested")


def test_it_is_not_waited_for_a_second_time() -> None:
    d = booking(book_s=None)
    d.until(lambda: "booking_late" in d.notes)
    d.lose(Engine.SPEECH)
    d.run(0.5)
    d.bring_back(Engine.SPEECH)
    at = d.t
    d.finish()
    assert d.transcript[-1] == ("agent", f"{LINES.back} {LATER[1]}")
    assert d.t - at < 5


@pytest.mark.parametrize(
    ("otherwise", "outcome", "last"),
    [
        ("end:not_interested", "not_interested", ""),
        ("end:completed", "completed", ""),
        ("zip", None, " What is your zip code?"),
    ],
)
def test_without_the_outcome_it_goes_on_as_the_question_says(otherwise: str, outcome: str | None, last: str) -> None:
    raw = FOR_A_DIALER.model_dump(mode="json")
    raw["outcomes"].pop()
    raw["questions"][4].update(give_up="end:no_input", otherwise=otherwise)
    d = asked(campaign=Campaign.model_validate(raw), can_transfer=True)
    d.reply("tomorrow")
    if outcome:
        d.finish()
    assert not d.of(effects.Transfer), "who is called back is not handed over now"
    assert d.transcript[-1] == ("agent", noted("tomorrow")[1] + last)
    assert d.outcome == outcome


# Taken back -----------------------------------------------------------------------------------------------------------


def test_a_longer_time_wins_over_its_beginning() -> None:
    d = booking(book_s=0.3)
    d.says("at ten")
    d.finish()
    assert booked(d) == ["tomorrow", "tomorrow at ten"]
    assert d.transcript[-1] == noted("tomorrow at ten"), "and not the answer to the first"
    assert d.of(effects.Concluded)[0].slots == {"when": "tomorrow at ten"}


@pytest.mark.parametrize("book_s", [0.0, 0.3, 0.5, 0.7])
def test_the_same_time_is_booked_once(book_s: float) -> None:
    """Whether the answer comes before, while or after the caller goes on."""
    d = asked(book_s=book_s)
    d.says("tomorrow")
    d.until(lambda: bool(d.of(effects.BookCallback)))
    if book_s == 0.0:
        d.until(lambda: d.state is State.PHRASING)
    d.noise(0.2)
    d.until(lambda: "take_back" in d.notes)
    d.finish()
    assert booked(d) == ["tomorrow"]
    assert d.transcript[-1] == noted("tomorrow")
    assert d.outcome == "callback"


def test_a_time_that_was_taken_back_is_not_confirmed() -> None:
    d = booking(book_s=1.0)
    d.says("mumble mumble mumble")
    d.until(lambda: "take_back" in d.notes)
    d.lose(Engine.SPEECH)
    d.run(1.5)
    d.bring_back(Engine.SPEECH)
    d.listen()
    assert d.transcript[-1] == ("agent", f"{LINES.back} Which day and hour?")


def test_a_time_that_is_put_right_over_the_goodbye() -> None:
    d = asked()
    d.says("tomorrow")
    d.until(lambda: d.state is State.SPEAKING and d.playing).run(1.5)
    d.says("on sunday", after_s=0.9)
    d.finish()
    assert booked(d) == ["tomorrow", "on sunday"]
    assert d.transcript[-1] == noted("on sunday")


# What goes wrong meanwhile --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", Engine)
@pytest.mark.parametrize("first", ["engine", "dialer"])
def test_an_engine_dies_meanwhile(engine: Engine, first: str) -> None:
    d = booking(book_s=1.0 if first == "dialer" else 3.0)
    d.lose(engine)
    d.run(2.0)
    d.bring_back(engine)
    d.finish()
    assert booked(d) == ["tomorrow"]
    assert d.transcript[-1][1].endswith(noted("tomorrow")[1])
    assert d.outcome == "callback"


def test_speech_dies_before_the_time_is_understood() -> None:
    d = asked(mind_s=0.5, book_s=0.6)
    d.says("tomorrow")
    d.until(lambda: d.state is State.THINKING)
    d.lose(Engine.SPEECH)
    d.until(lambda: bool(d.of(effects.BookCallback)))
    assert d.state is State.HOLDING
    d.bring_back(Engine.SPEECH)
    d.finish()
    assert d.outcome == "callback"
    assert d.transcript[-1][1].endswith(noted("tomorrow")[1])


@pytest.mark.parametrize(("book_s", "outcome"), [(0.5, "callback"), (None, "hung_up")])
def test_a_caller_who_hangs_up_on_it(book_s: float | None, outcome: str) -> None:
    d = booking(book_s=book_s)
    assert d.hang_up()[0] == effects.Release(CALL, "hung_up", gone=True)
    at = d.t
    d.finish()
    assert d.t - at <= LAST_WORDS_S + 0.03
    assert d.outcome == outcome, "booked is booked"


def test_one_whose_time_was_refused_meanwhile() -> None:
    d = booking("on sunday", refused={"on sunday": HOURS}, book_s=0.5)
    d.hang_up()
    d.finish()
    assert d.outcome == "hung_up"


def test_an_opt_out_on_which_the_caller_hangs_up_outweighs_it() -> None:
    d = booking(book_s=3.0)
    d.run(1.2)  # the holding line was heard: what is said now is new
    end = d.says("stop it")
    d.until(lambda: d.t >= end)
    assert d.state is State.BOOKING
    d.hang_up()
    d.finish()
    assert d.outcome == "dnc"
    assert len(d.of(effects.OptOut)) == 1


def test_a_stop_meanwhile_keeps_it() -> None:
    d = booking(book_s=0.5)
    d.stop()
    d.finish()
    assert d.outcome == "cut_short"
    assert [play.prompt for play in d.of(effects.Play)] == [Prompt.FAREWELL]


def test_an_answer_that_nobody_waited_for_is_nothing() -> None:
    d = asked()
    before = list(d.log)
    assert d.send(events.CallbackSet(CALL, "monday")) == d.send(events.CallbackRefused(CALL, "")) == []
    assert d.log == before
