"""The far end of the media bench, in a process of its own: a registrar and many callers over bare UDP sockets.

Not pjsua2: what is measured is when the appliance's packets reach the kernel here, and that is stamped by the kernel
(SO_TIMESTAMPNS) on plain sockets, without a jitter buffer or another Python clock in between.

usage: python -m appliance.bench.peer CALLS SECONDS
Prints one JSON object a line: the SIP port to register at, "talking" and "done" when they begin, and the lateness found.
"""

from __future__ import annotations

import json
import re
import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Mapping

HOST = "127.0.0.1"
FRAME_S = 0.02
ANSWER_S = 10.0
SO_TIMESTAMPNS = 35  # linux/asm-generic/socket.h; not in Python's socket module
_PCMU_TONE = bytes([0x9E, 0x9E, 0x1E, 0x1E] * 40)  # 2 kHz, so that levels and detectors have something to look at
_AUDIO_PORT = re.compile(r"^m=audio (\d+) ", re.MULTILINE)


class Packets:
    """What one call sent us: kernel time, sequence number and RTP timestamp of each packet."""

    def __init__(self) -> None:
        self.at_s: list[float] = []
        self.rtp_samples: list[int] = []


def lateness_ms(packets: Packets) -> list[float]:
    """How late each packet came, against the grid that its own RTP timestamps and its most punctual packets draw.

    The first quarter second is left out: the stream is being set up.
    """
    if not packets.at_s:
        return []
    first = packets.rtp_samples[0]
    offsets = [at - ((ts - first) & 0xFFFFFFFF) / 8000 for at, ts in zip(packets.at_s, packets.rtp_samples, strict=True)]
    settled = [o for o, at in zip(offsets, packets.at_s, strict=True) if at - packets.at_s[0] >= 0.25]
    base = min(settled, default=0.0)
    return [(o - base) * 1000 for o in settled]


class Caller:
    """One call: an RTP socket and the dialog's identifiers."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.call_id = f"bench-{number}@{HOST}"
        self.rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.rtp.bind((HOST, 0))
        self.rtp.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.rtp.setblocking(False)
        self.to_tag = ""
        self.contact = ""
        self.remote_rtp: tuple[str, int] | None = None
        self.packets = Packets()
        self._seq = 0

    def send_frame(self) -> None:
        if self.remote_rtp is not None:
            head = struct.pack(">BBHII", 0x80, 0, self._seq & 0xFFFF, self._seq * 160 & 0xFFFFFFFF, self.number)
            self._seq += 1
            self.rtp.sendto(head + _PCMU_TONE, self.remote_rtp)

    def receive(self) -> None:
        """Take everything that is there."""
        while True:
            try:
                data, ancillary, _flags, _address = self.rtp.recvmsg(2048, 64)
            except BlockingIOError:
                return
            seconds, nanoseconds = struct.unpack("qq", ancillary[0][2][:16])
            if len(data) >= 12 and data[0] >> 6 == 2 and data[1] & 0x7F == 0:
                self.packets.at_s.append(seconds + nanoseconds / 1e9)
                self.packets.rtp_samples.append(struct.unpack_from(">I", data, 4)[0])


class Peer:
    """Registrar and callers on one SIP socket. Knows as much SIP as one well-behaved appliance on loopback needs."""

    def __init__(self, calls: int) -> None:
        self.sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sip.bind((HOST, 0))
        self.port = self.sip.getsockname()[1]
        self.callers = {f"bench-{n}@{HOST}": Caller(n) for n in range(calls)}
        self.registered: tuple[str, int] | None = None
        self.ended = 0

    def run(self, seconds: float) -> None:
        """Wait for the registration, place all calls, exchange audio for so long, hang up."""
        self._until(lambda: self.registered is not None, "the appliance did not register")
        for caller in self.callers.values():
            self._invite(caller)
        self._until(lambda: all(c.remote_rtp is not None for c in self.callers.values()), "not every call was answered")
        _say({"phase": "talking"})
        due = time.monotonic()
        end = due + seconds
        while due < end:
            due += FRAME_S
            for caller in self.callers.values():
                caller.send_frame()
            while (left := due - time.monotonic()) > 0:
                self._poll(left)
        _say({"phase": "done"})
        sys.stdin.readline()  # the bench reads the appliance's counters while the calls are up
        for caller in self.callers.values():
            self._send(self._request(caller, "BYE", 2))
        self._until(lambda: self.ended == len(self.callers), "not every BYE was answered")

    def _until(self, done: Callable[[], bool], complaint: str) -> None:
        deadline = time.monotonic() + ANSWER_S
        while not done():
            if time.monotonic() > deadline:
                raise SystemExit(f"bench: {complaint} within {ANSWER_S:.0f} s")
            self._poll(0.05)

    def _poll(self, timeout_s: float) -> None:
        sockets = [self.sip, *(c.rtp for c in self.callers.values())]
        ready = select.select(sockets, [], [], timeout_s)[0]
        if self.sip in ready:
            data, address = self.sip.recvfrom(65536)
            self._received(data.decode(errors="replace"), address)
        for caller in self.callers.values():
            if caller.rtp in ready:
                caller.receive()

    def _received(self, message: str, address: tuple[str, int]) -> None:
        start = message.split("\r\n", 1)[0]
        if not start.startswith("SIP/2.0"):
            self._answer(message, address)
            return
        caller = self.callers.get(_header(message, "Call-ID"))
        code, method = int(start.split()[1]), _header(message, "CSeq").split()[1]
        if caller is None or code < 200:
            return
        if method == "BYE":
            self.ended += 1
        elif code < 300:
            caller.to_tag = _header(message, "To").partition("tag=")[2]
            caller.contact = _header(message, "Contact").strip("<>").split(">")[0]
            port = _AUDIO_PORT.search(message)
            self._send(self._request(caller, "ACK", 1))
            caller.remote_rtp = (HOST, int(port[1])) if port else None
        else:
            raise SystemExit(f"bench: the appliance refused a call: {start}")

    def _answer(self, request: str, address: tuple[str, int]) -> None:
        """Everything the appliance asks is fine."""
        method = request.split(" ", 1)[0]
        if method == "ACK":
            return
        copied = [f"{name}: {_header(request, name)}" for name in ("Via", "From", "Call-ID", "CSeq")]
        to = _header(request, "To")
        copied.append(f"To: {to}" if "tag=" in to else f"To: {to};tag=bench")
        if method == "REGISTER":
            copied += [f"Contact: {_header(request, 'Contact')}", "Expires: 300"]
            self.registered = address
        self.sip.sendto("\r\n".join(["SIP/2.0 200 OK", *copied, "Content-Length: 0", "", ""]).encode(), address)

    def _invite(self, caller: Caller) -> None:
        sdp = (
            f"v=0\r\no=- 1 1 IN IP4 {HOST}\r\ns=-\r\nc=IN IP4 {HOST}\r\nt=0 0\r\n"
            f"m=audio {caller.rtp.getsockname()[1]} RTP/AVP 0\r\na=ptime:20\r\n"
        )
        self._send(self._request(caller, "INVITE", 1, sdp))

    def _request(self, caller: Caller, method: str, cseq: int, body: str = "") -> str:
        assert self.registered is not None
        target = caller.contact or f"sip:bench@{self.registered[0]}:{self.registered[1]}"
        to_tag = f";tag={caller.to_tag}" if caller.to_tag else ""
        lines = [
            f"{method} {target} SIP/2.0",
            f"Via: SIP/2.0/UDP {HOST}:{self.port};branch=z9hG4bK-{caller.number}-{method}",
            "Max-Forwards: 70",
            f'From: "bench" <sip:{caller.number}@{HOST}:{self.port}>;tag=c{caller.number}',
            f"To: <sip:bench@{HOST}>{to_tag}",
            f"Call-ID: {caller.call_id}",
            f"CSeq: {cseq} {method}",
            f"Contact: <sip:{caller.number}@{HOST}:{self.port}>",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join([*lines, "", body])

    def _send(self, message: str) -> None:
        assert self.registered is not None
        self.sip.sendto(message.encode(), self.registered)


def _header(message: str, name: str) -> str:
    found = re.search(rf"^{name}\s*:\s*(.*?)\s*$", message, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


def _say(message: Mapping[str, object]) -> None:
    print(json.dumps(message), flush=True)


def main() -> None:
    calls, seconds = int(sys.argv[1]), float(sys.argv[2])
    peer = Peer(calls)
    _say({"port": peer.port})
    peer.run(seconds)
    late = [ms for caller in peer.callers.values() for ms in lateness_ms(caller.packets)]
    _say({"late_ms": [round(ms, 3) for ms in late]})


if __name__ == "__main__":
    main()
