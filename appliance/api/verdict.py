"""Is the appliance well? One judgement for the command line, monitoring, consoles and lights. Pure."""

from __future__ import annotations

import enum

import msgspec

from appliance.api.wire import DialerHealth, RegistrationState, Status

OLD_S = 300.0  # what is owed to the dialer for so long will soon be too late for the statistics of its hour


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
    warning = ["draining: the box stops when the running calls have ended"] if status.draining else []
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
    warning += _dialer_problems(status.dialer)
    level = Level.CRITICAL if critical else Level.WARNING if warning else Level.OK
    return Verdict(level, critical + warning)


def _dialer_problems(dialer: DialerHealth) -> list[str]:
    problems = []
    if dialer.locked:
        todo = "correct sidetone.toml and restart the box; if it was corrected on the dialer: sidetone outbox retry"
        problems.append(f"the dialer refuses our password: {todo} ({dialer.detail})")
    elif dialer.reachable is False:
        problems.append(f"the dialer's API does not answer: {dialer.detail}")
    elif dialer.detail:  # such as functions that our user may not use
        problems.append(f"the dialer: {dialer.detail}")
    if dialer.outbox_parked:
        problems.append(f"{dialer.outbox_parked} entries of the outbox cannot be delivered: sidetone outbox")
    if dialer.outbox_oldest_s > OLD_S:
        problems.append(f"the dialer is owed {dialer.outbox} entries, the oldest for {dialer.outbox_oldest_s / 60:.0f} min")
    if dialer.outbox_lost:
        problems.append(f"{dialer.outbox_lost} entries of the outbox were lost, for the disk took none: sidetone reconcile")
    if dialer.mailbox:
        problems.append(f"{dialer.mailbox} customers left a message in the phone's voicemail box: they met nobody")
    return problems
