"""A mind worker with the backend `broken`, and with "session" for a mind a session that fails beyond every backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from appliance.calls.campaign import Campaign
from appliance.engines import registry
from appliance.engines.mind_worker import MindConfig, MindSession
from appliance.engines.serving import Server, Session, read_config, run, start_logging
from appliance.engines.wire import Ready, ToMind


class BrokenSession:
    """Implements `serving.Session`."""

    async def load(self, campaign: Campaign) -> Ready:
        raise KeyError(campaign.name)

    def take(self, message: Any) -> None:
        """Never called."""

    def close(self) -> None:
        """Nothing is open."""


def main() -> int:
    start_logging("mind")
    config = read_config(MindConfig)
    registry.MINDS["broken"] = registry.Backend("tests.engines.broken")

    def make(send: Any, fail: Any) -> Session:
        return BrokenSession() if config.minds == ["session"] else MindSession(config, send, fail)

    return run(lambda: Server(ToMind, make), Path(config.socket))


if __name__ == "__main__":
    raise SystemExit(main())
