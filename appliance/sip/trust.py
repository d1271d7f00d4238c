"""Whose INVITEs are taken. Pure; time comes in as `now` (monotonic seconds).

A phone's port gets INVITEs from scanners, and each call that is answered takes a line from a customer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network

TELL_S = 60.0
"""Between two lines about strangers: a scanner sends hundreds of INVITEs a second."""


class Trust:
    """Sources are pj's text for a packet's source, "192.0.2.1:5060". The ports do not matter."""

    def __init__(self, trusted: Sequence[IPv4Network]) -> None:
        self.refused = 0
        self._trusted = tuple(trusted)
        self._resolved: frozenset[IPv4Address] = frozenset()
        self._registrar: IPv4Address | None = None
        self._untold = 0
        self._told_at: float | None = None

    def registrar_is_at(self, addresses: Iterable[str]) -> None:
        """The registrar's own addresses may call before it has accepted a REGISTER: after a restart of ours the dialer's
        INVITEs come earlier than its answer, and a 403 would put a live customer into voicemail."""
        self._resolved = frozenset(map(IPv4Address, addresses))

    def registered_at(self, source: str) -> None:
        """`source` accepted our REGISTER: it may call, and another one that did before may not any more."""
        self._registrar = _address(source)

    def admits(self, source: str) -> bool:
        address = _address(source)
        if address is None:
            return False
        known = address == self._registrar or address in self._resolved
        return known or any(address in network for network in self._trusted)

    def refuse(self, source: str, now: float) -> str | None:
        """An INVITE of a stranger was refused. Returns the line to log where one is due."""
        self.refused += 1
        self._untold += 1
        if self._told_at is not None and now - self._told_at < TELL_S:
            return None
        count, self._untold, self._told_at = self._untold, 0, now
        calls = "a call" if count == 1 else f"{count} calls, the last"
        return f"refused {calls} from {_address(source)}: neither the registrar nor in sip.trusted"


def _address(source: str) -> IPv4Address | None:
    try:
        return IPv4Address(source.rpartition(":")[0])
    except ValueError:
        return None
