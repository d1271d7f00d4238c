"""A plain SIP PBX: it knows nothing of us but the registration. Calls end by BYE and move by REFER."""

from __future__ import annotations

from appliance.calls.events import Incoming
from appliance.dialers.protocol import Control, Controlled, Delivered, Delivery, DialerCall, Entry, Health, Lead


class PbxDialer:
    """A `protocol.Dialer` for a PBX without an interface of its own.

    `transfer_to` is the SIP URI or extension that takes callers when a transfer names nobody else; "" is nobody.
    """

    def __init__(self, transfer_to: str) -> None:
        self._transfer_to = transfer_to

    @property
    def health(self) -> Health:
        return Health()

    @property
    def can_transfer(self) -> bool:
        return bool(self._transfer_to)

    def identify(self, incoming: Incoming) -> DialerCall | None:
        return None

    async def find(self, incoming: Incoming) -> DialerCall | None:
        return None

    async def lead(self, call: DialerCall) -> Lead | None:
        return None

    async def release(self, call: DialerCall, status: str) -> Controlled:
        return Controlled(Control.LEG)

    async def transfer(self, call: DialerCall | None, to: str, status: str, *, anybody: bool = False) -> Controlled:
        target = to or self._transfer_to
        if not target:
            return Controlled(Control.FAILED, "dialer.transfer_to is not set")
        return Controlled(Control.REFER, refer_to=target)

    async def rescue(self, call: DialerCall, status: str) -> Controlled:
        return Controlled(Control.LEG)

    async def deliver(self, entry: Entry) -> Delivered:
        return Delivered(Delivery.DONE, "this PBX keeps no such thing")

    async def capacity(self, lines: int, *, resume: bool = False) -> Controlled:
        return Controlled(Control.LEG)

    async def stranded(self, ours: frozenset[str]) -> list[DialerCall]:
        return []

    async def probe(self) -> None:
        """There is no API; its registration tells of a PBX that is away."""

    def unlock(self) -> None:
        """There is no password."""

    async def close(self) -> None:
        """Nothing was opened."""
