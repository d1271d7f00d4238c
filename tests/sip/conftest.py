from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import pytest

from appliance.sip.endpoint import SipEndpoint
from tests.sip.far_end import settings

REPO = Path(__file__).parents[2]
WAIT_S = 8.0
T = TypeVar("T")


class Inbox:
    """Messages in the order in which they came; waiting for one leaves the others for later."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._kept: list[Any] = []
        self.put = self._queue.put

    def wait(self, wanted: Callable[[Any], bool], what: str = "it") -> Any:
        deadline = time.monotonic() + WAIT_S
        for kept in self._kept:
            if wanted(kept):
                self._kept.remove(kept)
                return kept
        while (left := deadline - time.monotonic()) > 0:
            try:
                message = self._queue.get(timeout=left)
            except queue.Empty:
                break
            if wanted(message):
                return message
            self._kept.append(message)
        raise AssertionError(f"{what} did not come within {WAIT_S} s; there is {self._kept}")

    def empty(self) -> bool:
        return not self._kept and self._queue.empty()

    def of(self, kind: type[T]) -> T:
        found: T = self.wait(lambda message: isinstance(message, kind), kind.__name__)
        return found


class FarEndProcess:
    """The far end, driven from here."""

    TONE_HZ = 700.0

    def __init__(self) -> None:
        self.inbox = Inbox()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.sip.far_end", str(self.TONE_HZ)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPO,
        )
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port: int = self.event("up")["port"]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                self.inbox.put(json.loads(line))

    def event(self, name: str, call: str | None = None) -> dict[str, Any]:
        def is_it(message: dict[str, Any]) -> bool:
            return message.get("event") == name and call in (None, message.get("call"))

        found: dict[str, Any] = self.inbox.wait(is_it, name)
        return found

    def do(self, what: str, **fields: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, **fields}) + "\n")
        self._process.stdin.flush()
        return self.inbox.wait(lambda message: "answer" in message, f"the answer to {what}")["answer"]

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The far end's machine is dead meanwhile."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(15) == 0
        self._reader.join(5)
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture(scope="module")
def far_end() -> Iterator[FarEndProcess]:
    process = FarEndProcess()
    yield process
    process.close()


@pytest.fixture
def events() -> Inbox:
    return Inbox()


@pytest.fixture
def endpoint(events: Inbox) -> Iterator[SipEndpoint]:
    endpoint = SipEndpoint(settings(), 11, events.put)
    endpoint.start()
    yield endpoint
    endpoint.stop(3.0)
