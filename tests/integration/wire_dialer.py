"""A dialer on bare UDP sockets, driven call by call: it can do what no well-behaved one does.

Built on the media bench's far end, whose registrar says yes to everything and whose callers send a tone that only a
voice detector could take for speech. Everything runs in a thread of its own; what a test asks for waits for its turn there.
"""

from __future__ import annotations

import contextlib
import queue
import re
import socket
import threading
import time
from collections.abc import Callable

from appliance.bench.peer import FRAME_S, HOST, Caller, Peer
from tests.box import eventually

_METHOD = re.compile(r"[A-Z]+")


class WireDialer(Peer):
    """Registrar and callers. Use as a context manager; `place` and `hang_up` are for the test's thread."""

    def __init__(self, calls: int = 1) -> None:
        super().__init__(calls)
        self.registers: list[str] = []
        self.ended_by_us: set[str] = set()
        self.deaf = False
        self.ignored = 0
        self.from_name = b"V1122000000000000042"
        self._todo: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._drive, name="dialer")

    def __enter__(self) -> WireDialer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(5)
        self.sip.close()
        for caller in self.callers.values():
            caller.rtp.close()

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def caller(self, number: int = 0) -> Caller:
        return self.callers[f"bench-{number}@{HOST}"]

    def place(self, number: int = 0) -> Caller:
        """Call the phone and wait until it has answered and its audio comes."""
        caller = self.caller(number)
        eventually(lambda: self.registered is not None, "a registration")
        self._todo.put(lambda: self._invite(caller))
        eventually(lambda: len(caller.packets.at_s) >= 5, "an answered call with audio")
        return caller

    def hang_up(self, number: int = 0) -> None:
        caller = self.caller(number)
        self._todo.put(lambda: self._send(self._request(caller, "BYE", 2)))

    def throw(self, data: bytes, address: tuple[str, int], *, sip: bool = True) -> None:
        """Raw bytes at a port of the appliance; from the dialer's own SIP port, or from a stranger's."""
        if sip:
            self._todo.put(lambda: self._throw(self.sip, data, address))
        else:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.sendto(data, address)

    @staticmethod
    def _throw(source: socket.socket, data: bytes, address: tuple[str, int]) -> None:
        source.sendto(data, address)

    # The dialer's thread ---------------------------------------------------------------------------------------------

    def _drive(self) -> None:
        due = time.monotonic()
        while not self._over.is_set():
            due = max(due + FRAME_S, time.monotonic() - FRAME_S)
            with contextlib.suppress(queue.Empty):
                while True:
                    self._todo.get_nowait()()
            for caller in self.callers.values():
                caller.send_frame()
            while (left := due - time.monotonic()) > 0:
                self._poll(left)

    def _received(self, message: str, address: tuple[str, int]) -> None:
        # Garbage that we threw is answered by 4xx: it is nothing that the bench's far end expects.
        if message.startswith("SIP/2.0") and " INVITE" not in message and " BYE" not in message:
            return
        super()._received(message, address)

    def _answer(self, request: str, address: tuple[str, int]) -> None:
        found = _METHOD.match(request)
        method = found[0] if found else ""
        if self.deaf and method in ("REGISTER", "OPTIONS"):
            self.ignored += 1
            return
        if method == "REGISTER":
            self.registers.append(request)
        if method == "BYE":
            call_id = re.search(r"^Call-ID\s*:\s*(\S+)", request, re.MULTILINE | re.IGNORECASE)
            self.ended_by_us.add(call_id[1] if call_id else "")
        super()._answer(request, address)

    def _send(self, message: str) -> None:
        assert self.registered is not None
        self.sip.sendto(message.encode().replace(b'"bench"', b'"' + self.from_name + b'"'), self.registered)
