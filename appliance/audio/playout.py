"""What leaves for the caller: clauses in, 20 ms frames out, and the exact count of what was really sent.

Two threads meet here. The event loop writes; the media clock reads, and it may never wait. So the writer only appends
commands to one queue, and everything else (the audio, the place in it, the pause, the fades) belongs to the reader,
which works the queue off at each frame. Every interleaving of the two threads is then one sequence of commands and
frames, and what holds for each such sequence holds for the threads.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import assert_never

import msgspec

from appliance.audio.formats import FRAME_BYTES, FRAME_SAMPLES, RATE_HZ, SILENCE
from appliance.audio.levels import FADE_BYTES, fade_in, fade_out

CAPACITY_S = 60
CAPACITY_SAMPLES = CAPACITY_S * RATE_HZ
_REPORTS = CAPACITY_SAMPLES // FRAME_SAMPLES


class Progress(msgspec.Struct, frozen=True):
    """How much of `utterance` has left for the caller.

    `samples` counts its samples that were sent, the faded ones of a cut included, padding not. `finished`: nothing of
    it is left to play, because it was played to its end or, with `cut`, because it was retired. `at_samples` is the
    reader's time (all it ever sent, silence included) at the end of the last frame that carried some of it.
    """

    utterance: int
    samples: int
    finished: bool
    cut: bool
    at_samples: int


class PlayoutStats(msgspec.Struct, frozen=True):
    """`underruns`: frames of silence sent inside an utterance because its audio had not come. `overruns`: pieces
    dropped because more than 60 s were waiting. `backlog_samples`: what is waiting now."""

    sent_frames: int
    underruns: int
    overruns: int
    backlog_samples: int


class _Clause:
    __slots__ = ("done", "pieces")

    def __init__(self) -> None:
        self.pieces: deque[memoryview] = deque()
        self.done = False


class _Utterance:
    """The clauses of one utterance, read in the order of their numbers."""

    __slots__ = ("at_samples", "clauses", "closed", "number", "place", "samples")

    def __init__(self, number: int) -> None:
        self.number = number
        self.clauses: dict[int, _Clause] = {}
        self.place = 0
        self.closed = False
        self.samples = 0
        self.at_samples = 0

    def put(self, clause: int, pcm: bytes, last: bool) -> int:
        """Returns the bytes dropped: those of a clause that is already behind."""
        if clause < self.place:
            return len(pcm)
        entry = self.clauses.setdefault(clause, _Clause())
        if pcm:
            entry.pieces.append(memoryview(pcm))
        entry.done = entry.done or last
        return 0

    def _current(self) -> _Clause | None:
        """The clause that sounds next: the first one not yet complete; once closed, missing ones are skipped."""
        while self.clauses:
            clause = self.clauses.get(self.place)
            if clause is not None and clause.pieces:
                return clause
            if clause is not None and (clause.done or self.closed):
                del self.clauses[self.place]
                self.place += 1
            elif clause is None and self.closed:
                self.place = min(self.clauses)
            else:
                return None
        return None

    def take(self, size: int) -> bytes:
        """The next bytes to send, at most `size`, fewer when there are no more yet."""
        parts: list[memoryview] = []
        while size > 0 and (clause := self._current()) is not None:
            piece = clause.pieces.popleft()
            if len(piece) > size:
                clause.pieces.appendleft(piece[size:])
                piece = piece[:size]
            parts.append(piece)
            size -= len(piece)
        pcm = b"".join(parts)
        self.samples += len(pcm) // 2
        return pcm

    def exhausted(self) -> bool:
        return self.closed and self._current() is None

    def waiting_bytes(self) -> int:
        return sum(len(piece) for clause in self.clauses.values() for piece in clause.pieces)


class _Op(enum.Enum):
    WRITE = enum.auto()
    CLOSE = enum.auto()
    RETIRE = enum.auto()
    PAUSE = enum.auto()
    RESUME = enum.auto()


class _Command(msgspec.Struct, frozen=True):
    op: _Op
    utterance: int = 0
    clause: int = 0
    pcm: bytes = b""
    last: bool = False


class Playout:
    """One call's way out. `write`, `close`, `retire`, `pause`, `resume`, `progress` and `stats` are for one thread;
    `next_frame` is for the media clock's."""

    def __init__(self) -> None:
        self._commands: deque[_Command] = deque()
        self._reports: deque[Progress] = deque(maxlen=_REPORTS)
        # the writer's
        self._over: set[int] = set()
        self._written_bytes = 0
        self._overruns = 0
        # the reader's
        self._utterances: dict[int, _Utterance] = {}
        self._gone_bytes = 0
        self._frames = 0
        self._underruns = 0
        self._paused = False
        self._sounding = False
        self._fading = b""
        self._rejoin = False

    # The writer's side -----------------------------------------------------------------------------------------------

    def write(self, utterance: int, clause: int, pcm: bytes, last: bool) -> bool:
        """Add a piece (whole s16le samples, any number) of a clause; `last` ends the clause.

        Clauses sound in the order of their numbers, whatever order their audio comes in; utterances in the order in
        which they were first written. False when the piece is dropped: the utterance was retired or closed, or 60 s
        of audio are already waiting (an overrun; the clause still ends where `last` says).
        Raises ValueError on half a sample.
        """
        if len(pcm) % 2:
            raise ValueError(f"a piece of {len(pcm)} bytes ends in the middle of a sample")
        if utterance in self._over:
            return False
        fits = self._written_bytes - self._gone_bytes + len(pcm) <= 2 * CAPACITY_SAMPLES
        if not fits:
            self._overruns += 1
            pcm = b""
        self._written_bytes += len(pcm)
        self._commands.append(_Command(_Op.WRITE, utterance, clause, pcm, last))
        return fits

    def close(self, utterance: int) -> None:
        """No more will be written of it: it is finished when what is there has left. Clauses that never came are
        passed over."""
        if utterance not in self._over:
            self._over.add(utterance)
            self._commands.append(_Command(_Op.CLOSE, utterance))

    def retire(self, utterance: int) -> None:
        """Drop what is left of it, now and whatever is written of it later. Ends a pause: its place is gone."""
        self._over.add(utterance)
        self._commands.append(_Command(_Op.RETIRE, utterance))

    def pause(self) -> None:
        """Send silence from the next frame on, after a fade of 5 ms, and keep the place."""
        self._commands.append(_Command(_Op.PAUSE))

    def resume(self) -> None:
        """Go on with the very next sample, faded in over 5 ms."""
        self._commands.append(_Command(_Op.RESUME))

    def progress(self) -> list[Progress]:
        """What moved since the last call: for each utterance concerned its newest figures, in the order of play."""
        newest: dict[int, Progress] = {}
        while self._reports:
            report = self._reports.popleft()
            newest[report.utterance] = report
        return list(newest.values())

    def stats(self) -> PlayoutStats:
        return PlayoutStats(
            sent_frames=self._frames,
            underruns=self._underruns,
            overruns=self._overruns,
            backlog_samples=(self._written_bytes - self._gone_bytes) // 2,
        )

    # The reader's side -----------------------------------------------------------------------------------------------

    def next_frame(self) -> bytes:
        """The next 20 ms for the caller, 320 bytes, silence where there is nothing. Never raises and never waits."""
        self._frames += 1
        while self._commands:
            self._obey(self._commands.popleft())
        if self._fading:
            frame, self._fading, self._sounding = fade_out(self._fading), b"", False
            return frame
        if self._paused:
            return SILENCE
        return self._play()

    def _play(self) -> bytes:
        current = self._head()
        pcm = b"" if current is None else self._take(current, FRAME_BYTES)
        self._sounding = len(pcm) == FRAME_BYTES
        if current is None or not pcm:
            if current is not None and current.samples:
                self._underruns += 1
            return SILENCE
        if current.exhausted():
            self._finish(current)
        else:
            self._report(current)
        frame = pcm.ljust(FRAME_BYTES, b"\0")
        if self._rejoin:
            self._rejoin = False
            return fade_in(frame)
        return frame

    def _head(self) -> _Utterance | None:
        """The utterance whose turn it is; those that were closed without audio are finished on the way."""
        while self._utterances:
            current = next(iter(self._utterances.values()))
            if not current.exhausted():
                return current
            self._finish(current)
        return None

    def _take(self, utterance: _Utterance, size: int) -> bytes:
        pcm = utterance.take(size)
        self._gone_bytes += len(pcm)
        if pcm:
            utterance.at_samples = self._frames * FRAME_SAMPLES
        return pcm

    def _report(self, utterance: _Utterance, *, finished: bool = False, cut: bool = False) -> None:
        self._reports.append(Progress(utterance.number, utterance.samples, finished, cut, utterance.at_samples))

    def _finish(self, utterance: _Utterance, *, cut: bool = False) -> None:
        del self._utterances[utterance.number]
        self._report(utterance, finished=True, cut=cut)

    def _obey(self, command: _Command) -> None:
        match command.op:
            case _Op.WRITE:
                utterance = self._utterances.setdefault(command.utterance, _Utterance(command.utterance))
                self._gone_bytes += utterance.put(command.clause, command.pcm, command.last)
            case _Op.CLOSE:
                self._utterances.setdefault(command.utterance, _Utterance(command.utterance)).closed = True
            case _Op.RETIRE:
                self._retire(command.utterance)
            case _Op.PAUSE:
                self._pause()
            case _Op.RESUME:
                self._paused = False
            case _:
                assert_never(command.op)

    def _retire(self, number: int) -> None:
        self._paused = False
        utterance = self._utterances.get(number)
        if utterance is None:
            return
        if utterance is next(iter(self._utterances.values())):
            self._fade(utterance)
            self._rejoin = False
        self._gone_bytes += utterance.waiting_bytes()
        self._finish(utterance, cut=True)

    def _pause(self) -> None:
        current = self._head()
        if not self._paused and current is not None:
            self._fade(current)
            self._report(current)
        self._paused = True

    def _fade(self, utterance: _Utterance) -> None:
        """If the last frame ended in the middle of sound, let the next 5 ms of it fade in the frame to come."""
        if not self._sounding or self._fading:
            return
        self._fading = self._take(utterance, FADE_BYTES)
        self._sounding = False
        self._rejoin = True
