"""A child process of the lab that tells what happens as JSON lines, and ends when its standard input is closed."""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.lab.faults import LabError
from tests.lab.processes import end, spawn

Event = dict[str, Any]


class TellingProcess:
    """`python -m MODULE …`; every event goes to `log` (.jsonl) and to `tell`, or to `wait_for` where there is no `tell`.

    Its end is told as {"kind": "gone"}. Use as a context manager.
    """

    def __init__(self, arguments: Sequence[str | Path], log: Path, tell: Callable[[Event], None] | None = None) -> None:
        self._log = log
        self._events: queue.Queue[Event] = queue.Queue()
        self._tell = tell or self._events.put
        with log.with_suffix(".log").open("wb") as errors:
            self._process = spawn(
                [sys.executable, "-m", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )
        threading.Thread(target=self._read, name=f"lab-{arguments[0]}", daemon=True).start()

    def __enter__(self) -> TellingProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(hasty=kind is not None)

    def _read(self) -> None:
        """The reader thread, until the process closes its output."""
        with self._log.open("w") as log, contextlib.suppress(ValueError):
            for line in self._process.stdout or ():
                if line.startswith(b"{"):
                    log.write(line.decode())
                    log.flush()
                    self._tell(json.loads(line))
        self._tell({"kind": "gone"})

    def wait_for(self, kind: str, timeout_s: float = 15.0) -> Event:
        """The next event of this kind; those before it are skipped. Raises LabError when it does not come."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                event = self._events.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise LabError(f"no '{kind}' within {timeout_s:.0f} s", hint=f"see {self._log}") from None
            if event["kind"] == kind:
                return event
            if event["kind"] == "gone":
                raise LabError(f"the process ended before '{kind}'", hint=f"see {self._log.with_suffix('.log')}")

    def ask(self, line: str) -> None:
        """A line on its standard input."""
        if self._process.stdin is not None:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()

    def close(self, *, hasty: bool = False) -> None:
        """End it by closing its input, by force after 5 s; `hasty`: at once, with all that it started."""
        if hasty:
            end(self._process, first=signal.SIGKILL)
            return
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        end(self._process, grace_s=1)
