from __future__ import annotations

import json

import pytest

from appliance.doctor.findings import Finding, Level, as_json, exit_code


def findings(*levels: Level) -> list[Finding]:
    return [Finding(f"check {n}", level, "found", "todo") for n, level in enumerate(levels)]


@pytest.mark.parametrize(
    ("levels", "code", "health"),
    [
        ((Level.PASS, Level.SKIP), 0, "ok"),
        ((Level.PASS, Level.WARN, Level.PASS), 1, "warning"),
        ((Level.WARN, Level.FAIL, Level.PASS), 2, "critical"),
        ((Level.SKIP,), 3, "unknown"),
        ((), 3, "unknown"),
    ],
)
def test_the_worst_decides_and_nothing_seen_is_unknown(levels: tuple[Level, ...], code: int, health: str) -> None:
    found = findings(*levels)
    assert exit_code(found) == code
    plain = json.loads(json.dumps(as_json(found)))
    assert (plain["health"], plain["exit_code"]) == (health, code)
    assert [each["level"] for each in plain["findings"]] == [level.value for level in levels]
    assert plain["fail"] == sum(level is Level.FAIL for level in levels)
