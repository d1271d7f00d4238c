"""Making synthesized sound fit for the line: rate, loudness, edges. Pure; arrays are float32, full scale 1."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import soxr

from appliance.audio.formats import RATE_HZ

Samples = npt.NDArray[np.float32]

LEVEL_DBOV = -20.0
PIECE_SAMPLES = RATE_HZ // 5  # 200 ms: no piece holds a socket up
_PEAK = 0.9
_FADE_SAMPLES = RATE_HZ * 5 // 1000
_ACTIVE_BLOCK_SAMPLES = RATE_HZ // 100
_ACTIVE_BELOW_PEAK_DB = 30.0
_LEAD_BLOCKS = 1  # 10 ms before the first sound: every more is response time
_TAIL_BLOCKS = 12  # 120 ms after the last sound: the pause between two clauses


def for_the_line(samples: Samples, rate_hz: int) -> bytes:
    """8 kHz s16le at -20 dBov over its active parts, without the synthesizer's silence around it, faded over 5 ms.

    Peaks over 0.9 of full scale are bent, not cut. Nothing in, or only silence, gives b"".
    """
    if not len(samples):
        return b""
    speech = soxr.resample(samples, rate_hz, RATE_HZ, "HQ") if rate_hz != RATE_HZ else samples
    blocks = len(speech) // _ACTIVE_BLOCK_SAMPLES
    if not blocks:
        return b""
    power = np.square(speech[: blocks * _ACTIVE_BLOCK_SAMPLES].reshape(blocks, -1)).mean(axis=1)
    if float(power.max()) <= 0.0:
        return b""
    active = np.flatnonzero(power > power.max() * 10 ** (-_ACTIVE_BELOW_PEAK_DB / 10))
    start = max(0, int(active[0]) - _LEAD_BLOCKS) * _ACTIVE_BLOCK_SAMPLES
    end = min(blocks, int(active[-1]) + 1 + _TAIL_BLOCKS) * _ACTIVE_BLOCK_SAMPLES
    gain = 10 ** (LEVEL_DBOV / 20) / float(np.sqrt(power[active].mean()))
    return to_pcm(faded(_bent(speech[start:end] * np.float32(gain))))


def faded(samples: Samples) -> Samples:
    """With 5 ms fades at both ends."""
    n = min(_FADE_SAMPLES, len(samples) // 2)
    ramp = np.linspace(0, 1, n, endpoint=False, dtype=np.float32)
    out = samples.copy()
    out[:n] *= ramp
    out[len(out) - n :] *= ramp[::-1]
    return out


def to_pcm(samples: Samples) -> bytes:
    return np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()


def pieces(pcm: bytes) -> Iterator[bytes]:
    """`pcm` in pieces of at most 200 ms."""
    step = PIECE_SAMPLES * 2
    return (pcm[i : i + step] for i in range(0, len(pcm), step))


def _bent(samples: Samples) -> Samples:
    """Softly limited: straight up to half of _PEAK, then bent so that _PEAK is never passed."""
    knee = _PEAK / 2
    over = np.maximum(np.abs(samples) - knee, 0)
    return np.where(over > 0, np.sign(samples) * (knee + (_PEAK - knee) * np.tanh(over / (_PEAK - knee))), samples).astype(
        np.float32
    )
