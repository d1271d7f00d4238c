from __future__ import annotations

import pytest

from appliance.audio.levels import SILENCE_DBOV, level_dbov
from appliance.audio.tones import tone, tone_dbov


@pytest.mark.parametrize("dbov", [-40.0, -20.0, -3.0])
def test_a_tone_is_as_loud_as_asked_and_is_found_at_its_pitch_alone(dbov: float) -> None:
    pcm = tone(1000.0, 0.5, dbov)
    assert len(pcm) == 8000
    assert level_dbov(pcm) == pytest.approx(dbov, abs=0.05)
    assert tone_dbov(pcm, 1000.0) == pytest.approx(dbov, abs=0.05)
    assert tone_dbov(pcm, 700.0) < dbov - 35


def test_a_tone_that_is_too_loud_is_clipped_and_does_not_wrap_round() -> None:
    assert level_dbov(tone(1000.0, 0.1, 0.0)) > -3.0


def test_silence_and_nothing_have_no_tone() -> None:
    assert tone_dbov(b"", 1000.0) == SILENCE_DBOV
    assert tone_dbov(bytes(320), 1000.0) == SILENCE_DBOV
