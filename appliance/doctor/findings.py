"""What a check found. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable

import msgspec


class Level(enum.Enum):
    """`skip`: could not be looked at, or does not apply here."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


class Finding(msgspec.Struct, frozen=True):
    """One line. `found` says what is, `todo` what to do about it ("" where nothing). Neither has a secret in it."""

    check: str
    level: Level
    found: str
    todo: str = ""


EXIT_CODES = {Level.PASS: 0, Level.WARN: 1, Level.FAIL: 2}
UNKNOWN = 3


def exit_code(findings: Iterable[Finding]) -> int:
    """As monitoring plugins use: 0 well, 1 warning, 2 critical; 3 where nothing could be looked at."""
    return max((EXIT_CODES[f.level] for f in findings if f.level is not Level.SKIP), default=UNKNOWN)


def as_json(findings: Iterable[Finding]) -> dict[str, object]:
    """As plain data for `json.dumps`."""
    listed = list(findings)
    code = exit_code(listed)
    health = {0: "ok", 1: "warning", 2: "critical", UNKNOWN: "unknown"}[code]
    counts = {level.value: sum(f.level is level for f in listed) for level in Level}
    return {"health": health, "exit_code": code, **counts, "findings": msgspec.to_builtins(listed)}
