"""How loud a frame is, and the 5 ms fades that keep a cut from clicking."""

from __future__ import annotations

import math

import numpy as np

from appliance.audio.formats import FRAME_BYTES

FADE_SAMPLES = 40
FADE_BYTES = 2 * FADE_SAMPLES
SILENCE_DBOV = -127.0

_FULL_SCALE = 32768.0
_RAMP = (np.arange(FADE_SAMPLES, dtype=np.float64) + 0.5) / FADE_SAMPLES


def level_dbov(pcm: bytes) -> float:
    """RMS level of s16le samples: 0 = a full-scale square wave, -127 = silence (the range of RFC 6464)."""
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float64)
    energy = float(np.dot(samples, samples))
    if energy <= 0.0:
        return SILENCE_DBOV
    return max(SILENCE_DBOV, 10.0 * math.log10(energy / (len(samples) * _FULL_SCALE * _FULL_SCALE)))


def fade_in(frame: bytes) -> bytes:
    """The frame with its first 5 ms ramped up from silence."""
    head = np.frombuffer(frame, dtype="<i2", count=FADE_SAMPLES)
    return np.rint(head * _RAMP).astype("<i2").tobytes() + frame[FADE_BYTES:]


def fade_out(pcm: bytes) -> bytes:
    """A whole frame in which at most the first 5 ms of `pcm` ramp down to silence."""
    head = np.frombuffer(pcm[:FADE_BYTES], dtype="<i2")
    ramped = np.rint(head * _RAMP[: len(head)][::-1]).astype("<i2").tobytes()
    return ramped.ljust(FRAME_BYTES, b"\0")
