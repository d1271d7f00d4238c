"""The voice that hums: a tone as long as the words would take. For media benches, where synthesis must cost no CPU."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np

from appliance.audio.formats import RATE_HZ
from appliance.engines.voices.line import LEVEL_DBOV, faded, pieces, to_pcm
from appliance.errors import BackendError

_S_PER_CHARACTER = 0.06
_TONE_HZ = 400.0


class ToneVoice:
    """Implements `protocols.Voice`."""

    def synthesize(self, clause: str) -> Iterator[bytes]:
        return pieces(_tone(round(len(clause.strip()) * _S_PER_CHARACTER * RATE_HZ)))


@cache
def _tone(samples: int) -> bytes:
    amplitude = 10 ** (LEVEL_DBOV / 20) * 2**0.5
    wave = amplitude * np.sin(2 * np.pi * _TONE_HZ / RATE_HZ * np.arange(samples, dtype=np.float32))
    return to_pcm(faded(wave.astype(np.float32)))


def make(voice: str) -> ToneVoice:
    """See `protocols.MakeVoice`; the only speaker is the default one."""
    if voice:
        raise BackendError(f"voice tone: no speaker '{voice}'", hint='leave engines.speaker empty ("")')
    return ToneVoice()
