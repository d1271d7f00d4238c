"""What the meter is calibrated against: a caller and an answerer whose delay is random, known, and hidden from the meter.

Both speak plain RTP over loopback. The answerer is told which packet is the last with speech of each clip, waits a
random time from its arrival, and then sends its first packet with speech; what it really took is what the meter must
find from the capture alone.
"""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.lab.capture import Capture, Follower
from tests.lab.meter import SpokenTurn, measure
from tests.lab.processes import HOST, free_ports
from tests.lab.rtp import parse, rebuild
from tests.lab.voices import Pcm, spoken

FRAME = 160
SILENCE = b"\xff" * FRAME
CLIPS = ("Yes, I do.", "In March.", "Nineteen eighty seven.", "No, no claims.", "Who is this?", "Stop calling me.")
ANSWERS = ("Is your home insured right now?", "Thank you.", "About what year was it built?", "I understand.", "Sorry.")
SHORTEST_S, LONGEST_S = 0.06, 0.9


def encode(pcm: Pcm) -> bytes:
    """G.711 mu-law (ITU-T G.711)."""
    wide = pcm.astype(np.int32)
    magnitude = np.minimum(np.abs(wide) + 132, 32767)
    exponent = np.floor(np.log2(magnitude)).astype(np.int32) - 7
    code = ~(((wide < 0).astype(np.int32) << 7) | (exponent << 4) | ((magnitude >> (exponent + 3)) & 0x0F)) & 0xFF
    return bytes(code.astype(np.uint8))


def packets(pcm: Pcm) -> list[bytes]:
    data = encode(pcm)
    data += SILENCE[: -len(data) % FRAME]
    return [data[at : at + FRAME] for at in range(0, len(data), FRAME)]


@dataclass
class _Sender:
    """Sends one RTP stream; a stream may be put off, as an answerer does that starts between two beats."""

    to: int
    socket: socket.socket
    sequence: int = field(default_factory=lambda: random.randrange(1000))
    timestamp: int = field(default_factory=lambda: random.randrange(1 << 30))
    ssrc: int = field(default_factory=lambda: random.randrange(1 << 32))

    def send(self, payload: bytes) -> None:
        header = struct.pack(">BBHII", 0x80, 0, self.sequence & 0xFFFF, self.timestamp & 0xFFFFFFFF, self.ssrc)
        self.sequence += 1
        self.timestamp += FRAME
        self.socket.sendto(header + payload, (HOST, self.to))


@dataclass
class Exchange:
    """One run of one pair: who said what when, and the delays that were really taken, in ms."""

    caller_port: int
    turns: list[SpokenTurn] = field(default_factory=list)
    delays_ms: list[float] = field(default_factory=list)


class _Pair(threading.Thread):
    def __init__(self, caller_port: int, answerer_port: int, clips: Sequence[Pcm], answers: Sequence[Pcm], seed: int) -> None:
        super().__init__(daemon=True)
        self.exchange = Exchange(caller_port)
        self._random = random.Random(seed)
        self._clips, self._answers = clips, answers
        self._caller = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._caller.bind((HOST, caller_port))
        self._answerer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._answerer.bind((HOST, answerer_port))
        self._answerer.setblocking(False)
        self._out = _Sender(answerer_port, self._caller)
        self._back = _Sender(caller_port, self._answerer)
        self._last_speech = -1
        self._arrived_at_s: float | None = None

    def run(self) -> None:
        with self._caller, self._answerer:
            self._idle(0.4)
            for clip, answer in zip(self._clips, self._answers, strict=True):
                self._turn(packets(clip), packets(answer))
                self._idle(self._random.uniform(0.6, 0.8))

    def _turn(self, clip: list[bytes], answer: list[bytes]) -> None:
        self._last_speech, self._arrived_at_s = self._out.sequence + len(clip) - 1, None
        began = time.time()
        self._run(clip, [])
        self.exchange.turns.append(SpokenTurn("clip", began, time.time()))
        delay_s = self._random.uniform(SHORTEST_S, LONGEST_S)
        arrived_at_s = self._arrival()
        self._run([], [], until_s=arrived_at_s + delay_s)
        first_at_s = time.time()
        self._back.send(answer[0])
        self.exchange.delays_ms.append((first_at_s - arrived_at_s) * 1000)
        time.sleep(0.02)
        self._run([], answer[1:])

    def _arrival(self) -> float:
        """When the clip's last packet with speech came; loopback loses none."""
        self._receive()
        assert self._arrived_at_s is not None
        return self._arrived_at_s

    def _idle(self, seconds: float) -> None:
        self._run([], [], until_s=time.time() + seconds)

    def _run(self, mine: list[bytes], theirs: list[bytes], until_s: float = 0.0) -> None:
        """Both streams, a packet each per 20 ms, until the lists are out and the time is reached."""
        beat_s = time.time()
        for beat in range(1 << 30):
            if beat >= max(len(mine), len(theirs)) and beat_s >= until_s:
                return
            self._out.send(mine[beat] if beat < len(mine) else SILENCE)
            if not until_s or until_s - beat_s > 0.02:
                self._back.send(theirs[beat] if beat < len(theirs) else SILENCE)
            self._receive()
            beat_s = min(beat_s + 0.02, until_s) if until_s and beat_s < until_s else beat_s + 0.02
            time.sleep(max(0.0, beat_s - time.time()))
            self._receive()

    def _receive(self) -> None:
        while True:
            try:
                data = self._answerer.recv(2048)
            except BlockingIOError:
                return
            if self._arrived_at_s is None and struct.unpack_from(">H", data, 2)[0] == self._last_speech & 0xFFFF:
                self._arrived_at_s = time.time()


@dataclass(frozen=True)
class Calibration:
    """How far the meter was off, in ms, over `n` gaps of `of`; `discarded` has the reasons."""

    n: int
    of: int
    bias_ms: float
    worst_ms: float
    discarded: list[str]

    @property
    def good(self) -> bool:
        """Every gap within 20 ms, and few were discarded."""
        return self.n >= 0.9 * self.of and self.worst_ms <= 20


def calibrate(folder: Path, *, pairs: int = 6, turns: int = 4, seed: int | None = None) -> Calibration:
    """Run the pairs side by side, capture, measure, compare. About 2 s a turn."""
    chosen = random.Random(seed)
    first = free_ports(4 * pairs)
    runs = []
    for index in range(pairs):
        clips = [spoken(chosen.choice(CLIPS), chosen.choice(("rms", "awb", "kal16"))) for _ in range(turns)]
        answers = [spoken(chosen.choice(ANSWERS), "slt") for _ in range(turns)]
        runs.append(_Pair(first + 4 * index, first + 4 * index + 2, clips, answers, chosen.randrange(1 << 30)))
    path = folder / "calibration.pcap"
    with Capture(path, range(first, first + 4 * pairs)):
        for run in runs:
            run.start()
        for run in runs:
            run.join(60)
    datagrams = Follower(path).new()
    errors: list[float] = []
    discarded: list[str] = []
    for run in runs:
        port = run.exchange.caller_port
        caller = rebuild(p for d in datagrams if d.source == port and (p := parse(d)))
        agent = rebuild(p for d in datagrams if d.target == port and (p := parse(d)))
        report = measure(caller, agent, run.exchange.turns)
        errors += [gap.gap_ms - run.exchange.delays_ms[gap.turn] for gap in report.gaps]
        discarded += [one.reason for one in report.discarded]
    bias = float(np.mean(errors)) if errors else float("nan")
    worst = max((abs(e) for e in errors), default=float("inf"))
    return Calibration(len(errors), pairs * turns, bias, worst, discarded)
