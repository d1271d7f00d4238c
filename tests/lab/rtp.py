"""One direction of a call's audio, rebuilt from its RTP packets (RFC 3550, payload formats of RFC 3551). Pure."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tests.lab.capture import Datagram

RATE_HZ = 8000
PCMU, PCMA = 0, 8
Pcm = npt.NDArray[np.int16]


def _mulaw_table() -> Pcm:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = ((((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _alaw_table() -> Pcm:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment = (code & 0x70) >> 4
    magnitude = (code & 0x0F) << 4
    magnitude = np.where(segment == 0, magnitude + 8, (magnitude + 0x108) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


_TABLES = {PCMU: _mulaw_table(), PCMA: _alaw_table()}


class RtpPacket(NamedTuple):
    at_us: int
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


def parse(datagram: Datagram) -> RtpPacket | None:
    """The datagram as RTP, None where it is something else (RTCP, noise)."""
    data = datagram.payload
    if len(data) < 12 or data[0] >> 6 != 2:
        return None
    payload_type = data[1] & 0x7F
    if 72 <= payload_type <= 76:  # RTCP (RFC 5761 section 4)
        return None
    sequence, timestamp, ssrc = struct.unpack_from(">HII", data, 2)
    begin = 12 + 4 * (data[0] & 15)
    if data[0] & 0x10 and len(data) >= begin + 4:
        begin += 4 + 4 * struct.unpack_from(">H", data, begin + 2)[0]
    stop = len(data) - (data[-1] if data[0] & 0x20 else 0)
    return RtpPacket(datagram.at_us, payload_type, sequence, timestamp, ssrc, data[begin:stop])


@dataclass(frozen=True)
class Leg:
    """Audio of one direction on one sample clock, and which packet brought each piece.

    `starts` are the packets' first samples in `pcm`, ascending, `at_s` their arrivals (seconds since 1970). Lost audio
    is silence in `pcm` and has no packet. `sources` says which stream (SSRC) each packet belongs to.
    """

    pcm: Pcm
    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    at_s: npt.NDArray[np.float64]
    sources: npt.NDArray[np.int64]
    lost: int

    def packet_of(self, sample: int) -> int | None:
        """Index of the packet that brought `sample`, None where it was lost."""
        index = int(np.searchsorted(self.starts, sample, side="right")) - 1
        if index < 0 or sample >= self.starts[index] + self.lengths[index]:
            return None
        return index

    def time_of(self, sample: int) -> float:
        """When that sample's packet arrived; where it was lost, when it should have."""
        if not len(self.at_s):
            return 0.0
        index = min(max(int(np.searchsorted(self.starts, sample, side="right")) - 1, 0), len(self.starts) - 1)
        if sample < self.starts[index] + self.lengths[index]:
            return float(self.at_s[index])
        return float(self.at_s[index] + (sample - self.starts[index]) / RATE_HZ)


def rebuild(packets: Iterable[RtpPacket]) -> Leg:
    """G.711 packets of one direction in order of arrival -> audio. Duplicates are dropped, order is by timestamp.

    A new SSRC, or a timestamp that jumps by more than 10 s, starts a new piece at its arrival time.
    """
    pieces: list[list[RtpPacket]] = []
    for packet in packets:
        if packet.payload_type not in _TABLES or not packet.payload:
            continue
        last = pieces[-1][-1] if pieces else None
        jump = 0 if last is None else (packet.timestamp - last.timestamp + (1 << 31)) % (1 << 32) - (1 << 31)
        if last is None or packet.ssrc != last.ssrc or abs(jump) > 10 * RATE_HZ:
            pieces.append([])
        pieces[-1].append(packet)
    if not pieces:
        empty = np.zeros(0, np.int64)
        return Leg(np.zeros(0, np.int16), empty, empty, np.zeros(0), empty, 0)
    first_us = pieces[0][0].at_us
    rows: list[tuple[int, RtpPacket]] = []
    lost = 0
    free = 0
    for piece in pieces:
        base = max(free, round((piece[0].at_us - first_us) * RATE_HZ / 1e6))
        known: dict[int, RtpPacket] = {}
        for packet in piece:
            offset = (packet.timestamp - piece[0].timestamp + (1 << 31)) % (1 << 32) - (1 << 31)
            known.setdefault(offset, packet)
        shift = base - min(known)
        lost += _missing(known)
        placed = sorted((offset + shift, packet) for offset, packet in known.items())
        rows += placed
        free = placed[-1][0] + len(placed[-1][1].payload)
    pcm = np.zeros(free, np.int16)
    for start, packet in rows:
        pcm[start : start + len(packet.payload)] = _TABLES[packet.payload_type][np.frombuffer(packet.payload, np.uint8)]
    return Leg(
        pcm,
        np.array([start for start, _ in rows], np.int64),
        np.array([len(packet.payload) for _, packet in rows], np.int64),
        np.array([packet.at_us for _, packet in rows], np.float64) / 1e6,
        np.array([packet.ssrc for _, packet in rows], np.int64),
        lost,
    )


def _missing(known: dict[int, RtpPacket]) -> int:
    """How many sequence numbers between the first and the last packet did not come."""
    ordered = [known[offset] for offset in sorted(known)]
    steps = ((b.sequence - a.sequence) % 65536 for a, b in itertools.pairwise(ordered))
    return sum(step - 1 for step in steps if 1 < step < 1000)
