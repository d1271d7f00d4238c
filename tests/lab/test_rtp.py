from __future__ import annotations

import struct

import numpy as np
import pytest

from tests.lab.capture import Datagram
from tests.lab.reference import encode
from tests.lab.rtp import PCMA, RtpPacket, parse, rebuild

QUIET = b"\xff" * 160


def packet(number: int, *, at_us: int | None = None, ssrc: int = 1, payload: bytes = QUIET, timestamp: int = -1) -> RtpPacket:
    when = number * 20_000 if at_us is None else at_us
    return RtpPacket(when, 0, number & 0xFFFF, number * 160 if timestamp < 0 else timestamp, ssrc, payload)


def test_mulaw_survives_its_own_encoder() -> None:
    """G.711: at most half a quantization step off, which is 1/32 of the segment."""
    pcm = np.arange(-32000, 32000, 7, dtype=np.int16)[:8000]
    leg = rebuild([packet(0, payload=encode(pcm))])
    error = np.abs(leg.pcm.astype(int) - pcm)
    assert np.all(error <= np.maximum(8, np.abs(pcm.astype(int)) / 16 + 8))


def test_alaw_is_decoded_by_its_own_table() -> None:
    """ITU-T G.711 table 1a: 0xD5 is the smallest positive value, 0xAA the largest, 0x2A the most negative."""
    leg = rebuild([RtpPacket(0, PCMA, 0, 0, 1, bytes([0xD5, 0x55, 0xAA, 0x2A]))])
    assert leg.pcm.tolist() == [8, -8, 32256, -32256]


@pytest.mark.parametrize(
    "data",
    [b"", b"\x80\x00short", b"\x40" + bytes(20), b"\x80" + bytes([200]) + bytes(30)],
    ids=["empty", "short", "version 1", "RTCP"],
)
def test_what_is_no_rtp_is_none(data: bytes) -> None:
    assert parse(Datagram(0, 1, 2, data)) is None


def test_header_extension_sources_and_padding_are_not_audio() -> None:
    header = struct.pack(">BBHII", 0x80 | 0x20 | 0x10 | 1, 0, 5, 800, 9)
    data = header + bytes(4) + struct.pack(">HH", 0, 1) + bytes(4) + b"AUDIO" + b"\0\0\3"
    found = parse(Datagram(1, 2, 3, data))
    assert found is not None
    assert (found.payload, found.sequence, found.timestamp, found.ssrc) == (b"AUDIO", 5, 800, 9)


def test_order_is_by_timestamp_and_duplicates_are_dropped() -> None:
    loud = encode(np.full(160, 4000, np.int16))
    packets = [packet(0), packet(2, payload=loud), packet(1), packet(1), packet(3)]
    leg = rebuild(packets)
    assert leg.starts.tolist() == [0, 160, 320, 480]
    assert abs(int(leg.pcm[320]) - 4000) < 130
    assert leg.lost == 0


def test_what_is_lost_is_silence_and_counted() -> None:
    leg = rebuild([packet(0), packet(3)])
    assert len(leg.pcm) == 4 * 160
    assert leg.lost == 2
    assert leg.packet_of(160) is None
    assert leg.packet_of(480) == 1
    assert leg.time_of(200) == pytest.approx(0.025)


def test_a_wrapping_timestamp_and_sequence_go_on() -> None:
    top = (1 << 32) - 160
    packets = [
        RtpPacket(0, 0, 65535, top, 1, QUIET),
        RtpPacket(20_000, 0, 0, 0, 1, QUIET),
        RtpPacket(40_000, 0, 1, 160, 1, QUIET),
    ]
    leg = rebuild(packets)
    assert leg.starts.tolist() == [0, 160, 320]
    assert leg.lost == 0


def test_a_new_stream_is_placed_by_its_arrival() -> None:
    leg = rebuild([packet(0), packet(1), packet(900, at_us=1_000_000, ssrc=2, timestamp=77)])
    assert leg.starts.tolist() == [0, 160, 8000]


def test_nothing_is_an_empty_leg() -> None:
    leg = rebuild([RtpPacket(0, 101, 0, 0, 1, b"1234")])
    assert len(leg.pcm) == 0
    assert leg.time_of(5) == 0
