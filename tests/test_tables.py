from __future__ import annotations

import msgspec
import pytest

from appliance.api.verdict import judged
from appliance.api.wire import ActiveCall, EngineHealth, Media, Registration, RegistrationState, Status, StoreHealth
from appliance.store.transcript import CallRecord
from appliance.tables import print_calls, print_status

NASTY = "[bold]4155[/] \x1b[2J\n[/nothing]"
SHOWN = "[bold]4155[/] ?[2J?[/nothing]"
STATUS = Status(
    version="1.0",
    started_at="2026-01-02T03:04:05Z",
    lines=10,
    draining=False,
    registration=Registration(RegistrationState.REGISTERED, "registered 8371 at dialer"),
    calls=[ActiveCall("c1", NASTY, NASTY, "2026-01-02T03:04:06Z", "listening")],
    engines=[EngineHealth("speech", True, {"voice": "flite"}, restarts=2)],
    media=Media(1, 2, 3),
    store=StoreHealth(),
)


def test_what_callers_and_the_world_send_is_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    status = msgspec.structs.replace(
        STATUS, store=StoreHealth(False, NASTY), registration=Registration(RegistrationState.REFUSED, NASTY)
    )
    print_status(status, judged(status))
    print_calls([CallRecord(1, "c1", "2026-01-02T03:04:06Z", NASTY, NASTY, "x", "completed", {}, 61.0, None, "/r/a.txt")])
    shown = capsys.readouterr().out
    assert shown.count(SHOWN) == 6
    assert "\x1b" not in shown


def test_the_first_line_is_what_monitoring_shows(capsys: pytest.CaptureFixture[str]) -> None:
    print_status(STATUS, judged(STATUS))
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        "OK",
        "Sidetone 1.0, since 2026-01-02T03:04:05Z",
        "Registration  registered  registered 8371 at dialer",
        "Speech        up  voice flite, 2 restarts",
    ]


def test_long_lines_are_not_folded_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/var/lib/sidetone/recordings/" + "x" * 200
    print_calls([CallRecord(1, "c1", "2026-01-02T03:04:06Z", "", "4155", "x", transcript=path)])
    assert path in capsys.readouterr().out


def test_no_calls_are_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    print_calls([])
    assert capsys.readouterr().out == "No calls yet.\n"
