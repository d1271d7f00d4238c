from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from appliance.config.settings import DISPOSITIONS
from tests.lab.dialer.judge import ZEROES, Day, Visit, judge, wrong

GOOD = Visit("V1", "not_interested", outcome="not_interested", written="NI", log_status="NI", lead_status="NI")
MOVED = Visit(
    "V2",
    "interested",
    outcome="completed",
    transferred=True,
    written="XFER",
    log_status="XFER",
    lead_status="SALE",
    moved=1,
    summaries=("owns the home",),
)
CALLBACK = Visit(
    "V3",
    "day/asks_callback",
    outcome="callback",
    written="CALLBK",
    log_status="CALLBK",
    lead_status="CALLBK",
    owes_callback=True,
    has_callback=True,
)
REMOVED = Visit(
    "V4", "asks_removal", outcome="dnc", written="DNC", log_status="DNC", lead_status="DNC", owes_dnc=True, has_dnc=True
)
LEFT = Visit(
    "V5", "day/leaves_1s", truth=("hung_up",), outcome="hung_up", written="AICU", log_status="AICU", lead_status="AICU"
)
KILLED = Visit("V6", "interested", interrupted=True, written="XFER", log_status="XFER", lead_status="SALE", moved=1)
ALL = [GOOD, MOVED, CALLBACK, REMOVED, LEFT, KILLED]


def judged(visits: list[Visit], **found: Any) -> tuple[dict[str, Any], list[str]]:
    return judge(Day(calls=len(visits), answered=len(visits), visits=visits, seconds=1.0, **found), DISPOSITIONS.get)


def test_a_good_day_has_ten_noughts_and_nothing_to_say() -> None:
    data, problems = judged(ALL)
    assert problems == []
    assert [data[name] for name in ZEROES] == [0] * 10
    assert (data["calls"], data["answered"], data["transfers"]) == (6, 6, 2)
    assert data["by_persona"]["interested"] == {"XFER": 2}


def test_the_json_has_the_agreed_keys_in_their_order() -> None:
    data, _ = judged(ALL)
    assert list(data) == [
        *("calls", "answered", "voicemail_box_hits", "left_as_drop", "wrong_status", "undelivered", "delivered_twice"),
        *("out_of_order", "inert_calls", "transfers", "transfers_without_summary", "password_leaks", "lines_stuck"),
        *("seconds", "by_persona", "violations"),
    ]


@pytest.mark.parametrize(
    ("counter", "visit"),
    [
        ("left_as_drop", replace(GOOD, log_status="DROP")),
        ("left_as_drop", replace(LEFT, lead_status="DROP")),
        ("left_as_drop", replace(KILLED, log_status="DROP", lead_status="DROP", moved=0)),
        ("wrong_status", replace(GOOD, log_status="XFER")),
        ("wrong_status", replace(GOOD, lead_status="XFER")),
        ("wrong_status", replace(LEFT, outcome="not_interested", log_status="NI", lead_status="NI")),
        ("wrong_status", replace(MOVED, log_status="AIQUAL")),
        ("wrong_status", replace(LEFT, moved=1)),
        ("wrong_status", replace(KILLED, written=None)),
        ("wrong_status", replace(GOOD, outcome=None)),
        ("undelivered", replace(CALLBACK, has_callback=False)),
        ("undelivered", replace(REMOVED, has_dnc=False)),
        ("transfers_without_summary", replace(MOVED, summaries=("",))),
        ("transfers_without_summary", replace(MOVED, summaries=())),
    ],
)
def test_one_bad_call_is_counted(counter: str, visit: Visit) -> None:
    data, problems = judged([*ALL, visit])
    assert data[counter] == 1
    assert any(problem.startswith(f"{counter}: {visit.call_id}") for problem in problems)


@pytest.mark.parametrize(
    ("counter", "found"),
    [
        ("undelivered", {"outbox_left": ["SETTLE V9"]}),
        ("delivered_twice", {"twice": ["update_lead 7"]}),
        ("out_of_order", {"out_of_order": ["lead 7"]}),
        ("inert_calls", {"inert": ["external_hangup"]}),
        ("password_leaks", {"leaks": ["appliance.log"]}),
        ("lines_stuck", {"stuck": ["9002 INCALL"]}),
    ],
)
def test_what_is_wrong_with_the_whole_is_counted(counter: str, found: dict[str, list[str]]) -> None:
    data, problems = judged(ALL, **found)
    (line,) = next(iter(found.values()))
    assert data[counter] == 1
    assert problems == [f"{counter}: {line}"]


def test_a_customer_in_the_mailbox_is_counted() -> None:
    data, problems = judged(ALL, voicemail_box_hits=2)
    assert data["voicemail_box_hits"] == 2
    assert problems == ["voicemail_box_hits: 2"]


def test_a_violation_of_the_dialers_rules_fails_the_day() -> None:
    data, problems = judged(ALL, violations=["BYE before control: V1"])
    assert data["violations"] == problems == ["BYE before control: V1"]


def test_a_silent_customer_whom_nobody_had_time_for_is_no_lie() -> None:
    busy = replace(LEFT, outcome="busy", log_status="AIBUSY", lead_status="AIBUSY")
    assert wrong(busy, DISPOSITIONS.get) == ""


def test_a_lead_that_was_called_again_speaks_of_the_later_call() -> None:
    assert wrong(replace(LEFT, lead_status=None), DISPOSITIONS.get) == ""


def test_an_overflowing_call_needs_no_summary() -> None:
    moved = replace(MOVED, outcome="busy", summaries=("",))
    assert judged([moved])[0]["transfers_without_summary"] == 0
