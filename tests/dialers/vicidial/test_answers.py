"""Rows that fit, and whatever else may stand in their place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.dialers.vicidial import answers
from appliance.dialers.vicidial.answers import CallbackInfo
from appliance.dialers.vicidial.replies import parse

CALL = "V1221347110000000010"
CALLBACK = "150|CURRENT|USERONLY|ACTIVE|CALLBK|2026-11-25 16:00:00|2026-11-22 14:00:00|9001|101|TESTCAMP||||prefers|afternoon"
HEAD = (
    "lead_id|callback_type|recipient|callback_status|lead_status|callback_date|entry_date|user|list_id|campaign_id|user_group|"
    "customer_timezone|customer_time|comments"
)


@pytest.mark.parametrize("text", [f"{HEAD}\n{CALLBACK}\n", f"{CALLBACK}\n", f"{HEAD}|\n{CALLBACK}\nnot a row\n"])
def test_callbacks(text: str) -> None:
    kept = [CallbackInfo("2026-11-25 16:00:00", "TESTCAMP", "ACTIVE")]
    assert answers.callbacks(parse(text, "lead_callback_info"), 150) == kept
    assert answers.callbacks(parse(text, "lead_callback_info"), 151) is None


@pytest.mark.parametrize(
    ("text", "hours"),
    [("-5.00", -5.0), ("5.75", 5.75), ("0", 0.0), ("", None), ("EST", None), ("nan", None), ("1e9", None), ("15", None)],
)
def test_a_zone_or_none(text: str, hours: float | None) -> None:
    assert answers.offset_h(text) == hours


@pytest.mark.parametrize(
    "text", ["VERSION: 2.14-202", "VERSION: |BUILD: 250720-1841", "BUILD: 250720-1841", "VERSION: 1|BUILD: x"]
)
def test_a_version_without_a_build_is_none(text: str) -> None:
    assert answers.version(parse(text, "version")) is None


CELLS = st.sampled_from(
    ["", "10", "9001", CALL, "lead_id", "status", "comments", "VERSION: 1", "BUILD: 250720-1841", "ERROR: x"]
)
ROWS = st.lists(CELLS | st.text(max_size=5), max_size=40).map("|".join)


@given(st.lists(ROWS, max_size=4).map("\n".join))
def test_any_rows_are_read_without_an_error(text: str) -> None:
    reply = parse(text, "agent_status")
    answers.version(reply)
    answers.agent_status(reply, "9001")
    answers.agents(reply)
    answers.callbacks(reply, 10)
    lead = answers.lead(reply, 10)
    assert lead is None or lead["lead_id"] == "10"
    info = answers.call_info(reply, CALL)
    assert info is None or info.call_id == CALL
