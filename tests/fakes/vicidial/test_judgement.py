"""What the double holds against its clients."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.vicidial import Double, SteppedClock, password_of
from tests.fakes.vicidial.asker import Ask

pytest_plugins = ("pytester",)
ROOT = Path(__file__).parents[3]


def answered(double: Double, lead_id: int = 36) -> str:
    call_id = double.call_answered(lead_id, "SIP/carrier-1")
    assert call_id is not None
    return call_id


def settle(agent: Ask, call_id: str, status: str = "NI") -> None:
    assert agent("ra_call_control", value=call_id, agent_user="9001", stage="HANGUP", status=status).startswith("SUCCESS")


@pytest.mark.parametrize("delay_s", [1.0, 12.0])
def test_a_bye_before_control_is_a_violation_at_any_age(double: Double, delay_s: float) -> None:
    call_id = answered(double)
    double.step(delay_s)
    double.leg_ended(call_id, by_box=True)
    with pytest.raises(AssertionError, match=f"BYE of {call_id} before any control"):
        double.check()


def test_a_bye_after_control_or_after_the_customer_s_is_right(double: Double, agent: Ask) -> None:
    first, second = answered(double, 36), answered(double, 37)
    settle(agent, first)
    double.leg_ended(first, by_box=True)
    double.customer_hung_up(second)
    double.leg_ended(second, by_box=True)
    double.check()


def test_a_bye_while_the_api_is_down_or_after_control_was_tried_is_excused(double: Double, agent: Ask) -> None:
    first, second = answered(double, 36), answered(double, 37)
    agent("ra_call_control", value=first, agent_user="9999", stage="HANGUP", status="NI")
    double.leg_ended(first, by_box=True)
    double.go_down()
    double.leg_ended(second, by_box=True)
    double.come_up()
    double.step(20)
    double.check()
    double.leg_ended(answered(double, 38), by_box=True)
    assert len(double.violations) == 1


@pytest.mark.parametrize(
    ("function", "params"),
    [
        ("update_lead", {"lead_id": "150", "status": "NI"}),
        ("add_dnc_phone", {"phone_number": "4155550150", "campaign_id": "TESTCAMP"}),
        ("update_remote_agent", {"agent_user": "9001", "number_of_lines": "1"}),
        ("update_log_entry", {"call_id": "V1221401430000000036", "group": "TESTCAMP", "status": "NI"}),
    ],
)
def test_where_nothing_may_be_written_a_write_is_a_violation(
    double: Double, admin: Ask, function: str, params: dict[str, str]
) -> None:
    double.forbid_writes = True
    admin("agent_status", agent_user="9001")
    double.check()
    admin(function, **params)
    with pytest.raises(AssertionError, match=f"{function} was called where nothing may be written"):
        double.check()


def test_a_status_that_no_one_defined_is_a_violation(double: Double, admin: Ask) -> None:
    admin("update_lead", lead_id="150", status="MYOWN")
    assert double.violations == ["update_lead of 150: no status 'MYOWN' is defined"]
    double.define_status("OTHER")
    admin("update_lead", lead_id="150", status="OTHER")
    assert len(double.violations) == 1


@pytest.mark.parametrize(
    "params",
    [
        {"comments": "the same words"},
        {"status": "NI"},
        {"custom_fields": "Y", "summary": "the same words"},
        {"callback": "Y", "callback_datetime": "2026-11-25 16:00:00", "campaign_id": "TESTCAMP"},
    ],
)
def test_the_same_write_again_is_delivered_twice(double: Double, admin: Ask, params: dict[str, str]) -> None:
    admin("update_lead", lead_id="150", **params)
    admin("lead_all_info", lead_id="150")
    assert double.delivered_twice() == []
    admin("update_lead", lead_id="150", **params)
    assert len(double.delivered_twice()) == 1


def test_what_has_changed_in_between_or_is_of_a_new_call_is_not_twice(double: Double, admin: Ask, agent: Ask) -> None:
    for status in ("NI", "SALE", "NI"):
        admin("update_lead", lead_id="150", status=status)
    for _ in range(2):
        call_id = answered(double)
        settle(agent, call_id)
        admin("update_lead", lead_id="36", status="NI", comments="no")
        double.step(10)
    assert double.delivered_twice() == []
    assert [write.changed for write in double.ledger.writes_of(36)] == [True, True, True, False]


def test_repairs_of_one_lead_s_calls_have_an_order(double: Double, admin: Ask) -> None:
    calls = []
    for lead_id in (36, 37, 36):
        calls.append(answered(double, lead_id))
        double.customer_hung_up(calls[-1])
        double.step(10)
    for call_id in (calls[0], calls[2], calls[1]):
        admin("update_log_entry", group="TESTCAMP", call_id=call_id, status="NI")
    assert double.out_of_order() == []
    admin("update_log_entry", group="TESTCAMP", call_id=calls[0], status="A")
    assert double.out_of_order() == [f"{calls[0]} A"]


def test_wrong_status(double: Double, agent: Ask) -> None:
    first, second = answered(double, 36), answered(double, 37)
    settle(agent, first, "NI")
    settle(agent, second, "A")
    double.expect(first, "NI")
    double.expect(second, "NI")
    assert double.wrong_status() == [f"{second} A, not NI"]


def test_a_line_kept_by_a_call_that_is_over_is_stuck(double: Double) -> None:
    call_id = answered(double)
    double.customer_hung_up(call_id)
    double.step(3)
    assert double.lines_stuck() == []
    double.state.update("vicidial_live_agents", {"user": "9001"}, status="INCALL", callerid=call_id)
    double.step(3)
    assert double.lines_stuck() == [f"9001 by {call_id}"]


def test_passwords_are_found_in_texts_and_watched_logs(double: Double, tmp_path: Path) -> None:
    secret = password_of(double, "apiuser")
    log = tmp_path / "daemon.log"
    double.watch(log)
    double.check("a quiet text")
    log.write_text("ERROR: Login incorrect, please try again: |apiuser|***|BAD|\n")
    double.check()
    log.write_text(f"ERROR: Login incorrect, please try again: |apiuser|{secret}|BAD|\n")
    with pytest.raises(AssertionError, match=r"the password of apiuser is in .*daemon\.log"):
        double.check()
    double.set_user("apiuser", password="p@ss word/1")
    assert double.leaks("GET /agc/api.php?pass=p%40ss%20word%2F1") == ["apiuser"]


def test_the_ledger_itself_keeps_no_password(double: Double, agent: Ask, admin: Ask) -> None:
    secret = password_of(double, "apiuser")
    admin("update_lead", lead_id="150", comments=f"mine is {secret}")
    agent("ra_call_control", **{"pass": "wrong-one"})
    assert [seen.function for seen in double.ledger.requests] == ["update_lead", "ra_call_control"]
    assert secret not in repr(double.ledger.requests)
    assert "wrong-one" not in repr(double.ledger.requests)


def test_the_hopper_hands_each_lead_out_once() -> None:
    with Double(clock=SteppedClock(), leads=3) as double:
        assert [double.next_lead() for _ in range(4)] == [8, 9, 10, None]


def test_a_human_can_come_back(double: Double, agent: Ask) -> None:
    double.log_out("9101")
    call_id = answered(double)
    agent(
        "ra_call_control", value=call_id, agent_user="9001", stage="INGROUPTRANSFER", ingroup_choices="SALESLINE", status="XFER"
    )
    double.step(3)
    assert double.ledger.pops == []
    double.log_in("9102")
    double.step(1)
    assert [pop.user for pop in double.ledger.pops] == ["9102"]


def test_a_file_keeps_the_tables(tmp_path: Path) -> None:
    path = str(tmp_path / "dialer.db")
    with Double(clock=SteppedClock(), path=path) as double:
        call_id = answered(double)
        double.state.update("vicidial_list", {"lead_id": 36}, comments="kept")
    with Double(clock=SteppedClock(), path=path) as double:
        assert (double.lead(36)["comments"], len(double.rows("select * from vicidial_list"))) == ("kept", 180)
        assert double.rows("select caller_code from vicidial_log") == [{"caller_code": call_id}]
        assert {row["status"] for row in double.lines()} == {"READY"}


def test_the_fixture_fails_the_test_that_did_it(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeconftest("from tests.fakes.vicidial.plugin import vicidial\n__all__ = ['vicidial']\n")
    pytester.makepyfile("""
        import logging
        from tests.fakes.vicidial import password_of

        def test_good(vicidial):
            assert vicidial.call_answered(36, "SIP/c-1") is not None

        def test_bye_first(vicidial):
            vicidial.leg_ended(vicidial.call_answered(36, "SIP/c-1"), by_box=True)

        def test_leak(vicidial):
            logging.getLogger().warning("pass=%s", password_of(vicidial, "apiuser"))
    """)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=3, errors=2)
    result.stdout.fnmatch_lines(["*BYE of V* before any control*", "*the password of apiuser is in text 1*"])
