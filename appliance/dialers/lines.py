"""How many calls the dialer is to send: the newest wish, repeated till the dialer has taken it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from appliance.dialers.protocol import Control, Dialer

log = logging.getLogger(__name__)

AGAIN_S = (0.5, 1.0, 2.0, 5.0)  # then the last of them for ever


class Lines:
    """For the desk's loop. `taken` is what the dialer has taken last, None while it has not or cannot be told.

    `told(True)` when it took the newest wish, `told(False)` when it never will; `alarm` once for each wish that fails.
    """

    def __init__(self, dialer: Dialer, *, told: Callable[[bool], None], alarm: Callable[[str, str], None]) -> None:
        self.wanted = 0
        self.taken: int | None = None
        self._dialer = dialer
        self._told = told
        self._alarm = alarm
        self._resume = False
        self._wish = asyncio.Event()

    def want(self, lines: int, *, resume: bool = False) -> None:
        """From now on so many; 0 pauses. A wish to end a pause stands till it is done, or a new pause is wished for."""
        self.wanted = lines
        self._resume = lines > 0 and (resume or self._resume)
        self._wish.set()

    async def run(self) -> None:
        """Never ends. One request at a time, for a late one must not overtake a newer."""
        tries = 0
        while True:
            if not tries:
                await self._wish.wait()
            self._wish.clear()
            wanted, resume = self.wanted, self._resume
            done = await self._dialer.capacity(wanted, resume=resume)
            if self._wish.is_set():
                tries = 0
                continue
            if done.how in (Control.DONE, Control.LEG):
                tries = 0
                self._took(wanted, done.how is Control.DONE, done.detail)
                continue
            if not tries and self._dialer.health.reachable is not False:  # that it is away is told already
                self._alarm("capacity", f"the dialer could not be asked for {wanted} lines, it is asked again: {done.detail}")
            tries += 1
            try:
                async with asyncio.timeout(AGAIN_S[min(tries, len(AGAIN_S)) - 1]):
                    await self._wish.wait()
                tries = 0
            except TimeoutError:
                pass

    def _took(self, lines: int, taken: bool, detail: str) -> None:
        if taken:
            self.taken = lines
            self._resume = False
            log.info("the dialer was asked for %s", f"{lines} calls at once" if lines else "no more calls")
        elif detail:
            self._alarm("capacity", f"the dialer cannot be asked for {lines} lines: {detail}")
        self._told(taken)
