from __future__ import annotations

import pytest

from appliance.doctor.box import clock, correlation, outbox, resolved
from appliance.doctor.findings import Level
from appliance.store.transcript import CallRecord


def calls(known: int, unknown: int) -> list[CallRecord]:
    ids = [f"V1221347110000000{n:03}" for n in range(known)]
    made = [CallRecord(n, "c", "now", "", "", "", dialer_call_id=call_id) for n, call_id in enumerate(ids)]
    return made + [CallRecord(known + n, "c", "now", "Jane", "", "") for n in range(unknown)]


@pytest.mark.parametrize(
    ("off_s", "level", "said"),
    [
        (0.0, Level.PASS, "0.0 s"),
        (1.9, Level.PASS, "1.9 s ahead"),
        (-2.1, Level.WARN, "2.1 s behind"),
        (30.0, Level.WARN, "30.0 s ahead"),
        (-30.5, Level.FAIL, "30.5 s behind"),
    ],
)
def test_the_clock_by_how_far_it_is_off(off_s: float, level: Level, said: str) -> None:
    finding = clock(1000.0 + off_s, 1000.0)
    assert (finding.level, said in finding.found, bool(finding.todo)) == (level, True, level is not Level.PASS)


@pytest.mark.parametrize(
    ("known", "unknown", "level"),
    [(0, 0, Level.SKIP), (3, 0, Level.PASS), (3, 1, Level.WARN), (0, 1, Level.WARN), (0, 5, Level.FAIL), (1, 5, Level.WARN)],
)
def test_past_calls_show_whether_they_say_whose_they_are(known: int, unknown: int, level: Level) -> None:
    finding = correlation(calls(known, unknown))
    assert finding.level is level
    assert bool(finding.todo) is (level is not Level.PASS)


@pytest.mark.parametrize(
    ("waiting", "parked", "oldest_s", "level", "said"),
    [
        (0, 0, 0.0, Level.PASS, "nothing is owed"),
        (3, 0, 20.0, Level.PASS, "3 entries wait"),
        (3, 0, 3000.0, Level.WARN, "50 minutes"),
        (3, 2, 20.0, Level.FAIL, "2 of 5"),
    ],
)
def test_what_is_owed(waiting: int, parked: int, oldest_s: float, level: Level, said: str) -> None:
    finding = outbox(waiting, parked, oldest_s)
    assert (finding.level, said in finding.found) == (level, True)


def test_names_that_lead_somewhere_and_nowhere() -> None:
    assert resolved("name", "127.0.0.1", "sip.registrar").found == "127.0.0.1"
    assert "127.0.0.1" in resolved("name", "localhost", "sip.registrar").found
    finding = resolved("name", "no-such-host.invalid", "sip.registrar")
    assert finding.level is Level.FAIL
    assert "sip.registrar" in finding.todo
