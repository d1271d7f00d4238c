"""Does the caller interrupt? Pause at once, decide by the words, then commit or resume.

A phone line has no echo canceller on our side: what comes back of our own voice must not stop it. So speech counts
only above a gate that follows the loudest of our own outbound audio over the last 400 ms.
"""

from __future__ import annotations

import enum
from collections import deque

from appliance.audio.formats import FRAME_S, RATE_HZ
from appliance.calls.events import Heard
from appliance.calls.turns import SpeechTracker

ECHO_WINDOW_FRAMES = round(0.4 / FRAME_S)
ECHO_MARGIN_DB = 10.0  # hybrids return at least 12 dB less than they were sent (ITU-T G.122 asks for more)
FLOOR_DBOV = -50.0
COMMIT_WORDLESS_S = 0.8  # so long a stretch is no cough, whatever the recognizer makes of it
COMMIT_LONG_S = 2.5  # nor is one of so much speech a listening noise
RESUME_SILENCE_S = 0.35

BACKCHANNELS = frozenset(
    "uh huh uhhuh mm mhm hmm yeah yes yep ok okay right sure go on i see hello hi hey oh ah um uh er the a and".split()
)


class Verdict(enum.Enum):
    NOTHING = "nothing"
    PAUSE = "pause"
    COMMIT = "commit"
    RESUME = "resume"


def is_backchannel(text: str) -> bool:
    """Only listening noises: nothing that asks the agent to stop."""
    return all(word in BACKCHANNELS for word in text.split())


class BargeIn:
    """One call's interruption detector: `hear` every row, `judge` after those that come while an utterance is played."""

    def __init__(self) -> None:
        self._outbound: deque[float] = deque(maxlen=ECHO_WINDOW_FRAMES)
        self._paused = False

    @property
    def gate_dbov(self) -> float:
        """Frames below this level are taken for silence or our own echo."""
        return max([FLOOR_DBOV, *(level - ECHO_MARGIN_DB for level in self._outbound)])

    def reset(self) -> None:
        """The agent starts a new utterance, or stopped."""
        self._paused = False

    def hear(self, row: Heard, tracker: SpeechTracker) -> None:
        """One frame, into `tracker` too. Our voice comes back after our last word as well: the gate always holds."""
        self._outbound.append(row.outbound_dbov)
        tracker.feed(row, gate_dbov=self.gate_dbov)

    def judge(self, tracker: SpeechTracker) -> Verdict:
        """What the stretch so far means for the utterance. PAUSE once, then COMMIT or RESUME once."""
        if not tracker.active:
            return Verdict.NOTHING
        if not self._paused:
            self._paused = True
            return Verdict.PAUSE
        spoken_s = tracker.speech_samples / RATE_HZ
        wordy = bool(tracker.text) and not is_backchannel(tracker.text)
        if wordy or spoken_s >= (COMMIT_LONG_S if tracker.text else COMMIT_WORDLESS_S):
            return Verdict.COMMIT
        if tracker.silence_s >= RESUME_SILENCE_S:
            self._paused = False
            return Verdict.RESUME
        return Verdict.NOTHING
