from __future__ import annotations

import numpy as np

from appliance.audio.formats import FRAME_SAMPLES, SILENCE
from appliance.engines.hearing import Hearing
from appliance.engines.vads.level import LevelVadStream

LOUD = (8000 * np.sin(np.arange(FRAME_SAMPLES) / 5)).astype("<i2").tobytes()


def fed(hearing: Hearing, frames: list[bytes]) -> bytes:
    return b"".join(hearing.frame(frame)[1] for frame in frames)


def test_silence_is_not_recognized() -> None:
    hearing = Hearing("a", LevelVadStream())
    assert fed(hearing, [SILENCE] * 100) == b""
    assert not hearing.end_turn()


def test_speech_comes_with_300_ms_before_and_400_ms_after() -> None:
    hearing = Hearing("a", LevelVadStream())
    audio = fed(hearing, [SILENCE] * 40 + [LOUD] * 5 + [SILENCE] * 60)
    assert audio == SILENCE * 15 + LOUD * 5 + SILENCE * 20
    assert hearing.end_turn()


def test_no_frame_is_recognized_twice() -> None:
    hearing = Hearing("a", LevelVadStream())
    audio = fed(hearing, [SILENCE] * 20 + [LOUD] + [SILENCE] * 25 + [LOUD])
    assert audio == SILENCE * 15 + LOUD + SILENCE * 25 + LOUD


def test_text_is_told_once_per_change() -> None:
    hearing = Hearing("a", LevelVadStream())
    hearing.heard("yes")
    assert [hearing.frame(SILENCE)[0].text for _ in range(2)] == ["yes", None]
    hearing.heard("yes i do")
    assert hearing.frame(SILENCE)[0].text == "yes i do"


def test_late_text_of_a_closed_turn_is_dropped() -> None:
    hearing = Hearing("a", LevelVadStream())
    fed(hearing, [LOUD])
    assert hearing.end_turn()
    hearing.heard("late words")
    assert hearing.frame(SILENCE)[0].text is None
    hearing.final()
    hearing.heard("new words")
    assert hearing.frame(SILENCE)[0].text == "new words"


def test_a_frame_of_wrong_length_is_silence_and_counted() -> None:
    hearing = Hearing("a", LevelVadStream())
    row, audio = hearing.frame(b"\1")
    assert (row.speech, row.level_dbov, audio, hearing.malformed) == (0.0, -127.0, b"", 1)
