from __future__ import annotations

from appliance.audio.formats import FRAME_SAMPLES, RATE_HZ
from appliance.calls import effects
from appliance.calls.caller import Caller
from appliance.calls.dialogue import Position
from appliance.calls.effects import Speaker
from appliance.calls.events import Heard
from appliance.calls.turns import MAX_TURN_S

HERE = Position("owner", {})


def speak(caller: Caller, for_s: float, text: str | None = None) -> None:
    """So much speech, its text in the last row."""
    frames = round(for_s * RATE_HZ / FRAME_SAMPLES)
    for i in range(frames):
        at = caller.tracker.last_speech_samples + round(caller.tracker.silence_s * RATE_HZ) + FRAME_SAMPLES
        row = Heard("c", at, 0.9, -20.0, -127.0, text if i == frames - 1 else None)
        caller.tracker.feed(caller.row(row))


def test_a_stretch_becomes_a_turn_and_the_turn_history() -> None:
    caller = Caller("c")
    speak(caller, 1.0, "yes")
    assert caller.close_stretch(7, HERE) == effects.Finalize("c", 7)
    assert (caller.before, caller.final, caller.tracker.active) == (HERE, 7, False)
    assert caller.answers(7)
    turn = caller.final_text("yes i do")
    assert turn is not None
    assert (turn.text, turn.spoken_samples) == ("yes i do", RATE_HZ)
    assert caller.gone() == [effects.TurnTaken("c", Speaker.CALLER, "yes i do", 0.0, 1.0, None, False)]
    assert (caller.turn, caller.before, caller.gone()) == (None, None, [])


def test_without_a_final_text_the_partial_one_stands() -> None:
    caller = Caller("c")
    speak(caller, 1.0, "yes")
    caller.close_stretch(7, HERE)
    turn = caller.final_text("")
    assert turn is not None
    assert turn.text == "yes"
    assert Caller("c").final_text("late") is None


def test_rows_carry_no_text_of_a_stretch_that_is_closed() -> None:
    caller = Caller("c")
    speak(caller, 1.0, "yes")
    caller.close_stretch(7, HERE)
    speak(caller, 0.2, "yes i do")
    assert caller.tracker.text == ""
    caller.final_text("yes i do")
    speak(caller, 0.2, "but")
    assert caller.tracker.text == "but"


def test_two_pieces_are_one_turn_and_no_word_is_twice() -> None:
    caller = Caller("c")
    speak(caller, 1.0, "yes")
    caller.close_stretch(1, HERE)
    caller.discard_final()
    assert not caller.answers(1), "the partial text stands for it"
    assert caller.final is None
    speak(caller, 1.0, "but")
    caller.close_stretch(2, HERE)
    turn = caller.final_text("but who")
    assert turn is not None
    assert (turn.text, turn.start_samples, turn.end_samples) == ("yes but who", 0, 2 * RATE_HZ)


def test_the_text_of_a_stretch_dropped_before_does_not_end_the_wait_for_a_later_one() -> None:
    caller = Caller("c")
    assert caller.drop_stretch(1) == effects.Finalize("c", 1)
    speak(caller, 1.0)
    caller.close_stretch(2, HERE)
    assert not caller.answers(1)
    assert caller.final == 2
    assert caller.answers(2)
    caller.drop_stretch(3)
    caller.texts_lost()
    caller.final = None
    assert not caller.answers(3)


def test_a_stretch_without_end_is_not_to_be_taken_back() -> None:
    caller = Caller("c")
    speak(caller, MAX_TURN_S)
    caller.close_stretch(1, HERE)
    assert caller.before is None


def test_a_noise_leaves_nothing() -> None:
    caller = Caller("c")
    speak(caller, 0.1)
    caller.close_stretch(1, HERE)
    caller.noise()
    assert (caller.turn, caller.before) == (None, None)


def test_what_is_being_said_when_nobody_waits_for_its_end() -> None:
    caller = Caller("c")
    speak(caller, 1.0, "well i")
    assert caller.stretch_gone() == [effects.TurnTaken("c", Speaker.CALLER, "well i", 0.0, 1.0, None, True)]
    assert caller.stretch_gone() == []
    speak(caller, 1.0)
    assert caller.stretch_gone() == [], "no words, no turn"
    speak(caller, 1.0, "uh huh")
    assert caller.stretch_gone(but=True) == []
    assert not caller.tracker.active
