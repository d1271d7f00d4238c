"""When has the caller finished? Speech tracking on the engines' rows, and how long to hold before answering.

The hold depends on what was asked: the script knows what an answer looks like, so a complete one is answered at once
and a half one is waited for.
"""

from __future__ import annotations

from collections import deque
from typing import assert_never

from appliance.audio.formats import FRAME_SAMPLES, RATE_HZ
from appliance.calls.campaign import Question, SlotKind
from appliance.calls.events import Heard

SPEECH = 0.5
ONSET_FRAMES = 3  # of the last four: 60-80 ms, so that a click is not an onset
MAX_TURN_S = 20.0

# Holds in seconds. They count from the end of speech as the detector saw it, which lags the true end by its own hangover.
HOLD_COMPLETE_S = 0.20
HOLD_ONE_WORD_S = 0.32  # "yes" is an answer, and how "yes, I do" begins: a comma is about 0.3 s
HOLD_LIKELY_S = 0.40
HOLD_OPEN_S = 0.70
HOLD_WORDLESS_S = 0.80
HOLD_UNFINISHED_S = 1.30
HOLD_MORE_DIGITS_S = 1.60

_YES_NO = frozenset(
    "yes yeah yep yup sure correct right absolutely definitely certainly okay ok no nope nah never negative not".split()
)
_UNFINISHED = frozenset(
    (
        "and or but so because if um uh er hmm well the a an my our your his her to of for with in at on is are was i i'm it's"
    ).split()
)
# "Yes it is" is whole, "my name is" is not.
_SHORT_ANSWERS = frozenset((who, verb) for who in "it that there they we you i he she".split() for verb in ("is", "are", "was"))
_DIGITS = frozenset("zero oh o one two three four five six seven eight nine".split())
_MULTIPLES = {"double": 1, "triple": 2}


def spoken_digits(text: str) -> int:
    """How many digits the words of `text` stand for: "double five oh" is three."""
    words = text.split()
    return sum(1 for w in words if w in _DIGITS) + sum(_MULTIPLES.get(w, 0) for w in words)


def hold_s(question: Question | None, text: str) -> float:
    """Seconds of silence after which `text` counts as the caller's whole answer to `question`."""
    words = text.split()
    if not words:
        return HOLD_WORDLESS_S
    if words[-1] in _UNFINISHED and tuple(words[-2:]) not in _SHORT_ANSWERS:
        return HOLD_UNFINISHED_S
    if question is None:
        return HOLD_OPEN_S
    match question.slot:
        case SlotKind.YES_NO:
            if _YES_NO.isdisjoint(words):
                return HOLD_OPEN_S
            return HOLD_ONE_WORD_S if len(words) == 1 else HOLD_COMPLETE_S
        case SlotKind.DIGITS:
            have, want = spoken_digits(text), question.digits or 0
            if have >= want:
                return HOLD_COMPLETE_S
            return HOLD_MORE_DIGITS_S if have else HOLD_OPEN_S
        case SlotKind.CHOICE | SlotKind.NUMBER | SlotKind.DATE | SlotKind.WHEN | SlotKind.NAME:
            return HOLD_LIKELY_S
        case SlotKind.OPEN:
            return HOLD_OPEN_S
        case _:
            assert_never(question.slot)


class SpeechTracker:
    """Follows the caller's current stretch of speech, in samples of audio time."""

    def __init__(self) -> None:
        self._recent: deque[int | None] = deque(maxlen=4)  # where each began, of those with speech
        self._onset: int | None = None
        self._last_speech = 0
        self._now = 0
        self.speech_samples = 0
        self.text = ""

    def feed(self, row: Heard, *, gate_dbov: float = -127.0) -> None:
        """One frame. Below `gate_dbov` nothing is speech: it may be our own echo."""
        self._now = row.at_samples
        speech = row.speech >= SPEECH and row.level_dbov >= gate_dbov
        self._recent.append(row.at_samples - FRAME_SAMPLES if speech else None)
        if row.text is not None:
            self.text = row.text
        began = [at for at in self._recent if at is not None]
        if self._onset is None and len(began) >= ONSET_FRAMES:
            self._onset = began[0]
            self.speech_samples = FRAME_SAMPLES * (len(began) - 1)  # and this frame
        if speech and self._onset is not None:
            self._last_speech = row.at_samples
            self.speech_samples += FRAME_SAMPLES

    def clear(self) -> None:
        """Forget the stretch: the next speech is a new one."""
        self._recent.clear()
        self._onset = None
        self.speech_samples = 0
        self.text = ""

    @property
    def active(self) -> bool:
        """The caller has spoken in this stretch."""
        return self._onset is not None

    @property
    def onset_samples(self) -> int:
        """Audio time at which the stretch began; 0 while there is none."""
        return self._onset or 0

    @property
    def last_speech_samples(self) -> int:
        """Audio time of the end of the last frame with speech; kept by `clear`, since the reply's gap counts from it."""
        return self._last_speech

    @property
    def silence_s(self) -> float:
        """Seconds since the last speech of this stretch."""
        return (self._now - self._last_speech) / RATE_HZ

    @property
    def too_long(self) -> bool:
        """The stretch has gone on for longer than anybody answers: a radio, or a speech that has to be cut short."""
        return self._onset is not None and (self._now - self._onset) / RATE_HZ >= MAX_TURN_S

    def ended(self, question: Question | None) -> bool:
        """The stretch is over: silence for as long as its text asks for, or it has gone on for too long."""
        return self.too_long or (self.active and self.silence_s >= hold_s(question, self.text))
