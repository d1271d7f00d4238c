"""Remote agents switched on, off, wider and narrower: VICIDIAL.md Part II section 8."""

from __future__ import annotations

from itertools import pairwise

from tests.fakes.vicidial import Double
from tests.fakes.vicidial.asker import Ask


def test_the_drain(double: Double, admin: Ask) -> None:
    began = double.clock.now()
    admin("update_remote_agent", agent_user="9001", status="INACTIVE")
    times: dict[str, dict[str, float]] = {"9001": {}, "9002": {}}
    while double.clock.now() - began < 50:
        rows = {row["user"]: row for row in double.lines()}
        for user, seen in times.items():
            row = rows.get(user)
            state = "gone" if row is None else row["status"] if row["routable"] or row["status"] != "READY" else "unused"
            seen.setdefault(state, double.clock.now() - began)
        double.step(0.1)
    for seen in times.values():
        assert list(seen) == ["READY", "unused", "PAUSED", "gone"]
        assert 15.4 <= seen["unused"] <= 16.7
        assert 21 <= seen["PAUSED"] <= 33.1
        assert 36 <= seen["gone"] <= 46.1


def test_calls_come_for_16_s_after_inactive_and_none_later(double: Double, admin: Ask) -> None:
    admin("update_remote_agent", agent_user="9001", status="INACTIVE")
    double.step(15)
    assert double.call_answered(36, "SIP/c-1") is not None
    double.step(5)
    assert double.call_answered(37, "SIP/c-2") is None


def test_active_again_is_ready_in_1_to_3_s(double: Double, admin: Ask) -> None:
    admin("update_remote_agent", agent_user="9001", status="INACTIVE")
    double.step(50)
    assert double.lines() == []
    admin("update_remote_agent", agent_user="9001", status="ACTIVE")
    double.step(1.2)
    assert double.lines() == []
    double.step(1.9)
    assert [(row["user"], row["status"]) for row in double.lines()] == [("9001", "READY"), ("9002", "READY")]


def test_active_again_during_the_drain_keeps_the_lines(double: Double, admin: Ask) -> None:
    admin("update_remote_agent", agent_user="9001", status="INACTIVE")
    double.step(34)
    assert {row["status"] for row in double.lines()} == {"PAUSED"}
    admin("update_remote_agent", agent_user="9001", status="ACTIVE")
    double.step(30)
    assert [(row["status"], row["routable"]) for row in double.lines()] == [("READY", 1), ("READY", 1)]


def test_a_third_line_comes_in_1_to_3_s(double: Double, admin: Ask) -> None:
    admin("update_remote_agent", agent_user="9001", number_of_lines="3")
    double.step(3.1)
    assert [row["user"] for row in double.lines()] == ["9001", "9002", "9003"]
    assert double.remote_agent()["number_of_lines"] == 3


def test_fewer_lines_keep_the_calls_but_their_row_goes(double: Double, admin: Ask, agent: Ask) -> None:
    calls = [double.call_answered(lead_id, f"SIP/c-{lead_id}") for lead_id in (36, 37)]
    admin("update_remote_agent", agent_user="9001", number_of_lines="1")
    double.step(50)
    assert [row["user"] for row in double.lines()] == ["9001"]
    assert all(double.model.is_active(call_id or "") for call_id in calls)
    ask = {"value": calls[1] or "", "stage": "HANGUP", "status": "NI"}
    assert agent("ra_call_control", agent_user="9002", **ask) == "ERROR: agent_user is not logged in - 9002\n"
    assert agent("ra_call_control", agent_user="9001", **ask).startswith("SUCCESS")


def test_a_line_freed_during_the_drain_is_not_ready_again(double: Double, admin: Ask, agent: Ask) -> None:
    call_id = double.call_answered(36, "SIP/c-1")
    assert call_id is not None
    admin("update_remote_agent", agent_user="9001", status="INACTIVE")
    double.step(34)
    agent("ra_call_control", value=call_id, agent_user="9001", stage="HANGUP", status="NI")
    line = double.line("9001")
    assert line is not None
    assert (line["status"], line["callerid"]) == ("PAUSED", "")


def test_the_tick_comes_every_10_04_s(double: Double) -> None:
    seen = []
    for lead_id in range(36, 39):
        call_id = double.call_answered(lead_id, "SIP/c-1")
        assert call_id is not None
        while double.log(call_id)["status"] == "QUEUE":
            double.step(0.01)
        seen.append(round(double.clock.now() - 1795356000.0, 2))
        double.customer_hung_up(call_id)
        double.step(3)
    assert [round(later - earlier, 1) for earlier, later in pairwise(seen)] == [10.0, 10.0]
