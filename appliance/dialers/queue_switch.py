"""An Asterisk queue seen from outside: a member that somebody else keeps is paused and resumed, a connection per order."""

from __future__ import annotations

import asyncio

from appliance.config.settings import Queue, Sip
from appliance.dialers.ami import Ami, AmiError, BadPassword, field
from appliance.dialers.pbx import PbxDialer
from appliance.dialers.protocol import ALREADY_SO, Control, Controlled, Health
from appliance.dialers.queue import PORT, REASON

ORDER_S = 8.0


class QueueSwitch(PbxDialer):
    """A `protocol.Dialer` for the guard, which must neither join the queue nor leave it: both are the daemon's.

    After a refused password nothing is asked any more: PBXs bar addresses for that.
    """

    def __init__(self, queue: Queue, sip: Sip) -> None:
        super().__init__("")
        self._queue = queue
        host, _, port = queue.manager.partition(":")
        self._host, self._port = host, int(port or PORT)
        found = (f"PJSIP/{sip.username}", f"SIP/{sip.username}")
        self._interfaces = (queue.interface,) if queue.interface else found
        self._health = Health()

    @property
    def health(self) -> Health:
        return self._health

    async def capacity(self, lines: int, *, resume: bool = False) -> Controlled:
        """0 pauses, `resume` ends a pause. DONE with ALREADY_SO where it was so, or where the queue does not know us."""
        if lines > 0 and not resume:
            return Controlled(Control.LEG)
        if self._health.locked:
            return Controlled(Control.FAILED, self._health.detail)
        try:
            async with asyncio.timeout(ORDER_S):
                changed = await self._order(paused=lines == 0)
        except (AmiError, TimeoutError) as error:
            locked = isinstance(error, BadPassword)
            detail = str(error) or f"{self._host}:{self._port} is too slow"
            self._health = Health(reachable=locked, locked=locked, detail=detail)
            return Controlled(Control.FAILED, detail)
        self._health = Health(reachable=True)
        return Controlled(Control.DONE, "" if changed else ALREADY_SO)

    async def _order(self, *, paused: bool) -> bool:
        ami = await Ami.open(self._host, self._port, self._queue.user, self._queue.password.get_secret_value())
        try:
            changed = False
            for interface in self._interfaces:
                rows = await ami.ask_list("QueueStatus", Queue=self._queue.queue, Member=interface)
                member = next((row for row in rows if row["Event"] == "QueueMember"), None)
                if member is None or field(member, "Paused") == str(int(paused)):
                    continue
                order = {"Paused": str(paused).lower(), "Reason": REASON}
                await ami.ask("QueuePause", Queue=self._queue.queue, Interface=interface, **order)
                changed = True
            return changed
        finally:
            ami.close()
