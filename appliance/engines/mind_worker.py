"""The mind worker: understanding and phrasing for all calls, advanced together step by step."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import assert_never

import msgspec

from appliance.calls.campaign import Campaign
from appliance.engines import registry
from appliance.engines.protocols import Mind
from appliance.engines.serving import Send, Server, read_config, run, start_logging
from appliance.engines.wire import Ask, Cancel, CloseCall, Compose, Load, OpenCall, Ready, ToMind
from appliance.errors import BackendError

log = logging.getLogger(__name__)


class MindConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The worker's line on standard input. `minds` is an order of preference: the first that can be loaded serves."""

    socket: str
    minds: list[str]


class MindSession:
    """One daemon's calls. Implements `serving.Session`."""

    def __init__(self, config: MindConfig, send: Send, fail: Callable[[str], None]) -> None:
        self._config = config
        self._send = send
        self._fail = fail
        self._mind: Mind | None = None
        self._calls: set[str] = set()
        self._stepping: asyncio.Handle | None = None

    async def load(self, campaign: Campaign) -> Ready:
        """Of several minds the first that loads, and the log says which did not; raises the last one's BackendError."""
        for i, name in enumerate(self._config.minds):
            try:
                self._mind = registry.mind(name)(campaign)
            except BackendError as error:
                if i == len(self._config.minds) - 1:
                    raise
                log.warning("%s; trying %s", error.message, self._config.minds[i + 1], exc_info=error.__cause__)
            else:
                return Ready({"mind": registry.described(registry.MINDS, name)})
        raise BackendError("engines.mind: no backend is named", hint="name one, for example scripted")

    def take(self, message: ToMind) -> None:
        mind = self._mind
        assert mind is not None  # `take` comes after `load`
        match message:
            case OpenCall(call):
                self._calls.add(call)
            case CloseCall(call):
                self._calls.discard(call)
                mind.cancel(call, None)
            case Ask(call, request, question, text):
                if call in self._calls:
                    mind.understand(call, request, question, text)
            case Compose(call, request, acts):
                if call in self._calls:
                    mind.phrase(call, request, acts)
            case Cancel(call, request):
                mind.cancel(call, request)
            case Load():
                raise ValueError("Load is the connection's first message")
            case _:
                assert_never(message)
        if self._stepping is None:
            self._stepping = asyncio.get_running_loop().call_soon(self._step)

    def close(self) -> None:
        if self._stepping is not None:
            self._stepping.cancel()
        self._calls.clear()
        self._mind = None

    def _step(self) -> None:
        """One step, then let the socket be read: a cancel takes effect within one step."""
        self._stepping = None
        if self._mind is None:
            return
        results = self._mind.step()
        for result in results:
            self._send(result)
        if results:
            self._stepping = asyncio.get_running_loop().call_soon(self._step)


def main() -> int:
    start_logging("mind")
    config = read_config(MindConfig)
    return run(lambda: Server(ToMind, lambda send, fail: MindSession(config, send, fail)), Path(config.socket))


if __name__ == "__main__":
    raise SystemExit(main())
