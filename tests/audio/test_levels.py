from __future__ import annotations

import numpy as np
import pytest

from appliance.audio.formats import FRAME_BYTES, FRAME_SAMPLES, SILENCE
from appliance.audio.levels import FADE_SAMPLES, SILENCE_DBOV, fade_in, fade_out, level_dbov


def constant(value: int, samples: int = FRAME_SAMPLES) -> bytes:
    return np.full(samples, value, dtype="<i2").tobytes()


def samples_of(pcm: bytes) -> list[int]:
    return [int(x) for x in np.frombuffer(pcm, dtype="<i2")]


@pytest.mark.parametrize(
    ("value", "dbov"),
    [(-32768, 0.0), (16384, -6.02), (3277, -20.0), (1, -90.31), (0, SILENCE_DBOV)],
)
def test_level_of_a_square_wave(value: int, dbov: float) -> None:
    assert level_dbov(constant(value)) == pytest.approx(dbov, abs=0.01)


def test_level_of_a_sine_is_3_db_below_its_peak() -> None:
    tone = np.rint(32767 * np.sin(2 * np.pi * 1000 * np.arange(FRAME_SAMPLES) / 8000)).astype("<i2").tobytes()
    assert level_dbov(tone) == pytest.approx(-3.01, abs=0.01)


def test_level_of_nothing_is_silence() -> None:
    assert level_dbov(b"") == SILENCE_DBOV
    assert level_dbov(SILENCE) == SILENCE_DBOV


def test_fade_in_ramps_5_ms_and_leaves_the_rest() -> None:
    faded = samples_of(fade_in(constant(8000)))
    assert len(faded) == FRAME_SAMPLES
    assert faded[0] == 100
    assert faded[:FADE_SAMPLES] == sorted(faded[:FADE_SAMPLES])
    assert faded[FADE_SAMPLES:] == [8000] * (FRAME_SAMPLES - FADE_SAMPLES)


def test_fade_out_ramps_5_ms_into_silence() -> None:
    faded = samples_of(fade_out(constant(-8000)))
    assert faded[:FADE_SAMPLES] == sorted(faded[:FADE_SAMPLES])
    assert faded[0] == -7900
    assert faded[FADE_SAMPLES - 1] == -100
    assert faded[FADE_SAMPLES:] == [0] * (FRAME_SAMPLES - FADE_SAMPLES)


@pytest.mark.parametrize("samples", [0, 1, 7, FADE_SAMPLES])
def test_fade_out_of_a_short_rest_ends_at_silence(samples: int) -> None:
    frame = fade_out(constant(8000, samples))
    assert len(frame) == FRAME_BYTES
    faded = samples_of(frame)
    assert all(0 < x < 8000 for x in faded[:samples])
    assert faded[samples:] == [0] * (FRAME_SAMPLES - samples)
    assert not samples or faded[samples - 1] <= 100
