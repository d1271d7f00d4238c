"""Calls made of packets with exact times, for tests of the meter. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tests.lab.meter import SpokenTurn
from tests.lab.reference import encode
from tests.lab.rtp import Leg, Pcm, RtpPacket, rebuild
from tests.lab.voices import RATE_HZ, spoken

FRAME = 160
BEGAN_AT_S = 1_000_000.0


def speech(text: str, voice: str) -> Pcm:
    return spoken(text, voice)


def stream(parts: Sequence[tuple[float, Pcm]], length_s: float, *, lost: Iterable[int] = (), ssrc: int = 7) -> Leg:
    """A leg whose speech begins at those seconds; packet n leaves at n * 20 ms sharp. `lost` never arrive."""
    pcm = np.zeros(round(length_s * RATE_HZ), np.int16)
    for at_s, piece in parts:
        begin = round(at_s * RATE_HZ)
        pcm[begin : begin + len(piece)] = piece
    data = encode(pcm)
    gone = set(lost)
    return rebuild(
        RtpPacket(round((BEGAN_AT_S + n * 0.02) * 1e6), 0, n, n * FRAME, ssrc, data[n * FRAME : (n + 1) * FRAME])
        for n in range(len(data) // FRAME)
        if n not in gone
    )


def turn(at_s: float, piece: Pcm, *, complete: bool = True) -> SpokenTurn:
    """The customer's log of a piece in `stream`."""
    begin = BEGAN_AT_S + at_s
    return SpokenTurn("words", begin, begin + len(piece) / RATE_HZ, complete)
