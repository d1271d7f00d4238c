"""What went over the wire: tcpdump on loopback with the kernel's times, and a reader that can follow the growing file."""

from __future__ import annotations

import signal
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.lab.faults import LabError
from tests.lab.processes import end, spawn

_MAGIC_US = 0xA1B2C3D4
_FILE_HEADER = struct.Struct("<IHHiIII")
_RECORD_HEADER = struct.Struct("<IIII")
_ETHERNET_BYTES = 14
_UDP_BYTES = 8
_PROTOCOL_UDP = 17


class Datagram(NamedTuple):
    """One UDP datagram; `at_us` is the kernel's arrival time, microseconds since 1970."""

    at_us: int
    source: int
    target: int
    payload: bytes


class Follower:
    """Reads a pcap file (microseconds, Ethernet framing, IPv4) while it is being written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rest = b""
        self._read = 0

    def new(self) -> list[Datagram]:
        """The datagrams that were added since the last call. Raises LabError where the file is no such capture."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        began, self._read = self._read == 0, self._read + len(data)
        self._rest += data
        if began and self._rest:
            if len(self._rest) < _FILE_HEADER.size:
                self._rest, self._read = b"", 0
                return []
            if _FILE_HEADER.unpack_from(self._rest)[0] != _MAGIC_US:
                raise LabError(f"{self._path}: not a capture with microseconds")
            self._rest = self._rest[_FILE_HEADER.size :]
        return list(self._datagrams())

    def _datagrams(self) -> Iterator[Datagram]:
        at = 0
        data = self._rest
        while at + _RECORD_HEADER.size <= len(data):
            seconds, micros, length, _ = _RECORD_HEADER.unpack_from(data, at)
            begin = at + _RECORD_HEADER.size
            if begin + length > len(data):
                break
            at = begin + length
            ip = data[begin + _ETHERNET_BYTES : at]
            if len(ip) < 20 or ip[0] >> 4 != 4 or ip[9] != _PROTOCOL_UDP:
                continue
            udp = ip[(ip[0] & 15) * 4 :]
            source, target, size = struct.unpack_from(">HHH", udp)
            yield Datagram(seconds * 1_000_000 + micros, source, target, udp[_UDP_BYTES:size])
        self._rest = data[at:]


class Capture:
    """tcpdump on loopback for a range of UDP ports, into a file. Use as a context manager."""

    def __init__(self, path: Path, ports: range) -> None:
        self.path = path
        self._log = path.with_suffix(".log")
        wanted = f"udp and portrange {ports.start}-{ports.stop - 1}"
        options = ["-i", "lo", "-n", "-U", "--immediate-mode", "-s", "0", "-B", "8192", "-Z", "root", "-w", str(path)]
        with self._log.open("wb") as log:
            self._process = spawn(["tcpdump", *options, wanted], stderr=log)
        deadline = time.monotonic() + 5
        while "listening on" not in self._log.read_text(errors="replace"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = self._log.read_text(errors="replace").strip()
                end(self._process)
                raise LabError(f"the capture does not start: {said}", hint="apt-get install tcpdump, and run as root")
            time.sleep(0.02)

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        end(self._process, first=signal.SIGINT)
