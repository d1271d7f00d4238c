"""What a service manager hears of the daemon: ready, stopping, and that it is alive (sd_notify(3)).

Without a service manager (NOTIFY_SOCKET is not set) nothing is sent.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping

import sdnotify


class Supervised:
    """For the loop's thread. From `ready` on a watchdog that is asked for is fed for as long as `alive()` says so."""

    def __init__(self, alive: Callable[[], bool]) -> None:
        self._alive = alive
        self._notifier = sdnotify.SystemdNotifier() if os.environ.get("NOTIFY_SOCKET") else None
        self._feed_every_s = feed_every_s(os.environ, os.getpid())

    def ready(self) -> None:
        self._notify("READY=1")
        self._feed()

    def stopping(self) -> None:
        self._notify("STOPPING=1")

    def says(self, line: str) -> None:
        """The line that `systemctl status` shows."""
        self._notify(f"STATUS={line}")

    def _notify(self, message: str) -> None:
        if self._notifier is not None:
            self._notifier.notify(message)

    def _feed(self) -> None:
        if self._feed_every_s is None:
            return
        if self._alive():
            self._notify("WATCHDOG=1")
        asyncio.get_running_loop().call_later(self._feed_every_s, self._feed)


def feed_every_s(environ: Mapping[str, str], pid: int) -> float | None:
    """Half of what sd_watchdog_enabled(3) finds; None where no watchdog waits for this process."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdecimal() or int(microseconds) == 0 or environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    return int(microseconds) / 2e6
