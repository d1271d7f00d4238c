"""Speaking for all calls on one thread: fair between calls, first clauses first, ready-made sentences at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable

import msgspec

from appliance.engines.protocols import Voice
from appliance.engines.voices.line import pieces

_MOST_CLAUSES_PER_CALL = 64
_MOST_CACHED_BYTES = 64 * 1024 * 1024  # over an hour of speech


class Job(msgspec.Struct, frozen=True):
    """One clause to make. `call` "" is the daemon's own (`wire.Render`); then `name` is the line's name."""

    call: str
    utterance: int
    clause: int
    text: str
    name: str = ""


class SynthesisCounts(msgspec.Struct):
    cached: int = 0
    fresh: int = 0
    refused: int = 0
    failed: int = 0
    most_waiting: int = 0


Deliver = Callable[[Job, bytes, bool], None]


class Synthesis:
    """Turns jobs into pieces of at most 200 ms. `deliver(job, pcm, last)` is called on the synthesis thread, or within
    `speak` for a clause that is ready; exactly one call per job has `last`, unless the job was dropped.

    One clause is made at a time: of the waiting calls the one whose next clause comes earliest in its utterance, among
    equals the one that waited longest. Sentences given to `prepare` are made when nothing else is asked.
    """

    def __init__(self, voice: Voice, deliver: Deliver) -> None:
        self._voice = voice
        self._deliver = deliver
        self._wake = threading.Condition()
        self._waiting: dict[str, deque[Job]] = {}
        self._current: Job | None = None
        self._cache: dict[str, bytes] = {}
        self._cached_bytes = 0
        self._unprepared: deque[str] = deque()
        self._stopping = False
        self.counts = SynthesisCounts()
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="synthesis", daemon=True)
        self._thread.start()

    def prepare(self, clauses: Iterable[str]) -> None:
        """Make these and keep them, in this order, in idle time."""
        with self._wake:
            wanted = dict.fromkeys(clauses)
            self._unprepared = deque(text for text in wanted if text not in self._cache)
            self._wake.notify()

    def speak(self, job: Job) -> None:
        """Ready-made clauses are delivered before this returns, unless an earlier one of the call is still being made."""
        with self._wake:
            ready = self._cache.get(job.text)
            busy = job.call in self._waiting or (self._current is not None and self._current.call == job.call)
            if ready is None or busy:
                self._enqueue(job)
                return
            self.counts.cached += 1
        self._hand_out(job, ready)

    def drop(self, call: str, utterance: int | None = None) -> None:
        """Forget what is not yet made of this utterance, or of the whole call."""
        with self._wake:
            kept = deque(j for j in self._waiting.pop(call, ()) if utterance is not None and j.utterance != utterance)
            if kept:
                self._waiting[call] = kept
            current = self._current
            if current is not None and current.call == call and utterance in (None, current.utterance):
                self._current = None

    def prepared(self) -> tuple[int, int]:
        """How many sentences are ready, how many are still to be made."""
        with self._wake:
            return len(self._cache), len(self._unprepared)

    def stop(self) -> None:
        with self._wake:
            self._stopping = True
            self._current = None
            self._wake.notify()
        self._thread.join(timeout=2)

    def _enqueue(self, job: Job) -> None:
        jobs = self._waiting.setdefault(job.call, deque())
        if len(jobs) >= _MOST_CLAUSES_PER_CALL:
            self.counts.refused += 1
            self._deliver(job, b"", True)
            return
        jobs.append(job)
        self.counts.most_waiting = max(self.counts.most_waiting, sum(map(len, self._waiting.values())))
        self._wake.notify()

    def _run(self) -> None:
        try:
            while self._one():
                pass
        except BaseException as error:  # the thread's boundary: the worker reads `failure` and ends
            self.failure = error
            raise

    def _one(self) -> bool:
        """Make one clause, for a call or for the cache; False when stopped."""
        with self._wake:
            while not (self._stopping or self._waiting or self._unprepared):
                self._wake.wait()
            if self._stopping:
                return False
            job = self._next()
            text = job.text if job else self._unprepared.popleft()
            self._current = job
            ready = self._cache.get(text)
        if job is None:
            if ready is None:
                self._keep(text, b"".join(self._voice.synthesize(text)))
            return True
        if ready is not None:
            self.counts.cached += 1
            self._hand_out(job, ready, while_current=True)
        else:
            self.counts.fresh += 1
            self._make(job)
        with self._wake:
            if self._current is job:
                self._current = None
        return True

    def _next(self) -> Job | None:
        """The next job. The call goes to the end of the line."""
        if not self._waiting:
            return None
        call = min(self._waiting, key=lambda name: self._waiting[name][0].clause)
        jobs = self._waiting.pop(call)
        job = jobs.popleft()
        if jobs:
            self._waiting[call] = jobs
        return job

    def _make(self, job: Job) -> None:
        """One piece is held back, so that the last one can be marked."""
        held: bytes | None = None
        for piece in self._voice.synthesize(job.text):
            if self._current is not job:
                return
            if held is not None:
                self._deliver(job, held, False)
            held = piece
        if held is None:
            self.counts.failed += 1
        if self._current is job:
            self._deliver(job, held or b"", True)

    def _hand_out(self, job: Job, pcm: bytes, while_current: bool = False) -> None:
        parts = list(pieces(pcm)) or [b""]
        for i, part in enumerate(parts):
            if while_current and self._current is not job:
                return
            self._deliver(job, part, i == len(parts) - 1)

    def _keep(self, text: str, pcm: bytes) -> None:
        with self._wake:
            if self._cached_bytes + len(pcm) <= _MOST_CACHED_BYTES:
                self._cache[text] = pcm
                self._cached_bytes += len(pcm)
