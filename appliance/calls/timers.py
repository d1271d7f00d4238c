"""What a call waits for, and for how long."""

from __future__ import annotations

import enum
from collections.abc import Iterator

MEDIA_S = 10.0  # from the 200 OK to the first frame
NO_INPUT_S = 6.0
FINAL_S = 0.5  # the recognizer's last word; after that its partial text has to do
SLOW_S = 0.7  # the caller has waited so long for a sound of us: say something human
HOLD_AGAIN_S = 6.0
GIVE_UP_S = 12.0
RELEASE_S = 2.0  # the dialer's word that the call is over
DIALER_BYE_S = 2.0  # after that word, for the dialer to end the leg itself: 64-219 ms were seen
HANG_UP_S = 5.0  # for the BYE's answer
ENDING_S = 30.0
OVER_CLOSING_S = 5.0  # what the caller says over our last words is listened to for so much longer
LAST_WORDS_S = 1.0  # the caller has hung up on a sentence: what it meant may still be an opt-out


class Timer(enum.Enum):
    MEDIA = "media"
    NO_INPUT = "no_input"
    FINAL = "final"
    SLOW = "slow"
    GIVE_UP = "give_up"
    MAX_CALL = "max_call"
    ENDING = "ending"
    OVER_CLOSING = "over_closing"
    RELEASE = "release"
    HANG_UP = "hang_up"
    LAST_WORDS = "last_words"


class Timers:
    """One call's timers, in monotonic seconds."""

    def __init__(self) -> None:
        self._at: dict[Timer, float] = {}

    def __len__(self) -> int:
        """How many are running."""
        return len(self._at)

    @property
    def deadline(self) -> float | None:
        """When the first of them is due."""
        return min(self._at.values(), default=None)

    def due(self, now: float) -> Iterator[Timer]:
        """Those that are due, each stopped as it is given; one may stop those after it or arm them anew."""
        for timer in [t for t, at in self._at.items() if at <= now]:
            if self._at.get(timer, now + 1) <= now:
                del self._at[timer]
                yield timer

    def arm(self, timer: Timer, at: float) -> None:
        """Whether it runs already or not."""
        self._at[timer] = at

    def keep(self, timer: Timer, at: float) -> None:
        """Arm it unless it runs."""
        self._at.setdefault(timer, at)

    def stop(self, *timers: Timer) -> bool:
        """Whether any of them ran."""
        ran = [timer for timer in timers if self._at.pop(timer, None) is not None]
        return bool(ran)

    def only(self, timer: Timer, at: float) -> None:
        """Arm it and stop all others."""
        self._at = {timer: at}

    def all_but(self, timer: Timer) -> None:
        """Stop all others."""
        self._at = {t: at for t, at in self._at.items() if t is timer}

    def clear(self) -> None:
        self._at.clear()

    def wait(self, now: float) -> None:
        """The caller waits for us from here on."""
        self.keep(Timer.SLOW, now + SLOW_S)
        self.keep(Timer.GIVE_UP, now + GIVE_UP_S)

    def stop_waiting(self) -> None:
        self.stop(Timer.SLOW, Timer.GIVE_UP)
