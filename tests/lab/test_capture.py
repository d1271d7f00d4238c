from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.lab.capture import Follower
from tests.lab.faults import LabError

HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)


def record(seconds: int, payload: bytes, *, protocol: int = 17) -> bytes:
    udp = struct.pack(">HHHH", 4000, 5000, 8 + len(payload), 0) + payload
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, protocol, 0, b"\x7f\0\0\1", b"\x7f\0\0\1") + udp
    frame = bytes(14) + ip
    return struct.pack("<IIII", seconds, 250_000, len(frame), len(frame)) + frame


def test_a_growing_file_is_followed_in_any_pieces(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    follower = Follower(path)
    assert follower.new() == []
    data = HEADER + record(1, b"one") + record(2, b"tcp", protocol=6) + record(3, b"three")
    seen = []
    for end in range(0, len(data) + 1, 7):
        path.write_bytes(data[:end])
        seen += follower.new()
    path.write_bytes(data)
    seen += follower.new()
    assert [(d.at_us, d.source, d.target, d.payload) for d in seen] == [
        (1_250_000, 4000, 5000, b"one"),
        (3_250_000, 4000, 5000, b"three"),
    ]
    assert follower.new() == []


def test_a_file_that_is_no_capture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(b"x" * 100)
    with pytest.raises(LabError, match="not a capture"):
        Follower(path).new()
