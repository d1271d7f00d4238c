"""/agc/api.php against the tables of VICIDIAL.md: A5 and Part II sections 4 and 5, byte for byte."""

from __future__ import annotations

import httpx
import pytest

from tests.fakes.vicidial import Dialect, Double, SteppedClock, password_of
from tests.fakes.vicidial.asker import AGENT, Ask, Asker
from tests.fakes.vicidial.model import Phase

GONE = "V1221343190000000008"


def answered(double: Double, lead_id: int = 36) -> str:
    call_id = double.call_answered(lead_id, "SIP/carrier-1")
    assert call_id is not None
    return call_id


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("params", "line"),
    [
        ({"value": "", "agent_user": "9001", "stage": "HANGUP"}, "ERROR: ra_call_control not valid - |9001|HANGUP\n"),
        ({"value": GONE, "agent_user": "", "stage": "HANGUP"}, f"ERROR: ra_call_control not valid - {GONE}||HANGUP\n"),
        ({"value": GONE, "agent_user": "9001", "stage": ""}, f"ERROR: ra_call_control not valid - {GONE}|9001|\n"),
        ({"value": GONE, "agent_user": "9999", "stage": "HANGUP"}, "ERROR: agent_user is not logged in - 9999\n"),
        ({"value": GONE, "agent_user": "9001", "stage": "HANGUP"}, f"ERROR: no active call found - {GONE}\n"),
        ({"value": GONE, "agent_user": "9001", "stage": "NOPE"}, f"ERROR: no active call found - {GONE}\n"),
    ],
)
def test_rows_without_a_call(agent: Ask, method: str, params: dict[str, str], line: str) -> None:
    assert agent("ra_call_control", method=method, **params) == line


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("params", "line"),
    [
        ({"stage": "HANGUP"}, "SUCCESS: ra_call_control hungup - 9001|{id}|HANGUP\n"),
        ({"stage": "EXTENSIONTRANSFER"}, "ERROR: phone_number is not valid - \n"),
        ({"stage": "EXTENSIONTRANSFER", "phone_number": "8"}, "ERROR: phone_number is not valid - 8\n"),
        ({"stage": "EXTENSIONTRANSFER", "phone_number": "8379"}, "SUCCESS: ra_call_control transfer - 9001|{id}|8379\n"),
        ({"stage": "INGROUPTRANSFER"}, "ERROR: ingroup is not valid - \n"),
        ({"stage": "INGROUPTRANSFER", "ingroup_choices": "OFFLINE"}, "ERROR: ingroup is not valid - OFFLINE\n"),
        ({"stage": "INGROUPTRANSFER", "ingroup_choices": "NOPE"}, "ERROR: ingroup is not valid - NOPE\n"),
        ({"stage": "INGROUPTRANSFER", "ingroup_choices": "SALESLINE"}, "SUCCESS: ra_call_control transfer - 9001|{id}|\n"),
        ({"stage": "INGROUPTRANSFER", "ingroup_choices": "DEFAULTINGROUP"}, "SUCCESS: ra_call_control transfer - 9001|{id}|\n"),
        (
            {"stage": "INGROUPTRANSFER", "ingroup_choices": "SALESLINE", "phone_number": "4155550000"},
            "SUCCESS: ra_call_control transfer - 9001|{id}|4155550000\n",
        ),
        ({"stage": "hangup"}, "ERROR: stage is not valid - hangup\n"),
    ],
)
def test_rows_with_a_call(double: Double, agent: Ask, method: str, params: dict[str, str], line: str) -> None:
    call_id = answered(double)
    before = double.log(call_id), double.lead(36), double.line("9001")
    said = agent("ra_call_control", method=method, value=call_id, agent_user="9001", status="XFER", **params)
    assert said == line.format(id=call_id)
    if said.startswith("ERROR"):
        assert (double.log(call_id), double.lead(36), double.line("9001")) == before
        assert double.model.is_active(call_id)
    else:
        assert (double.log(call_id)["status"], double.log(call_id)["user"], double.lead(36)["status"]) == (
            "XFER",
            "9001",
            "XFER",
        )
        again = agent("ra_call_control", method=method, value=call_id, agent_user="9001", status="NI", **params)
        assert again == f"ERROR: no active call found - {call_id}\n"


def test_a_user_without_the_function_is_refused_before_anything_is_looked_up(double: Double, agent: Ask) -> None:
    double.set_user("apilow", vdc_agent_api_access=1)
    said = agent("ra_call_control", user="apilow", value=GONE, agent_user="nobody", stage="HANGUP")
    assert said == f"ERROR: auth USER DOES NOT HAVE PERMISSION TO USE THIS FUNCTION - {GONE}|apilow|ra_call_control|ADMIN\n"


@pytest.mark.parametrize(
    ("params", "line"),
    [
        ({"stage": "HANGUP"}, "SUCCESS: ra_call_control hungup - 9001|{id}|HANGUP\n"),
        (
            {"stage": "INGROUPTRANSFER", "ingroup_choices": "SALESLINE"},
            "SUCCESS: ra_call_control transferred - 9001|{id}|SALESLINE\n",
        ),
        ({"stage": "EXTENSIONTRANSFER", "phone_number": "8379"}, "SUCCESS: ra_call_control transferred - 9001|{id}|8379\n"),
        ({"stage": "HANGUP", "agent_user": "9999"}, "ERROR: no user found - 9999\n"),
    ],
)
def test_the_documentation_s_words(client: httpx.Client, params: dict[str, str], line: str) -> None:
    with Double(clock=SteppedClock(), dialect=Dialect.DOCS) as double:
        call_id = answered(double)
        ask = Asker(double, client, AGENT)
        assert ask("ra_call_control", **{"value": call_id, "agent_user": "9001", **params}) == line.format(id=call_id)


def test_an_overlong_status_is_cut_and_a_missing_one_is_raxfer(double: Double, agent: Ask) -> None:
    first, second = answered(double, 36), answered(double, 37)
    agent("ra_call_control", value=first, agent_user="9001", stage="HANGUP", status="TOOLONGXX")
    agent("ra_call_control", value=second, agent_user="9001", stage="HANGUP")
    assert (double.log(first)["status"], double.log(second)["status"]) == ("TOOLON", "RAXFER")
    assert double.violations == [f"ra_call_control of {first}: status 'TOOLONGXX' is longer than 6"]


def test_any_agent_who_is_logged_in_may_end_any_call_and_the_caller_s_line_is_freed(double: Double, agent: Ask) -> None:
    call_id = answered(double)
    assert agent("ra_call_control", value=call_id, agent_user="9101", stage="HANGUP", status="NI").startswith("SUCCESS")
    line = double.line("9001")
    assert line is not None
    assert (double.log(call_id)["user"], line["status"], line["callerid"]) == ("9101", "READY", "")


def test_a_post_without_value_takes_the_last_parameter_for_it(double: Double, agent: Ask) -> None:
    assert agent("ra_call_control", agent_user="9001", stage="HANGUP") == "ERROR: no active call found - HANGUP\n"
    assert agent("ra_call_control", method="GET", agent_user="9001", stage="HANGUP").startswith(
        "ERROR: ra_call_control not valid"
    )


@pytest.mark.parametrize(
    ("function", "params", "line"),
    [
        ("external_hangup", {"value": "1"}, "SUCCESS: external_hangup function set - 1|9001\n"),
        ("external_status", {"value": "A"}, "SUCCESS: external_status function set - A|9001\n"),
        ("external_pause", {"value": "PAUSE"}, "SUCCESS: external_pause function set - PAUSE|1795356000|9001\n"),
        (
            "transfer_conference",
            {"value": "HANGUP_XFER"},
            "SUCCESS: transfer_conference function set - HANGUP_XFER|||NO|9001|{id}|\n",
        ),
        (
            "transfer_conference",
            {"value": "BLIND_TRANSFER", "phone_number": "8379"},
            "SUCCESS: transfer_conference function set - BLIND_TRANSFER||8379|NO|9001|{id}|\n",
        ),
        (
            "transfer_conference",
            {"value": "LOCAL_CLOSER", "ingroup_choices": "SALESLINE"},
            "SUCCESS: transfer_conference function set - LOCAL_CLOSER|SALESLINE||NO|9001|{id}|\n",
        ),
        ("transfer_conference", {"value": "AXFER"}, "ERROR: transfer_conference not valid - AXFER|9001\n"),
        ("park_call", {"value": "PARK_CUSTOMER"}, "SUCCESS: park_call function set - PARK_CUSTOMER|9001\n"),
        ("send_dtmf", {"value": "QQQQ1234SQQQQQ6654P"}, "SUCCESS: send_dtmf function set - QQQQ1234SQQQQQ6654P|9001\n"),
        ("recording", {"value": "START"}, "SUCCESS: recording function sent - 9001|START||||10.10.10.15|8371|INCALL\n"),
        ("recording", {"value": "STATUS"}, "NOTICE: not recording - 9001|||||10.10.10.15|8371|INCALL\n"),
        ("logout", {"value": "LOGOUT"}, "SUCCESS: logout function set - LOGOUT|1795356000|9001\n"),
        ("external_dial", {"value": "4155550003"}, "ERROR: agent_user is not paused - 9001\n"),
        ("update_fields", {"value": ""}, "ERROR: no fields have been defined - 9001\n"),
        ("pause_code", {"value": "BREAK"}, "ERROR: pause_code error - agent is not paused - 9001\n"),
        ("audio_playback", {"value": "PLAY"}, "ERROR: audio_playback error - entry is empty - PLAY|9001\n"),
        ("change_ingroups", {"value": "CHANGE"}, "ERROR: user is not allowed to change agent in-groups - apiuser\n"),
    ],
)
def test_inert_functions_say_so_change_nothing_and_are_a_violation(
    double: Double, agent: Ask, function: str, params: dict[str, str], line: str
) -> None:
    call_id = answered(double)
    double.state.update("vicidial_live_agents", {"user": "9001"}, status="INCALL")
    before = double.log(call_id), double.lead(36)
    assert agent(function, agent_user="9001", **params) == line.format(id=call_id)
    double.step(6)  # past a tick
    assert (double.log(call_id), double.lead(36)) == before
    assert [call.phase for call in double.calls()] == [Phase.UP]
    assert double.violations == [f"{function} was called: it does nothing for a remote agent"]
    with pytest.raises(AssertionError, match=function):
        double.check()


def test_looking_at_the_queue_is_no_violation(double: Double, agent: Ask) -> None:
    assert agent("calls_in_queue_count", agent_user="9001") == "SUCCESS: calls_in_queue_count - 0"
    double.check()


@pytest.mark.parametrize(
    ("function", "params", "line"),
    [
        ("ra_call_control", {"source": "x"}, "ERROR: Invalid Source - x\n"),
        ("ra_call_control", {"source": ""}, "ERROR: Invalid Source - \n"),
        ("no_such_function", {}, ""),
        ("", {}, ""),
        ("external_status", {"value": "A", "agent_user": ""}, "ERROR: external_status not valid - A|\n"),
        ("external_status", {"value": "A", "agent_user": "9999"}, "ERROR: agent_user is not logged in - 9999\n"),
        (
            "park_call",
            {"value": "PARK_CUSTOMER", "agent_user": "9001"},
            "ERROR: agent_user does not have a lead on their screen - 9001\n",
        ),
    ],
)
def test_other_replies(agent: Ask, function: str, params: dict[str, str], line: str) -> None:
    assert agent(function, **params) == line


def test_a_long_source_is_taken_and_an_api_switched_off_says_so(double: Double, agent: Ask) -> None:
    params = {"value": GONE, "agent_user": "9001", "stage": "HANGUP", "source": "x" * 40}
    assert agent("ra_call_control", **params) == f"ERROR: no active call found - {GONE}\n"
    double.state.run("update system_settings set vdc_agent_api_active = '0'")
    assert agent("ra_call_control", **params) == "ERROR: System API NOT ACTIVE\n"


def test_version_needs_no_login(double: Double, client: httpx.Client) -> None:
    said = client.get(double.url + AGENT, params={"function": "version"}).text
    assert said == "VERSION: 2.14-82|BUILD: 250122-1010|DATE: 2026-11-22 14:00:00|EPOCH: 1795356000\n"


def test_a_user_without_access_is_told_its_own_password(double: Double, agent: Ask) -> None:
    double.set_user("apilow", password="lowpass")
    assert agent("ra_call_control", user="apilow") == "ERROR: Invalid Username/Password: |apilow|lowpass|1|0|GOOD|\n"
    assert password_of(double, "apilow") == "lowpass"
    assert "lowpass" not in repr(double.ledger.requests)
