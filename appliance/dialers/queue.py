"""An Asterisk queue, also FreePBX's and Issabel's: joined, paused and left over the manager interface (AMI).

The manager's user needs `read=agent` and `write=agent`. With `ringinuse=no` the queue sends a member one call at a time;
for several lines it must be `yes`. chan_sip knows whether a phone is in use only with `callcounter=yes` in sip.conf.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random

from appliance.config.settings import Queue, Sip
from appliance.dialers.ami import Ami, AmiError, AmiRefusal, BadPassword, field
from appliance.dialers.pbx import PbxDialer
from appliance.dialers.protocol import Control, Controlled, Health

log = logging.getLogger(__name__)

PORT = 5038
CHECK_S = 10.0
"""How often we look whether the queue still has us: a PBX that reloads or restarts forgets its members."""
RETRY_S = (1.0, 2.0)
SETTLE_S = 8.0
LEAVE_S = 3.0
REASON = "Sidetone"
_INVALID_DEVICE = "4"  # AST_DEVICE_INVALID, asterisk/devicestate.h


class QueueDialer(PbxDialer):
    """A `protocol.Dialer` for a queue. `capacity` joins it; from then on we stay a member until `close`.

    A pause that somebody at the PBX orders is theirs: it stays until the next `capacity(0)` and more after it.
    """

    def __init__(self, queue: Queue, sip: Sip, transfer_to: str) -> None:
        super().__init__(transfer_to)
        self._queue = queue
        host, _, port = queue.manager.partition(":")
        self._host, self._port = host, int(port or PORT)
        self._name = f"Sidetone {sip.username}"
        found = (f"PJSIP/{sip.username}", f"SIP/{sip.username}")
        self._interfaces = (queue.interface,) if queue.interface else found
        self._health = Health()
        self._ami: Ami | None = None
        self._turn = asyncio.Lock()
        self._keeping: asyncio.Task[None] | None = None
        self._paused = False
        self._told: bool | None = None
        self._settled = False

    @property
    def health(self) -> Health:
        return self._health

    async def probe(self) -> None:
        """Nothing: what keeps the membership asks often enough."""

    def unlock(self) -> None:
        """An operator says that the secret is right now: try again."""
        if self._health.locked:
            self._health = Health()
            if self._keeping is not None:
                self._keeping = asyncio.get_running_loop().create_task(self._keep())

    async def capacity(self, lines: int, *, resume: bool = False) -> Controlled:
        """Over 0: be a member that gets calls. 0: stay a member, paused. The queue does not count lines.

        An operator's pause stays without `resume` too: ours is told apart from theirs.
        """
        self._paused = lines == 0
        if self._keeping is None:
            self._keeping = asyncio.get_running_loop().create_task(self._keep())
        try:
            await self._settle()
        except AmiError as error:
            return Controlled(Control.FAILED, str(error))
        return Controlled(Control.DONE)

    async def close(self) -> None:
        """Leave the queue, for a stopped box must get no callers. Only paused where the PBX's own files name us."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait({self._keeping})
        if self._ami is not None and not self._ami.lost.done():
            with contextlib.suppress(AmiError, TimeoutError):
                async with asyncio.timeout(LEAVE_S):
                    await self._order(self._ami, "QueuePause", Paused="true", Reason=REASON)
                    await self._order(self._ami, "QueueRemove")
        self._drop()

    # Staying a member ------------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        while not self._health.locked:
            if self._settled and self._ami is not None:
                await asyncio.wait({self._ami.lost}, timeout=CHECK_S)
            if self._ami is None or self._ami.lost.done() or not self._settled:
                await asyncio.sleep(random.uniform(*RETRY_S))
            with contextlib.suppress(AmiError):
                await self._settle()

    async def _settle(self) -> None:
        """Make the queue know us as we want it. Raises AmiError; `health` has the same."""
        async with self._turn:
            if self._health.locked:  # nothing is sent any more: the PBX would bar our address
                raise BadPassword(self._health.detail)
            self._settled = False
            try:
                async with asyncio.timeout(SETTLE_S):
                    await self._join()
                self._settled = True
            except AmiRefusal as refusal:
                self._says(reachable=True, detail=str(refusal))
                raise
            except (AmiError, TimeoutError) as error:
                self._drop()
                detail = str(error) or f"{self._host}:{self._port} is too slow"
                self._says(reachable=isinstance(error, BadPassword), detail=detail, locked=isinstance(error, BadPassword))
                raise AmiError(detail) from None

    async def _join(self) -> None:
        if self._ami is None or self._ami.lost.done():
            secret = self._queue.password.get_secret_value()
            self._ami = await Ami.open(self._host, self._port, self._queue.user, secret)
        ami = self._ami
        for interface in self._interfaces:
            member = await self._member(ami, interface)
            if member is None:
                member = await self._add(ami, interface)
            if field(member, "Status") != _INVALID_DEVICE:
                self._interfaces = (interface,)
                break
            if interface != self._interfaces[-1]:
                await ami.ask("QueueRemove", Queue=self._queue.queue, Interface=interface)
        else:
            raise AmiRefusal(f"{self._interfaces[-1]} is no phone of this PBX: set dialer.queue.interface")
        if self._told is not self._paused:
            await self._order(ami, "QueuePause", Paused=str(self._paused).lower(), Reason=REASON)
            self._told = self._paused
            member = {**member, "Paused": str(int(self._paused))}
        theirs = field(member, "Paused") == "1" and not self._paused
        self._says(reachable=True, detail="somebody at the PBX has paused us" if theirs else "")

    async def _add(self, ami: Ami, interface: str) -> dict[str, str]:
        self._told = None
        await ami.ask(
            "QueueAdd",
            Queue=self._queue.queue,
            Interface=interface,
            Penalty=str(self._queue.penalty),
            Paused=str(self._paused).lower(),
            MemberName=self._name,
        )
        added = await self._member(ami, interface)
        if added is None:
            raise AmiRefusal(f"the queue {self._queue.queue} does not keep {interface}")
        return added

    async def _member(self, ami: Ami, interface: str) -> dict[str, str] | None:
        rows = await ami.ask_list("QueueStatus", Queue=self._queue.queue, Member=interface)
        return next((row for row in rows if row["Event"] == "QueueMember"), None)

    async def _order(self, ami: Ami, action: str, **fields: str) -> None:
        await ami.ask(action, Queue=self._queue.queue, Interface=self._interfaces[0], **fields)

    def _says(self, *, reachable: bool, detail: str, locked: bool = False) -> None:
        build = f"AMI {self._ami.version}" if self._ami is not None else self._health.build
        before, self._health = self._health, Health(reachable, locked, detail, build)
        if detail != before.detail:
            log.log(logging.WARNING if detail else logging.INFO, "queue %s: %s", self._queue.queue, detail or "joined")

    def _drop(self) -> None:
        if self._ami is not None:
            self._ami.close()
            self._ami = None
