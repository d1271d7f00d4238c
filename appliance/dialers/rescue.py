"""Nobody in the mailbox: customers whom no leg of ours has are taken to a human, by the dialer's own means.

They are there since an INVITE could not be taken, the registration was away, or an agent's process died in the middle.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from appliance.calls.campaign import BUILTIN_OUTCOME, Builtin
from appliance.config.settings import Dialer as DialerSettings
from appliance.dialers.courier import Courier
from appliance.dialers.protocol import Control, Dialer, DialerCall, EntryKind

SETTLE_S = 1.2  # after the end of a call: what the dialer says of it before then is not final
REFUSED_S = 0.3  # a refused customer is on the way into the mailbox by then
AGAIN_S = (0.7, 1.5, 3.0, 6.0)  # between tries to get somebody out
STRANDED_S = 2.0  # a call on our lines that no leg has for so long is nowhere else than in the mailbox
MINUTE_S = 60.0
OPTED_OUT = BUILTIN_OUTCOME[Builtin.OPT_OUT]


class Rescue:
    """For the desk's loop. `ours` gives the dialer's ids of the calls that our legs have, None while one has none that we
    know; `by_guard` the ids of those whom the guard has sent to a human."""

    def __init__(
        self,
        dialer: Dialer,
        settings: DialerSettings,
        courier: Courier,
        *,
        ours: Callable[[], frozenset[str] | None],
        by_guard: Callable[[], frozenset[str]],
        alarm: Callable[[str, str], None],
    ) -> None:
        self._dialer = dialer
        self._settings = settings
        self._courier = courier
        self._ours = ours
        self._by_guard = by_guard
        self._alarm = alarm
        self._seen: deque[tuple[float, str]] = deque(maxlen=200)
        self._taken: deque[str] = deque(maxlen=200)
        self._unclear: deque[str] = deque(maxlen=200)
        self._looking = self._again = False

    def seen(self, call_id: str) -> None:
        """A call of the dialer's has reached us."""
        self._seen.append((time.time(), call_id))

    def took(self, call_id: str) -> bool:
        """Whether its customer was sent to a human from here. A leg of ours may have come in the same moment."""
        return call_id in self._taken

    async def recover(self, refs: list[DialerCall]) -> None:
        """Calls that were up when an earlier run died, then whoever else is on our lines."""
        await asyncio.gather(*(self._recover(ref) for ref in refs))
        await self.look()

    async def _recover(self, ref: DialerCall) -> None:
        settle, owed = self._courier.settle_of(ref.call_id), self._courier.kinds_of(ref.call_id)
        if settle is not None:  # it died between the decision and telling the dialer
            await self._dialer.release(ref, settle.data["status"])
        elif EntryKind.DNC in owed:  # whoever wants no more calls is not put through to anybody
            await self._dialer.release(ref, self._status(OPTED_OUT))
            self._owe(ref, self._status(OPTED_OUT))
        else:
            if EntryKind.LEAD in owed:  # a summary: it died in a transfer, which may have happened
                self._unclear.append(ref.call_id)
            await self._take_out(ref, "its agent died")

    async def refused(self, ref: DialerCall | None) -> None:
        """An INVITE was refused; `ref` is None where it does not say whose."""
        if ref is None:
            await self.look()
            return
        self.seen(ref.call_id)
        await asyncio.sleep(REFUSED_S)
        await self._take_out(ref, "its INVITE could not be taken")

    async def look(self) -> None:
        """Ask the dialer who is on our lines. Twice, for a call whose INVITE is on its way to us is there as well."""
        self._again = True
        if self._looking:
            return
        self._looking = True
        try:
            while self._again:
                self._again = False
                await self._look()
        finally:
            self._looking = False

    async def _look(self) -> None:
        first = {ref.call_id for ref in await self._suspects()}
        if not first:
            return
        await asyncio.sleep(STRANDED_S)
        for ref in await self._suspects():
            if ref.call_id in first and self._is_stranded(ref):
                await self._take_out(ref, "no leg of ours has it")

    async def _suspects(self) -> list[DialerCall]:
        ours = self._ours()
        found = await self._dialer.stranded(ours) if ours is not None else []
        return [ref for ref in found if self._is_stranded(ref)]

    def _is_stranded(self, ref: DialerCall) -> bool:
        """Not while one of our calls has no known id, for it could be that one; nor a call that we have settled, which is
        over: the dialer takes up to three seconds to see that."""
        ours = self._ours()
        return ours is not None and ref.call_id not in ours and self._courier.settle_of(ref.call_id) is None

    async def voicemail(self, new: int) -> None:
        """The phone's mailbox has `new` messages, more than before."""
        since = time.time() - MINUTE_S
        ids = [call_id for at, call_id in self._seen if at >= since]
        seen = f"calls of the last minute: {', '.join(ids)}" if ids else "no call reached the box in the last minute"
        self._alarm("voicemail", f"{new} messages in the phone's voicemail box, their customers met nobody; {seen}")
        await self.look()

    async def _take_out(self, ref: DialerCall, why: str) -> None:
        """To a human; where none is to be had the call is ended, for there is only silence in it."""
        if self._settings.shadow:
            return
        for wait_s in AGAIN_S:
            done = await self._dialer.rescue(ref, self._status("transferred"))
            if done.how is Control.DONE:
                self._taken.append(ref.call_id)
                self._alarm("rescued", f"{ref.call_id}: {why}; its customer was sent to a human")
                self._owe(ref, self._status("transferred"), transferred=True)
                return
            if done.how is Control.GONE:
                moved = ref.call_id in {*self._taken, *self._unclear, *self._by_guard()}
                self._owe(ref, self._status("transferred" if moved else "technical"), transferred=moved)
                return
            if done.unclear:
                self._unclear.append(ref.call_id)
            await asyncio.sleep(wait_s)
        self._alarm("stranded", f"{ref.call_id}: {why}; its customer could not be sent to a human: {done.detail}")
        await self._dialer.release(ref, self._status("technical"))
        self._owe(ref, self._status("technical"))

    def _owe(self, ref: DialerCall, status: str, *, transferred: bool = False) -> None:
        owe_settle(self._courier, self._settings, ref, status, transferred=transferred)

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
