"""Test tones, and how loud one is in what came back."""

from __future__ import annotations

import math

import numpy as np

from appliance.audio.formats import RATE_HZ
from appliance.audio.levels import SILENCE_DBOV

_FULL_SCALE = 32768.0


def tone(hz: float, seconds: float, dbov: float) -> bytes:
    """A sine of this RMS level, s16le at 8 kHz."""
    peak = _FULL_SCALE * math.sqrt(2) * 10 ** (dbov / 20)
    wave = np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)
    return np.rint(np.clip(peak * wave, -_FULL_SCALE, _FULL_SCALE - 1)).astype("<i2").tobytes()


def tone_dbov(pcm: bytes, hz: float) -> float:
    """RMS level of what sounds at `hz` in s16le samples; -127 where nothing does."""
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float64)
    if not len(samples):
        return SILENCE_DBOV
    turn = np.exp(-2j * np.pi * hz * np.arange(len(samples)) / RATE_HZ)
    rms = abs(complex(np.dot(samples, turn))) * math.sqrt(2) / len(samples)
    return max(SILENCE_DBOV, 20 * math.log10(rms / _FULL_SCALE)) if rms > 0 else SILENCE_DBOV
