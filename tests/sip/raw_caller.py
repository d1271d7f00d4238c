"""One call on a bare UDP socket: a dialer that sends what pj or Asterisk would not, byte for byte."""

from __future__ import annotations

import random
import re
import socket
from types import TracebackType

WAIT_S = 8.0


class RawCaller:
    """Calls `port`. Every request is one packet; `answer` is the next final answer to it. Use as a context manager."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._port = port
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind((host, 0))
        self._sock.settimeout(WAIT_S)
        self.us = f"{host}:{self._sock.getsockname()[1]}"
        self._host = host
        self._call_id = f"{random.random()}@{host}"
        self._to = f"<sip:8371@127.0.0.1:{port}>"
        self._cseq = 101
        self._branch = ""
        self._sdp_version = 0

    def __enter__(self) -> RawCaller:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._sock.close()

    def sdp(self, payload: str = "0 PCMU/8000", direction: str = "sendrecv") -> str:
        self._sdp_version += 1
        return (
            f"v=0\r\no=- 1 {self._sdp_version} IN IP4 {self._host}\r\ns=-\r\nc=IN IP4 {self._host}\r\nt=0 0\r\n"
            f"m=audio 4000 RTP/AVP {payload.split()[0]}\r\na=rtpmap:{payload}\r\na={direction}\r\n"
        )

    def send(self, method: str, *headers: str, body: str = "", name: str = "") -> bytes:
        """One request within the call, or its first; returns the packet, to be sent again with `resend`."""
        if method != "ACK":
            self._cseq += 1
            self._branch = f"z9hG4bK{random.random()}"
        shown = f'"{name}" ' if name else ""
        lines = [
            f"{method} sip:8371@127.0.0.1:{self._port} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.us};branch={self._branch if method != 'ACK' else f'z9hG4bK{random.random()}'};rport",
            "Max-Forwards: 70",
            f"From: {shown}<sip:4155550023@{self.us}>;tag=as1",
            f"To: {self._to}",
            f"Call-ID: {self._call_id}",
            f"CSeq: {self._cseq} {method}",
            f"Contact: <sip:4155550023@{self.us}>",
            *headers,
        ]
        if body:
            lines.append("Content-Type: application/sdp")
        packet = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]).encode("utf-8", "surrogateescape")
        self.resend(packet)
        return packet

    def resend(self, packet: bytes) -> None:
        self._sock.sendto(packet, ("127.0.0.1", self._port))

    def receive(self) -> str:
        """The next message, whatever it is."""
        message = self._sock.recv(8192).decode()
        to = re.search(r"^To: *(.*;tag=.*)$", message, re.MULTILINE)
        if message.startswith("SIP/2.0 2") and to is not None:
            self._to = to[1].strip()
        return message

    def silent(self) -> bool:
        """Whether nothing has come that was not read."""
        self._sock.setblocking(False)
        try:
            self._sock.recv(8192)
        except BlockingIOError:
            return True
        return False

    def answer(self) -> str:
        """The next final answer."""
        while True:
            message = self.receive()
            if message.startswith("SIP/2.0") and not message.startswith("SIP/2.0 1"):
                return message

    @property
    def dialog(self) -> str:
        """What a Replaces header says of this call (RFC 3891): our side of it is the local one of the one who is asked."""
        tag = self._to.rpartition("tag=")[2]
        return f"{self._call_id};to-tag={tag};from-tag=as1"
