"""Is the appliance well? One judgement for the command line, monitoring, consoles and lights. Pure."""

from __future__ import annotations

import enum

import msgspec

from appliance.api.wire import RegistrationState, Status


class Level(enum.IntEnum):
    """The values are the exit codes that monitoring plugins use."""

    OK = 0
    WARNING = 1
    CRITICAL = 2


class Verdict(msgspec.Struct, frozen=True):
    """`problems` has one line each, the worst first."""

    level: Level
    problems: list[str]

    def as_json(self) -> dict[str, str | list[str]]:
        """As plain data for `json.dumps`; the level by its name."""
        return {"level": self.level.name.lower(), "problems": self.problems}


def judged(status: Status) -> Verdict:
    """CRITICAL: callers are lost or meet an apology. WARNING: an operator should look at it."""
    critical = [f"the {engine.engine} worker is down" for engine in status.engines if not engine.up]
    warning = ["draining: new calls are turned away"] if status.draining else []
    detail = status.registration.detail
    match status.registration.state:
        case RegistrationState.REGISTERED:
            pass
        case RegistrationState.TRYING:
            warning.append(f"not registered yet: {detail}")
        case RegistrationState.OFF if status.draining:
            pass
        case RegistrationState.OFF | RegistrationState.REFUSED | RegistrationState.LOST:
            critical.insert(0, f"not registered: {detail}")
    if not status.store.healthy:
        warning.append(f"calls are not kept: {status.store.detail}")
    level = Level.CRITICAL if critical else Level.WARNING if warning else Level.OK
    return Verdict(level, critical + warning)
