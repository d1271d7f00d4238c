"""Voice activity: the WebRTC detector in pocketsphinx, behind a gate that follows the line's own noise.

The detector alone calls steady line noise speech; the gate asks for a level above the noise floor as well.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from pocketsphinx import Vad as WebRtcVad

from appliance.audio.formats import FRAME_BYTES, FRAME_S, RATE_HZ

_ABSOLUTE_FLOOR_DBOV = -46.0  # quieter than any caller worth answering, louder than a line's hiss
_ABOVE_NOISE_DB = 9.0
_LOUDEST_NOISE_DBOV = -35.0
_NOISE_WINDOW_FRAMES = 100  # two seconds: longer than a breath, shorter than a change of line
_FULL_SCALE = 32768.0
# Probability by how many of the last five detections were speech: a click is one frame, a syllable is several.
_SMOOTHING_FRAMES = 5
_PROBABILITY = (0.0, 0.35, 0.6, 0.8, 0.95, 1.0)


class PocketsphinxVadStream:
    """One call's detector. Implements `protocols.VadStream`."""

    def __init__(self) -> None:
        self._vad = WebRtcVad(WebRtcVad.MEDIUM_STRICT, RATE_HZ, FRAME_S)
        self._levels_dbov: deque[float] = deque(maxlen=_NOISE_WINDOW_FRAMES)
        self._recent: deque[bool] = deque(maxlen=_SMOOTHING_FRAMES)

    def probability(self, frame: bytes) -> float:
        """Raises ValueError on a frame that is not 20 ms."""
        if len(frame) != FRAME_BYTES:
            raise ValueError(f"a frame has {FRAME_BYTES} bytes, not {len(frame)}")
        samples = np.frombuffer(frame, "<i2").astype(np.float32)
        power = float(np.dot(samples, samples)) / len(samples) / (_FULL_SCALE * _FULL_SCALE)
        level_dbov = 10 * float(np.log10(power)) if power > 0 else -127.0
        self._levels_dbov.append(level_dbov)
        # The quietest tenth may be speech itself while nothing else was heard yet: then only the absolute gate holds.
        noise_dbov = min(sorted(self._levels_dbov)[len(self._levels_dbov) // 10], _LOUDEST_NOISE_DBOV)
        loud = level_dbov > max(_ABSOLUTE_FLOOR_DBOV, noise_dbov + _ABOVE_NOISE_DB)
        self._recent.append(loud and bool(self._vad.is_speech(frame)))
        return _PROBABILITY[sum(self._recent)]


class PocketsphinxVad:
    """Implements `protocols.Vad`."""

    def open(self) -> PocketsphinxVadStream:
        return PocketsphinxVadStream()


def make() -> PocketsphinxVad:
    """See `protocols.MakeVad`."""
    return PocketsphinxVad()
