from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audio.formats import FRAME_SAMPLES, RATE_HZ
from appliance.calls import turns
from appliance.calls.campaign import Question, SlotKind
from appliance.calls.events import Heard
from appliance.calls.turns import SpeechTracker, hold_s, spoken_digits


def question(slot: SlotKind) -> Question:
    return Question(
        id="q",
        ask="Q?",
        reask="Q?",
        slot=slot,
        digits=5 if slot is SlotKind.DIGITS else None,
        phrases={"a": ["a"]} if slot is SlotKind.CHOICE else {},
    )


def now_samples(tracker: SpeechTracker) -> int:
    """Audio time of the last row."""
    return tracker.last_speech_samples + round(tracker.silence_s * RATE_HZ)


def feed(tracker: SpeechTracker, pattern: str, *, text: str | None = None, gate_dbov: float = -127.0) -> SpeechTracker:
    """One frame per letter: S speech, s quiet speech, anything else silence."""
    for i, letter in enumerate(pattern):
        row = Heard(
            "c",
            now_samples(tracker) + FRAME_SAMPLES,
            0.9 if letter in "Ss" else 0.1,
            {"S": -20.0, "s": -45.0}.get(letter, -70.0),
            -127.0,
            text if i == len(pattern) - 1 else None,
        )
        tracker.feed(row, gate_dbov=gate_dbov)
    return tracker


@pytest.mark.parametrize(
    ("slot", "text", "hold"),
    [
        (SlotKind.YES_NO, "", turns.HOLD_WORDLESS_S),
        (SlotKind.YES_NO, "yes", turns.HOLD_ONE_WORD_S),
        (SlotKind.YES_NO, "yes it is", turns.HOLD_COMPLETE_S),
        (SlotKind.YES_NO, "no we rent it", turns.HOLD_COMPLETE_S),
        (SlotKind.YES_NO, "let me see", turns.HOLD_OPEN_S),
        (SlotKind.YES_NO, "yes but", turns.HOLD_UNFINISHED_S),
        (SlotKind.OPEN, "my name is", turns.HOLD_UNFINISHED_S),
        (SlotKind.DIGITS, "one two three four five", turns.HOLD_COMPLETE_S),
        (SlotKind.DIGITS, "double one triple five", turns.HOLD_COMPLETE_S),
        (SlotKind.DIGITS, "one two", turns.HOLD_MORE_DIGITS_S),
        (SlotKind.DIGITS, "let me see", turns.HOLD_OPEN_S),
        (SlotKind.NUMBER, "nineteen eighty", turns.HOLD_LIKELY_S),
        (SlotKind.CHOICE, "the blue one", turns.HOLD_LIKELY_S),
        (SlotKind.DATE, "in may", turns.HOLD_LIKELY_S),
        (SlotKind.WHEN, "tomorrow at ten", turns.HOLD_LIKELY_S),
        (SlotKind.WHEN, "tomorrow at", turns.HOLD_UNFINISHED_S),
        (SlotKind.NAME, "john smith", turns.HOLD_LIKELY_S),
        (SlotKind.OPEN, "nothing more", turns.HOLD_OPEN_S),
        (SlotKind.OPEN, "well it is um", turns.HOLD_UNFINISHED_S),
        (SlotKind.OPEN, "i think i'm", turns.HOLD_UNFINISHED_S),
    ],
)
def test_the_hold_depends_on_what_was_asked_and_said(slot: SlotKind, text: str, hold: float) -> None:
    assert hold_s(question(slot), text) == hold


def test_with_nothing_asked_the_hold_is_that_of_open_speech() -> None:
    assert hold_s(None, "yes") == turns.HOLD_OPEN_S


def test_spoken_digits() -> None:
    assert spoken_digits("it is double five oh") == 3
    assert spoken_digits("triple nine zero") == 4
    assert spoken_digits("hello") == 0


def test_an_onset_needs_three_frames_of_four_and_starts_with_the_first() -> None:
    assert not feed(SpeechTracker(), "..SS..S..SS").active
    tracker = feed(SpeechTracker(), "...S.SS")
    assert tracker.active
    assert tracker.onset_samples == 3 * FRAME_SAMPLES
    assert tracker.speech_samples == 3 * FRAME_SAMPLES
    assert tracker.last_speech_samples == 7 * FRAME_SAMPLES


def test_lost_rows_do_not_stretch_what_was_spoken() -> None:
    tracker = feed(SpeechTracker(), ".....S")
    gap = now_samples(tracker) + 5 * RATE_HZ
    for i in range(3):
        tracker.feed(Heard("c", gap + i * FRAME_SAMPLES, 0.9, -20, -127))
    assert tracker.speech_samples == 4 * FRAME_SAMPLES
    assert tracker.onset_samples >= 0


def test_below_the_gate_nothing_is_speech() -> None:
    assert not feed(SpeechTracker(), "sssssss", gate_dbov=-40).active
    assert feed(SpeechTracker(), "SSSS", gate_dbov=-40).active


def test_silence_ends_a_stretch_and_its_text_says_when() -> None:
    asked = question(SlotKind.YES_NO)
    tracker = feed(SpeechTracker(), "SSSSSSSSSS", text="yes we do")
    feed(tracker, "." * 9)
    assert not tracker.ended(asked)
    assert tracker.silence_s == pytest.approx(0.18)
    assert feed(tracker, ".").ended(asked)
    assert not tracker.ended(question(SlotKind.OPEN))


def test_speech_without_end_is_ended() -> None:
    tracker = feed(SpeechTracker(), "S" * 999)
    assert not tracker.ended(None)
    assert feed(tracker, "S").ended(None)


def test_without_speech_nothing_ends() -> None:
    assert not feed(SpeechTracker(), "." * 500).ended(None)
    assert SpeechTracker().onset_samples == 0


def test_clear_forgets_the_stretch_but_not_when_speech_last_was() -> None:
    tracker = feed(SpeechTracker(), "SSSS", text="yes")
    tracker.clear()
    assert (tracker.active, tracker.text, tracker.speech_samples) == (False, "", 0)
    assert tracker.last_speech_samples == 4 * FRAME_SAMPLES
    assert not feed(tracker, "SS").active


@given(st.text(alphabet="S. ", max_size=200))
def test_a_stretch_is_counted_within_its_bounds(pattern: str) -> None:
    tracker = feed(SpeechTracker(), pattern)
    assert 0 <= tracker.speech_samples <= pattern.count("S") * FRAME_SAMPLES
    if tracker.active:
        assert tracker.onset_samples + tracker.speech_samples <= tracker.last_speech_samples <= now_samples(tracker)
