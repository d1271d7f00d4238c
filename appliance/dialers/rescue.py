"""Nobody in the mailbox: customers whom no leg of ours has are taken to a human, by the dialer's own means.

They are there since an INVITE could not be taken, the registration was away, or an agent's process died in the middle.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

from appliance.config.settings import Dialer as DialerSettings
from appliance.dialers.courier import Courier
from appliance.dialers.protocol import Control, Dialer, DialerCall, EntryKind

log = logging.getLogger(__name__)

SETTLE_S = 1.2  # after the end of a call: what the dialer says of it before then is not final
LATER_S = 10.0
REFUSED_S = (0.3, 1.0, 2.0, 3.0)  # a refused customer is on the way into the mailbox: when to try to get them out of it
STRANDED_S = 2.0  # a call on our lines that no leg has for so long is nowhere else than in the mailbox
MINUTE_S = 60.0


class Rescue:
    """For the desk's loop. `ours` gives the dialer's ids of the calls that our legs have."""

    def __init__(
        self,
        dialer: Dialer,
        settings: DialerSettings,
        courier: Courier,
        *,
        ours: Callable[[], frozenset[str]],
        alarm: Callable[[str, str], None],
    ) -> None:
        self._dialer = dialer
        self._settings = settings
        self._courier = courier
        self._ours = ours
        self._alarm = alarm
        self._seen: deque[tuple[float, str]] = deque(maxlen=200)
        self._taken: deque[str] = deque(maxlen=200)

    def seen(self, call_id: str) -> None:
        """A call of the dialer's has reached us."""
        self._seen.append((time.time(), call_id))

    def took(self, call_id: str) -> bool:
        """Whether its customer was sent to a human from here. A leg of ours may have come in the same moment."""
        return call_id in self._taken

    async def recover(self, refs: list[DialerCall]) -> None:
        """Calls that were up when an earlier run died, then whoever else is on our lines."""
        for ref in refs:
            settle = self._courier.settle_of(ref.call_id)
            if settle is None:
                await self._take_out(ref, "its agent died")
            else:  # it died between the decision and telling the dialer
                await self._dialer.release(ref, settle.data["status"])
        await self.look()

    async def refused(self, ref: DialerCall | None) -> None:
        """An INVITE was refused; `ref` is None where it does not say whose."""
        if ref is None:
            await self.look()
            return
        for wait_s in REFUSED_S:
            await asyncio.sleep(wait_s)
            if await self._take_out(ref, "its INVITE could not be taken"):
                return

    async def look(self) -> None:
        """Ask the dialer who is on our lines. Twice, for a call whose INVITE is on its way to us is there as well."""
        first = {ref.call_id for ref in await self._dialer.stranded(self._ours())}
        if not first:
            return
        await asyncio.sleep(STRANDED_S)
        for ref in await self._dialer.stranded(self._ours()):
            # One that we have settled is over; the dialer takes up to three seconds to see that.
            known = ref.call_id in self._ours() or self._courier.settle_of(ref.call_id) is not None
            if ref.call_id in first and not known:
                await self._take_out(ref, "no leg of ours has it")

    async def voicemail(self, new: int) -> None:
        """The phone's mailbox has `new` messages, more than before."""
        since = time.time() - MINUTE_S
        ids = [call_id for at, call_id in self._seen if at >= since]
        seen = f"calls of the last minute: {', '.join(ids)}" if ids else "no call reached the box in the last minute"
        self._alarm("voicemail", f"{new} messages in the phone's voicemail box, their customers met nobody; {seen}")
        await self.look()

    async def _take_out(self, ref: DialerCall, why: str) -> bool:
        """To a human; where none is to be had, at least the dialer's log is made true. False: worth another try."""
        if self._settings.shadow:
            return True
        done = await self._dialer.rescue(ref, self._status("transferred"))
        match done.how:
            case Control.DONE:
                self._taken.append(ref.call_id)
                self._alarm("rescued", f"{ref.call_id}: {why}; its customer was sent to a human")
                owe_settle(self._courier, self._settings, ref, self._status("transferred"), transferred=True)
                return True
            case Control.GONE:
                owe_settle(self._courier, self._settings, ref, self._status("technical"))
                return True
            case _:
                self._alarm("stranded", f"{ref.call_id}: {why}; its customer could not be sent to a human: {done.detail}")
                owe_settle(self._courier, self._settings, ref, self._status("technical"), after_s=LATER_S)
                return False

    def _status(self, outcome: str) -> str:
        return self._settings.status_of(outcome) or ""


def owe_settle(
    courier: Courier,
    settings: DialerSettings,
    ref: DialerCall,
    status: str,
    *,
    after_s: float = SETTLE_S,
    transferred: bool = False,
) -> None:
    """The dialer's log of this call must come to say `status`; looked at `after_s` from now."""
    data = {"status": status, "group": settings.vicidial.campaign if settings.vicidial is not None else ""}
    courier.owe(EntryKind.SETTLE, ref.call_id, ref.lead_id, data, not_before=time.time() + after_s, transferred=transferred)
