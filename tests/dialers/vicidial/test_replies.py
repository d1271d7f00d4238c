"""The answers of both APIs in both wordings, and what must never be in a log."""

from __future__ import annotations

from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.dialers.vicidial.replies import Line, Refusal, Shape, Word, parse, redacted

SECRET = "s3cret&pass;word"


@pytest.mark.parametrize(
    ("text", "function", "line"),
    [
        (
            "SUCCESS: ra_call_control hungup - 9001|V1221347110000000010|HANGUP\n",
            "ra_call_control",
            Line(Word.SUCCESS, "hungup", ("9001", "V1221347110000000010", "HANGUP")),
        ),
        (
            "SUCCESS: ra_call_control transferred - 6666|Y1221401470000000036|SALESLINE\n",
            "ra_call_control",
            Line(Word.SUCCESS, "transferred", ("6666", "Y1221401470000000036", "SALESLINE")),
        ),
        (
            "ERROR: ra_call_control not valid - |9001|HANGUP\n",
            "ra_call_control",
            Line(Word.ERROR, "not valid", ("", "9001", "HANGUP")),
        ),
        ("ERROR: phone_number is not valid - \n", "ra_call_control", Line(Word.ERROR, "phone_number is not valid")),
        ("ERROR: phone_number is not valid -\n", "ra_call_control", Line(Word.ERROR, "phone_number is not valid")),
        ("ERROR: System API NOT ACTIVE\n", "ra_call_control", Line(Word.ERROR, "System API NOT ACTIVE")),
        (
            "ERROR: update_lead NO MATCHES FOUND IN THE SYSTEM: |apiuser|999999||",
            "update_lead",
            Line(Word.ERROR, "NO MATCHES FOUND IN THE SYSTEM", ("apiuser", "999999", "", "")),
        ),
        (
            "ERROR: update_lead NO MATCHES FOUND IN THE SYSTEM - apiuser|999999",
            "update_lead",
            Line(Word.ERROR, "NO MATCHES FOUND IN THE SYSTEM", ("apiuser", "999999")),
        ),
        (
            "ERROR: agent_status AGENT NOT LOGGED IN: apiuser|9003",
            "agent_status",
            Line(Word.ERROR, "AGENT NOT LOGGED IN", ("apiuser", "9003")),
        ),
        (
            "NOTICE: update_lead SCHEDULED CALLBACK ADDED - 151|TESTCAMP|2026-11-25 16:00:00|ANYONE||CALLBK",
            "update_lead",
            Line(Word.NOTICE, "SCHEDULED CALLBACK ADDED", ("151", "TESTCAMP", "2026-11-25 16:00:00", "ANYONE", "", "CALLBK")),
        ),
        (
            "NOTICE: update_lead SCHEDULED CALLBACK NOT ADDED, CAMPAIGN NOT VALID - 151|NOCAMP",
            "update_lead",
            Line(Word.NOTICE, "SCHEDULED CALLBACK NOT ADDED, CAMPAIGN NOT VALID", ("151", "NOCAMP")),
        ),
    ],
)
def test_one_line(text: str, function: str, line: Line) -> None:
    reply = parse(text, function)
    assert reply.shape is Shape.LINES
    assert reply.lines == (line,)


def test_two_lines_and_a_warning_of_php_before_them() -> None:
    reply = parse(
        "<br />\n<b>Warning</b>: undefined index\r\n"
        "NOTICE: update_remote_agent REMOTE AGENT IS ALREADY ACTIVE: |apiuser|9001\r\n"
        "ERROR: update_remote_agent NO UPDATES DEFINED: |apiuser|\r\n",
        "update_remote_agent",
    )
    assert [line.word for line in reply.lines] == [Word.NOTICE, Word.ERROR]
    assert reply.line(Word.ERROR, "no updates") == Line(Word.ERROR, "NO UPDATES DEFINED", ("apiuser", ""))
    assert reply.line(Word.SUCCESS) is None


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("", Shape.EMPTY),
        (" \r\n\n", Shape.EMPTY),
        ("<!DOCTYPE html><html><title>502 Bad Gateway</title>", Shape.PAGE),
        ("Fatal error<br>in line 4", Shape.PAGE),
        ("NI", Shape.ROWS),
        ("SUCC", Shape.ROWS),
        ("READY||0|TESTCAMP|11|Bot line 1|ADMIN|1|||||8371", Shape.ROWS),
        ("VERSION: 2.14-82|BUILD: 250122-1010|DATE: 2026-11-22 13:42:58|EPOCH: 1795354978", Shape.ROWS),
    ],
)
def test_the_other_shapes(text: str, shape: Shape) -> None:
    assert parse(text, "agent_status").shape is shape


def test_a_page_is_named_by_its_title() -> None:
    assert parse("<html><title>502\nBad Gateway</title>", "version").told == "a web page: 502 Bad Gateway"


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("ERROR: Invalid Source - x\nERROR: Invalid Source: |x|", Refusal.SOURCE),
        ("ERROR: Login incorrect, please try again: |u|GOOD|BAD|", Refusal.PASSWORD),
        ("ERROR: Login incorrect, please try again: |||BAD|", Refusal.PASSWORD),
        ("ERROR: Login incorrect, please try again - u|p|BAD", Refusal.PASSWORD),
        ("ERROR: Login incor", Refusal.PASSWORD),
        ("ERROR: Too many login attempts, try again in 15 minutes: |lockme|LOCK|", Refusal.LOCKED),
        ("ERROR: Invalid Username/Password: |u|bad|0|1|BAD|0|api|SELECT count(*) where pass='bad';|", Refusal.PASSWORD),
        ("ERROR: Invalid Username/Password: |lockme|lockpass|0|1|LOCK|", Refusal.LOCKED),
        ("ERROR: Invalid Username/Password: |apilow|lowpass|1|0|GOOD|", Refusal.PERMISSION),
        ("ERROR: Invalid Username/Password: |apilow", Refusal.PASSWORD),
        ("ERROR: Your IP Address is not allowed", Refusal.ADDRESS),
        ("ERROR: System API NOT ACTIVE", Refusal.NOT_ACTIVE),
        ("ERROR: NO FUNCTION SPECIFIED", Refusal.UNKNOWN_FUNCTION),
        ("ERROR: auth USER DOES NOT HAVE PERMISSION TO USE THIS FUNCTION: |u|update_lead|", Refusal.PERMISSION),
        ("ERROR: auth USER DOES NOT HAVE PERMISSION TO USE THIS FUNCTION - V|u|ra_call_control|ADMIN", Refusal.PERMISSION),
        ("ERROR: agent_status USER DOES NOT HAVE PERMISSION TO GET AGENT INFO: |u|0|", Refusal.PERMISSION),
        ("ERROR: no active call found - V1221343190000000008", None),
        ("SUCCESS: update_lead LEAD HAS BEEN UPDATED - apiuser|150|1|||", None),
    ],
)
def test_refusals(text: str, refusal: Refusal | None) -> None:
    assert parse(text, "agent_status").refusal is refusal


def test_an_echoed_login_leaves_no_field() -> None:
    text = f"ERROR: Invalid Username/Password: |u|{SECRET}|0|1|BAD|0|api|SELECT 1 where pass='{SECRET}';|"
    reply = parse(text, "ra_call_control", (SECRET,))
    assert reply.lines == (Line(Word.ERROR, "Invalid Username/Password", ("BAD",)),)
    assert SECRET not in repr(reply)


@pytest.mark.parametrize(
    "form",
    [SECRET, quote(SECRET), quote_plus(SECRET), quote(SECRET).lower(), "s3cret&amp;pass;word", "s3cretpassword"],
)
def test_every_form_of_the_password_goes(form: str) -> None:
    assert redacted(f"before {form} after", [SECRET]) == "before *** after"


def test_an_echoed_login_goes_even_where_the_password_is_not_known() -> None:
    text = "x\nERROR: Invalid Username/Password: |u|pw|0|1|BAD|0|api|SELECT pass='pw';|\ny"
    assert redacted(text, []) == "x\nERROR: Invalid Username/Password: ***\ny"
    assert redacted("Login incorrect, please try again: |u|pw|BAD|", []) == "Login incorrect, please try again: ***"
    assert "pw" not in redacted("Login incorrect, please try again - u|pw|BAD", [])


@given(st.text(), st.lists(st.text(min_size=1), max_size=3))
def test_no_secret_is_left(text: str, secrets: list[str]) -> None:
    shown = redacted(text.join(["", *secrets, *secrets]), secrets)
    assert not any(secret in shown for secret in secrets)


@given(st.text(alphabet="*_.ab", max_size=30), st.text(alphabet="*_.ab", min_size=1, max_size=3))
def test_no_secret_is_left_where_it_looks_like_the_mask(text: str, secret: str) -> None:
    assert secret not in redacted(text, [secret])


WORDS = ["SUCCESS: ", "ERROR: ", "NOTICE: ", "VERSION: ", "Login incorrect: |", "Invalid Username/Password: |", "update_lead "]
MARKS = [" - ", ": |", "|", "\n", "\r\n", "<html>", "\x00", "\x85", "hunter2", "BAD", "\ud800"]
PIECES = st.sampled_from(WORDS) | st.sampled_from(MARKS)


@given(st.lists(PIECES | st.text(max_size=12)).map("".join))
def test_the_parser_never_raises_and_tells_no_secret(text: str) -> None:
    reply = parse(text, "update_lead", ("hunter2",))
    assert "hunter2" not in reply.told
    assert not any("hunter2" in line.reason for line in reply.lines)
    assert reply.told.isprintable()
    _ = reply.refusal
