"""Which audio of a call is worth recognizing: speech with a little before and after it. Pure."""

from __future__ import annotations

from collections import deque

from appliance.audio.formats import FRAME_BYTES, SILENCE
from appliance.audio.levels import SILENCE_DBOV, level_dbov
from appliance.engines.protocols import VadStream
from appliance.engines.wire import Row

_SPEECH = 0.5
_PRE_ROLL_FRAMES = 15  # 300 ms: soft onsets come before the detector's verdict
_TAIL_FRAMES = 20  # 400 ms: word ends are soft, and a recognizer wants silence to end a word


class Hearing:
    """One call's gate between its frames and the recognizer."""

    def __init__(self, call: str, vad: VadStream) -> None:
        self._call = call
        self._vad = vad
        self._before: deque[bytes] = deque(maxlen=_PRE_ROLL_FRAMES)
        self._tail = 0
        self._text = ""
        self._told: str = ""
        self.awaiting_finals = 0
        self.listened = False
        self.malformed = 0

    def frame(self, pcm: bytes) -> tuple[Row, bytes]:
        """The frame's row, and the audio to recognize now (often none). A frame of wrong length is heard as silence."""
        if len(pcm) != FRAME_BYTES:
            self.malformed += 1
            pcm = SILENCE
        speech = self._vad.probability(pcm)
        wanted = b""
        if speech >= _SPEECH:
            wanted = b"".join(self._before) + pcm
            self._before.clear()
            self._tail = _TAIL_FRAMES
        elif self._tail:
            self._tail -= 1
            wanted = pcm
        else:
            self._before.append(pcm)
        self.listened = self.listened or bool(wanted)
        return Row(self._call, speech, max(SILENCE_DBOV, level_dbov(pcm)), self._news()), wanted

    def heard(self, text: str) -> None:
        """The recognizer's transcript so far. Between a turn's end and its final text it belongs to the old turn: dropped."""
        if not self.awaiting_finals:
            self._text = text

    def end_turn(self) -> bool:
        """A turn ends here. True when the recognizer has heard some of it and must be asked; otherwise its text is ""."""
        asked = self.listened
        self.awaiting_finals += asked
        self.listened = False
        self._tail = 0
        self._text = self._told = ""
        return asked

    def final(self) -> None:
        """The recognizer's final text came."""
        self.awaiting_finals = max(0, self.awaiting_finals - 1)

    def _news(self) -> str | None:
        if self._text == self._told:
            return None
        self._told = self._text
        return self._text
