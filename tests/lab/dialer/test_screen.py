from __future__ import annotations

import io

from rich.console import Console

from appliance.api import wire
from appliance.config.settings import DISPOSITIONS
from tests.lab.dialer.judge import ZEROES, Day, Visit, judge
from tests.lab.dialer.screen import Screen
from tests.lab.show import Show


def test_a_day_is_shown_call_by_call_and_then_as_a_table() -> None:
    out = io.StringIO()
    screen = Screen(Show(Console(file=out, width=80)))
    screen.ended("4155550012", "day/leaves_1s", wire.CallEnded("c", "hung_up", {}, 1.04, None, None))
    screen.ended("4155550013", "interested", wire.CallEnded("c", "completed", {}, 41.5, None, None, transferred=True))
    long = "V1221957100000000028: its agent died; its customer was sent to a human"
    screen.alarm(wire.Alarm("rescued", long, "2026-11-22T19:57:46Z"))
    visit = Visit("V1", "day/leaves_1s", outcome="hung_up", log_status="DROP", lead_status="AICU")
    data, _ = judge(Day(calls=1, answered=1, visits=[visit], seconds=75.0), DISPOSITIONS.get)
    screen.summary(data, 3)
    shown = out.getvalue()
    assert "call 0012  leaves_1s          1.0 s  hung_up\n" in shown
    assert "call 0013  interested        41.5 s  completed  handed over\n" in shown
    assert f"alarm rescued: {long}\n" in shown, "never broken, to be found by a search"
    assert "leaves_1s      1  DROP 1" in shown
    assert "1, 1 answered, in 1:15 min" in shown
    assert "3 calls came to something else" in shown
    assert all(name.replace("_", " ") in shown for name in ZEROES)
