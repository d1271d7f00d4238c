from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from appliance.api.verdict import judged
from appliance.api.wire import ActiveCall, Alarm, EngineHealth, Media, Registration, RegistrationState, Status, StoreHealth
from appliance.calls.shadow import ShadowReport
from appliance.dialers.protocol import Delivery, Entry, EntryKind
from appliance.doctor.findings import Finding
from appliance.doctor.findings import Level as Found
from appliance.reconcile import Difference, Reconciliation
from appliance.store.outbox import Closed
from appliance.store.transcript import CallRecord
from appliance.tables import (
    print_calls,
    print_finding,
    print_findings_end,
    print_outbox,
    print_reconciliation,
    print_shadow,
    print_status,
)

NASTY = "[bold]4155[/] \x1b[2J\n[/nothing]"
SHOWN = "[bold]4155[/] ?[2J?[/nothing]"
NOW = datetime(2026, 1, 2, 4, 0, tzinfo=UTC)
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
        STATUS,
        store=StoreHealth(False, NASTY),
        alarms=[Alarm(NASTY, NASTY, "2026-01-02T03:00:00.000Z")],
        registration=Registration(RegistrationState.REFUSED, NASTY),
    )
    print_status(status, judged(status), NOW)
    print_calls([CallRecord(1, "c1", "2026-01-02T03:04:06Z", NASTY, NASTY, "x", "completed", {}, 61.0, None, "/r/a.txt")])
    shown = capsys.readouterr().out
    assert shown.count(SHOWN) == 8
    assert "\x1b" not in shown


def test_the_first_line_is_what_monitoring_shows(capsys: pytest.CaptureFixture[str]) -> None:
    print_status(STATUS, judged(STATUS), NOW)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        "OK",
        "Sidetone 1.0, since 2026-01-02T03:04:05Z",
        "Registration  registered  registered 8371 at dialer",
        "Speech        up  voice flite, 2 restarts",
    ]


def test_the_newest_alarms_of_a_day_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    ages = [timedelta(minutes=1), timedelta(hours=23), timedelta(hours=25), *[timedelta(hours=26)] * 17]
    alarms = [Alarm("voicemail", f"n{n}", (NOW - age).isoformat()) for n, age in enumerate(ages)]
    status = msgspec.structs.replace(STATUS, alarms=alarms)
    print_status(status, judged(status), NOW)
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("Alarm")]
    assert lines == [["Alarm", alarm.at, "voicemail", alarm.message] for alarm in alarms[:2]]
    many = msgspec.structs.replace(STATUS, alarms=[Alarm("locked", f"n{n}", NOW.isoformat()) for n in range(9)])
    print_status(many, judged(many), NOW)
    told = [line.split()[-1] for line in capsys.readouterr().out.splitlines() if line.startswith("Alarm")]
    assert told == ["n0", "n1", "n2", "n3", "n4"]


def test_what_was_lost_and_who_was_refused_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    status = msgspec.structs.replace(STATUS, store=StoreHealth(lost_rows=3, lost_audio_s=4.6), refused_invites=201)
    print_status(status, judged(status), NOW)
    lines = capsys.readouterr().out.splitlines()
    assert "Store         good, lost 3 rows and 5 s of audio" in lines
    assert "Calls         1 of 10 lines, 201 of strangers were refused" in lines


def test_long_lines_are_not_folded_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/var/lib/sidetone/recordings/" + "x" * 200
    print_calls([CallRecord(1, "c1", "2026-01-02T03:04:06Z", "", "4155", "x", transcript=path)])
    assert path in capsys.readouterr().out


def test_what_is_owed_is_a_table_that_a_person_can_read(capsys: pytest.CaptureFixture[str]) -> None:
    now = 1_000_000.0
    settle = Entry(1, EntryKind.SETTLE, "V1", 7, {"status": "NI"}, now - 90_000, attempts=1)
    parked = Entry(2, EntryKind.LEAD, NASTY, 8, {}, now - 7100, attempts=3, error=NASTY, parked=True)
    waiting = Entry(3, EntryKind.DNC, "", 0, {"phone": "4155550123", "scope": "C"}, now - 40, now + 12, 2, "no answer")
    due = Entry(4, EntryKind.CALLBACK, "V4", 9, {}, now - 3, not_before=now - 1)
    print_outbox([parked, waiting, due], [Closed(settle, Delivery.DONE, now - 89_000)], now)
    assert [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()] == [
        "Id Age What Lead Call Tries Next try Last answer",
        "1 25 h settle 7 V1 1 done",
        f"2 118 min lead 8 {SHOWN} 3 parked {SHOWN}",
        "3 40 s dnc 2 in 12 s no answer",
        "4 3 s callback 9 V4 0 due",
    ]


def test_an_empty_outbox_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    print_outbox([], [], 0.0)
    assert capsys.readouterr().out == "nothing is owed to the dialer\n"


def test_no_calls_are_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    print_calls([])
    assert capsys.readouterr().out == "No calls yet.\n"


def test_a_finding_is_a_line_and_what_to_do_another(capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = Finding("codec", Found.PASS, "PCMU"), Finding("audio", Found.FAIL, NASTY, NASTY)
    for finding in (good, bad):
        print_finding(finding)
    print_findings_end([good, bad, bad])
    lines = capsys.readouterr().out.splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "PASS codec PCMU",
        f"FAIL audio {SHOWN}",
        f"-> {SHOWN}",
        "1 pass, 2 fail: see above what to do",
    ]
    print_findings_end([good])
    assert capsys.readouterr().out == "1 pass: calls can come\n"


def test_what_the_dialer_says_is_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    print_reconciliation(Reconciliation(1, 0, 0, 0, 0, [Difference("V1", "now", "status", "NI", NASTY, "look")]))
    print_shadow(ShadowReport(1, 0, 0, 0.0, {("NI", NASTY): 1}), 0)
    print_shadow(ShadowReport(0, 0, 0, None, {}), 2)
    shown = capsys.readouterr().out
    assert shown.count(SHOWN) == 2
    assert "0 calls, 0 without an opinion: nothing to compare; 2 wait for a human's status" in shown
