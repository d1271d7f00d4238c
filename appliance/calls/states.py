"""The states of a call."""

from __future__ import annotations

import enum

from appliance.calls.events import AnyEvent


class State(enum.Enum):
    RINGING = "ringing"
    LISTENING = "listening"
    DECIDING = "deciding"  # the turn is over, the recognizer's final text is awaited
    THINKING = "thinking"  # the mind is asked what it means
    PHRASING = "phrasing"  # the mind is asked for words, none has come
    SPEAKING = "speaking"
    PAUSED = "paused"  # the caller may be interrupting
    HOLDING = "holding"  # speech is gone: the daemon's own lines are all there is
    BOOKING = "booking"  # the dialer is asked to keep the time of a callback
    TRANSFERRING = "transferring"  # the dialer is asked for a human
    ENDING = "ending"  # the last words are on their way
    RELEASING = "releasing"  # the dialer is told how the call ended, and may end it itself
    HANGING_UP = "hanging_up"
    LAST_WORDS = "last_words"  # the caller is gone; what they said last is still being understood
    ENDED = "ended"


class ImpossibleEvent(Exception):
    """An event that cannot follow what came before: a bug in the shell or here. Ends this call only."""

    def __init__(self, event: AnyEvent, state: State) -> None:
        self.event_type = type(event).__name__
        self.state = state
        super().__init__(f"{self.event_type} in state {state.value}")
