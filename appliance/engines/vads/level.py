"""Voice activity by level alone: for benches that must not spend CPU on detection, and for calibration."""

from __future__ import annotations

import numpy as np

from appliance.audio.formats import FRAME_BYTES

_SPEECH_RMS = 330.0  # -40 dBov


class LevelVadStream:
    """Implements `protocols.VadStream`. Speech is whatever is louder than -40 dBov."""

    def probability(self, frame: bytes) -> float:
        """Raises ValueError on a frame that is not 20 ms."""
        if len(frame) != FRAME_BYTES:
            raise ValueError(f"a frame has {FRAME_BYTES} bytes, not {len(frame)}")
        samples = np.frombuffer(frame, "<i2").astype(np.float32)
        return 1.0 if float(np.dot(samples, samples)) / len(samples) > _SPEECH_RMS * _SPEECH_RMS else 0.0


class LevelVad:
    """Implements `protocols.Vad`."""

    def open(self) -> LevelVadStream:
        return LevelVadStream()


def make() -> LevelVad:
    """See `protocols.MakeVad`."""
    return LevelVad()
