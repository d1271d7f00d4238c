"""Audio frames from one thread to another, without a lock."""

from __future__ import annotations

from collections import deque

import msgspec


class RingStats(msgspec.Struct, frozen=True):
    """Frames since the ring was made. `pushed == popped + overruns + what is inside`; `peak` is the fullest it was."""

    pushed: int
    popped: int
    overruns: int
    peak: int


class FrameRing:
    """A bounded queue of frames: one thread pushes, one other thread pops or drains, neither ever waits.

    Each step on the deque is one atomic operation of the interpreter, and each counter has one writer. A full ring
    drops its oldest frame: what was heard long ago is worth less than what is heard now.
    """

    def __init__(self, capacity_frames: int) -> None:
        if capacity_frames < 1:
            raise ValueError("a ring holds at least one frame")
        self._capacity = capacity_frames
        self._frames: deque[bytes] = deque()
        self._pushed = 0
        self._popped = 0
        self._overruns = 0
        self._peak = 0

    def __len__(self) -> int:
        return len(self._frames)

    def push(self, frame: bytes) -> bool:
        """Add the newest frame. False when the oldest had to be dropped for it (an overrun)."""
        fitted = True
        if len(self._frames) >= self._capacity:
            fitted = not self._drop_oldest()
        self._frames.append(frame)
        self._pushed += 1
        self._peak = max(self._peak, len(self._frames))
        return fitted

    def _drop_oldest(self) -> bool:
        try:
            self._frames.popleft()
        except IndexError:  # the reader emptied it meanwhile
            return False
        self._overruns += 1
        return True

    def pop(self) -> bytes | None:
        """The oldest frame, None when there is none."""
        try:
            frame = self._frames.popleft()
        except IndexError:
            return None
        self._popped += 1
        return frame

    def drain(self) -> list[bytes]:
        """Every frame there is, oldest first."""
        frames: list[bytes] = []
        while (frame := self.pop()) is not None:
            frames.append(frame)
        return frames

    def stats(self) -> RingStats:
        return RingStats(pushed=self._pushed, popped=self._popped, overruns=self._overruns, peak=self._peak)
