"""What the daemon keeps for one SIP leg: its media, its audio time, and what of each utterance is voiced."""

from __future__ import annotations

from collections import deque

from appliance.audio.formats import FRAME_SAMPLES, SILENCE
from appliance.audio.playout import Playout
from appliance.audio.rings import FrameRing
from appliance.calls import effects, events
from appliance.calls.events import AnyEvent
from appliance.engines.wire import Audio

MAX_SKEW_FRAMES = 5  # received and sent frames come in pairs; beyond this one direction has stopped


class Leg:
    """Joins the rings of a call's media with the events that the core wants to hear about them."""

    def __init__(self, call: str, received: FrameRing, sent: FrameRing, playout: Playout) -> None:
        self.call = call
        self.at_samples = 0
        self.playout = playout
        self._received_ring = received
        self._sent_ring = sent
        self._received: deque[bytes] = deque()
        self._sent: deque[bytes] = deque()
        self._said: set[int] = set()
        self._final_clause: dict[int, int] = {}
        self._samples: dict[tuple[int, int], int] = {}  # what has come so far of (utterance, clause)
        self._done: set[tuple[int, int]] = set()

    def frames(self) -> list[tuple[bytes, bytes]]:
        """What came and what left since the last tick, as (caller, agent) frames: usually one pair."""
        self._received.extend(self._received_ring.drain())
        self._sent.extend(self._sent_ring.drain())
        count = min(len(self._received), len(self._sent))
        pairs = [(self._received.popleft(), self._sent.popleft()) for _ in range(count)]
        while len(self._received) > MAX_SKEW_FRAMES:
            pairs.append((self._received.popleft(), SILENCE))
        while len(self._sent) > MAX_SKEW_FRAMES:
            pairs.append((SILENCE, self._sent.popleft()))
        return pairs

    def next_moment(self) -> int:
        """Audio time at the end of one more frame, in samples."""
        self.at_samples += FRAME_SAMPLES
        return self.at_samples

    def say(self, effect: effects.Say) -> None:
        """A clause is on its way to the voice; its audio comes through `audio`."""
        self._said.add(effect.utterance)
        if effect.last:
            self._final_clause[effect.utterance] = effect.clause
            self._close_when_voiced(effect.utterance)

    def audio(self, piece: Audio) -> list[AnyEvent]:
        """A piece of a clause from the voice goes into the playout; a late one of what was hushed goes nowhere."""
        if piece.utterance not in self._said:
            return []
        self.playout.write(piece.utterance, piece.clause, piece.pcm, piece.last)
        key = (piece.utterance, piece.clause)
        self._samples[key] = self._samples.get(key, 0) + len(piece.pcm) // 2
        if not piece.last:
            return []
        self._done.add(key)
        self._close_when_voiced(piece.utterance)
        return [events.Voiced(self.call, piece.utterance, piece.clause, self._samples[key])]

    def play(self, utterance: int, pcm: bytes) -> list[AnyEvent]:
        """A line that the daemon holds goes into the playout, whole."""
        self.playout.write(utterance, 0, pcm, True)
        self.playout.close(utterance)
        return [events.Voiced(self.call, utterance, 0, len(pcm) // 2)]

    def hush(self, utterance: int) -> None:
        """Drop what is left of it."""
        self.playout.retire(utterance)
        self._forget(utterance)

    def progress(self) -> list[AnyEvent]:
        """What left since the last tick."""
        out: list[AnyEvent] = []
        for p in self.playout.progress():
            out.append(events.Played(self.call, p.utterance, p.samples, p.finished, p.at_samples))
            if p.finished:
                self._forget(p.utterance)
        return out

    @property
    def underruns(self) -> int:
        """Frames of silence sent in the middle of an utterance."""
        return self.playout.stats().underruns

    @property
    def overruns(self) -> int:
        """Frames or pieces that had no room."""
        return self._received_ring.stats().overruns + self._sent_ring.stats().overruns + self.playout.stats().overruns

    def _close_when_voiced(self, utterance: int) -> None:
        final = self._final_clause.get(utterance)
        if final is not None and all((utterance, clause) in self._done for clause in range(final + 1)):
            self.playout.close(utterance)

    def _forget(self, utterance: int) -> None:
        self._said.discard(utterance)
        self._final_clause.pop(utterance, None)
        self._samples = {key: n for key, n in self._samples.items() if key[0] != utterance}
        self._done = {key for key in self._done if key[0] != utterance}
