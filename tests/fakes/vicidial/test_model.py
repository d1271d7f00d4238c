"""Calls on the stepped clock: the cases of VICIDIAL.md Part II sections 3 and 4, ticks at 5.0 s, 15.04 s, 25.08 s ..."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest

from tests.fakes.vicidial import Double, SteppedClock, Timing
from tests.fakes.vicidial.asker import ADMIN, AGENT, Ask, Asker


@dataclass
class Recorder:
    """A switch that writes down what it was told, and when."""

    clock: SteppedClock = field(default_factory=SteppedClock)
    told: list[tuple[float, str, tuple[str, ...]]] = field(default_factory=list)

    def hangup(self, channel: str) -> None:
        self.told.append((self.clock.now(), "hangup", (channel,)))

    def redirect(self, channel: str, context: str, exten: str) -> None:
        self.told.append((self.clock.now(), "redirect", (channel, context, exten)))

    def deliver(self, channel: str, call_id: str, exten: str) -> None:
        self.told.append((self.clock.now(), "deliver", (channel, call_id, exten)))


@pytest.fixture
def switch() -> Recorder:
    return Recorder()


@pytest.fixture
def double(switch: Recorder) -> Iterator[Double]:
    with Double(clock=switch.clock, switch=switch, timing=Timing(race_lost_share=0.0)) as made:
        yield made


def answered(double: Double, lead_id: int = 36, channel: str = "SIP/c-1") -> str:
    call_id = double.call_answered(lead_id, channel)
    assert call_id is not None
    return call_id


def hang_up(agent: Ask, call_id: str, status: str = "NI", agent_user: str = "9001") -> str:
    return agent("ra_call_control", value=call_id, agent_user=agent_user, stage="HANGUP", status=status)


def to_group(agent: Ask, call_id: str, group: str = "SALESLINE") -> str:
    return agent(
        "ra_call_control", value=call_id, agent_user="9001", stage="INGROUPTRANSFER", ingroup_choices=group, status="XFER"
    )


def booked(double: Double, call_id: str) -> tuple[str, str]:
    """The list's and the log's side, as the table of VICIDIAL.md has them: REMOTE, or "number" for the AGI's own timing."""
    log = double.log(call_id)
    lead = double.lead(log["lead_id"])
    comments = log["comments"] if log["comments"] == "REMOTE" else f"{float(log['comments']) < 1 and 'number'}"
    row = f"{log['status']} {log['user']} {log['length_in_sec']} {log['term_reason']} {comments}"
    return f"{lead['status']} / {lead['user']}", row


def status_of(double: Double, user: str) -> str:
    line = double.line(user)
    return "" if line is None else line["status"]


def test_the_call_s_id_holds_the_day_with_one_digit_for_the_month_and_the_lead(double: Double) -> None:
    assert answered(double) == "V1221400000000000036"


def test_rows_when_the_phone_rings(double: Double) -> None:
    call_id = answered(double)
    line = double.line("9001")
    assert line is not None
    assert (line["status"], line["comments"], line["callerid"], line["lead_id"]) == ("QUEUE", "AUTO", call_id, 36)
    auto = double.rows("select * from vicidial_auto_calls")
    assert [(row["status"], row["call_type"], row["campaign_id"]) for row in auto] == [("XFER", "OUT", "TESTCAMP")]
    assert booked(double, call_id) == ("PU / VDAD", "QUEUE VDAD None NONE number")


def test_a_the_box_ends_it_before_the_tick_and_says_nothing(double: Double) -> None:
    call_id = answered(double)
    double.step(3)
    double.leg_ended(call_id, by_box=True)
    double.step(1)
    assert booked(double, call_id) == ("DROP / VDAD", "DROP VDAD 3 ABANDON number")
    assert double.left_as_drop() == [call_id]
    assert double.violations == [f"BYE of {call_id} before any control"]


def test_b_the_same_with_a_tick_in_between(double: Double) -> None:
    double.step(4)
    call_id = answered(double)
    double.step(3)
    double.leg_ended(call_id, by_box=True)
    double.step(1)
    assert booked(double, call_id) == ("XFER / 9001", "XFER 9001 3 CALLER REMOTE")
    assert double.unsettled() == [call_id]


def test_c_control_before_the_tick(double: Double, agent: Ask) -> None:
    call_id = answered(double)
    double.step(2.5)
    hang_up(agent, call_id, "A")
    double.step(0.2)
    double.leg_ended(call_id)
    double.step(3)
    assert booked(double, call_id) == ("A / VDAD", "A 9001 2 NONE number")
    double.check()


def test_d_the_customer_hangs_up_and_control_is_there_at_once(double: Double, agent: Ask) -> None:
    call_id = answered(double)
    double.step(3)
    double.customer_hung_up(call_id)
    double.step(0.003)
    assert hang_up(agent, call_id).startswith("SUCCESS")
    double.step(3)
    assert booked(double, call_id) == ("NI / VDAD", "NI 9001 3 ABANDON number")
    assert double.unsettled() == []


def test_d2_control_comes_late_and_the_repair_does_not_touch_the_rest(double: Double, agent: Ask, admin: Ask) -> None:
    call_id = answered(double)
    double.step(3)
    double.customer_hung_up(call_id)
    double.step(2.2)
    assert hang_up(agent, call_id) == f"ERROR: no active call found - {call_id}\n"
    assert booked(double, call_id) == ("DROP / VDAD", "DROP VDAD 3 ABANDON number")
    admin("update_log_entry", group="TESTCAMP", call_id=call_id, status="NI")
    admin("update_lead", lead_id="36", status="NI")
    assert booked(double, call_id) == ("NI / VDAD", "NI VDAD 3 ABANDON number")
    assert (double.left_as_drop(), double.unsettled()) == ([], [])


def test_e_the_box_ends_a_longer_call_and_says_nothing(double: Double) -> None:
    call_id = answered(double)
    double.step(16)
    double.leg_ended(call_id, by_box=True)
    double.step(1)
    assert booked(double, call_id) == ("XFER / 9001", "XFER 9001 16 CALLER REMOTE")


def test_f_success_is_said_and_nothing_written_when_the_hang_up_wins_the_race(client: httpx.Client) -> None:
    with Double(clock=SteppedClock(), timing=Timing(race_lost_share=1.0)) as double:
        agent, admin = Asker(double, client, AGENT), Asker(double, client, ADMIN)
        call_id = answered(double)
        double.step(15)
        double.customer_hung_up(call_id)
        double.step(0.003)
        assert hang_up(agent, call_id) == f"SUCCESS: ra_call_control hungup - 9001|{call_id}|HANGUP\n"
        double.step(3)
        assert booked(double, call_id) == ("XFER / 9001", "XFER 9001 15 CALLER REMOTE")
        manager = double.rows("select * from vicidial_manager")
        assert [(row["action"], row["channel"]) for row in manager] == [("Hangup", "")]
        assert double.unsettled() == [call_id]
        admin("update_log_entry", group="TESTCAMP", call_id=call_id, status="NI")
        assert double.unsettled() == []


def test_g_control_after_the_tick(double: Double, agent: Ask) -> None:
    call_id = answered(double)
    double.step(16)
    hang_up(agent, call_id)
    assert booked(double, call_id) == ("NI / 9001", "NI 9001 16 NONE REMOTE")


def test_the_customer_hangs_up_after_the_tick_and_control_is_there_at_once(double: Double, agent: Ask) -> None:
    double.step(4)
    call_id = answered(double)
    double.step(3)
    double.customer_hung_up(call_id)
    hang_up(agent, call_id)
    double.step(1)
    assert booked(double, call_id) == ("NI / 9001", "NI 9001 3 CALLER REMOTE")


def test_the_share_of_false_successes_is_about_one_in_eleven() -> None:
    lost = 0
    with Double(clock=SteppedClock(), leads=400) as double:
        for _ in range(330):
            lead = double.next_lead()
            assert lead is not None
            call_id = answered(double, lead)
            double.customer_hung_up(call_id)
            lost += not double.model.control(call_id, "9001", "HANGUP", "NI", "", double.clock.now())
            double.step(3)
    assert 15 <= lost <= 50


def test_after_control_the_line_is_ready_before_the_channel_ends(double: Double, agent: Ask, switch: Recorder) -> None:
    call_id = answered(double)
    double.step(2)
    before = double.clock.now()
    hang_up(agent, call_id)
    assert (status_of(double, "9001"), double.model.is_active(call_id), switch.told) == ("READY", False, [])
    manager = double.rows("select * from vicidial_manager")
    assert [(row["callerid"], row["action"], row["channel"]) for row in manager] == [
        ("HAPI" + call_id[4:], "Hangup", "SIP/c-1")
    ]
    double.step(0.2)
    [(at, what, arguments)] = switch.told
    assert (what, arguments) == ("hangup", ("SIP/c-1",))
    assert 0.010 <= at - before <= 0.100


@pytest.mark.parametrize("chance", range(5))
def test_the_channel_is_moved_10_to_100_ms_after_control(chance: int, agent: Ask, double: Double, switch: Recorder) -> None:
    call_id = answered(double, 36 + chance)
    agent("ra_call_control", value=call_id, agent_user="9001", stage="EXTENSIONTRANSFER", phone_number="8379", status="XFER")
    double.step(0.2)
    [(at, what, arguments)] = switch.told
    assert (what, arguments) == ("redirect", ("SIP/c-1", "default", "8379"))
    assert 0.010 <= at - 1795356000.0 <= 0.100
    assert double.log(call_id)["status"] == "XFER"


def test_without_control_the_line_is_dead_and_then_ready(double: Double, admin: Ask) -> None:
    call_id = answered(double)
    double.step(6)
    double.customer_hung_up(call_id)
    seen: list[tuple[float, str, str]] = []
    for _ in range(270):
        double.step(0.01)
        row = admin("agent_status", agent_user="9001").split("|")
        if not seen or seen[-1][1:] != (row[0], row[9]):
            seen.append((round(double.clock.now() - 1795356006.0, 2), row[0], row[9]))
    assert [state[1:] for state in seen] == [("INCALL", ""), ("INCALL", "DEAD"), ("READY", "")]
    assert 0.26 <= seen[1][0] <= 0.78
    assert 1.0 <= seen[2][0] <= 2.61


def test_a_transferred_customer_is_a_new_call_of_the_in_group_s(
    double: Double, agent: Ask, admin: Ask, switch: Recorder
) -> None:
    call_id = answered(double)
    double.step(20)
    admin("update_lead", lead_id="36", comments="Ann, wants a quote", custom_fields="Y", summary="owner, renewal in May")
    began = double.clock.now()
    to_group(agent, call_id)
    while len(switch.told) < 2:
        double.step(0.01)
        assert double.clock.now() - began < 1.3
    (_, moved, where), (rang, delivered, what) = switch.told
    assert (moved, where) == ("redirect", ("SIP/c-1", "default", "90009*SALESLINE**36**4155550029**9001**"))
    second = double.calls()[-1].call_id
    assert (delivered, what) == ("deliver", ("SIP/c-1", second, "8379"))
    assert 1.05 <= rang - began <= 1.24
    assert (second[0], second[10:], second[1:10] != call_id[1:10]) == ("Y", call_id[10:], True)
    [pop] = double.ledger.pops
    assert (pop.user, pop.comments, pop.custom) == ("9101", "Ann, wants a quote", {"summary": "owner, renewal in May"})
    row = admin("callid_info", call_id=second, detail="YES").split("|")
    assert (row[1], row[4], row[5]) == ("0", "INBOUND", "SALESLINE")
    double.leg_ended(call_id)
    assert double.model.is_active(second)
    double.step(14)
    hang_up(agent, second, "SALE", "9101")
    assert (double.log(second)["status"], double.log(second)["length_in_sec"]) == ("SALE", 15)
    assert (double.lead(36)["status"], double.log(call_id)["status"]) == ("SALE", "XFER")


def test_the_closer_s_leg_has_the_same_trap(double: Double, agent: Ask) -> None:
    double.step(6)  # the next tick is 9 s away
    call_id = answered(double)
    to_group(agent, call_id)
    double.step(2)
    double.customer_hung_up(call_id)
    double.step(1)
    second = double.calls()[-1]
    assert (second.call_id[0], double.log(second.call_id)["status"], double.lead(36)["status"]) == ("Y", "DROP", "DROP")


def test_with_nobody_in_the_group_the_customer_waits_and_can_be_pulled_back(
    double: Double, agent: Ask, switch: Recorder
) -> None:
    double.log_out("9101")
    call_id = answered(double)
    assert to_group(agent, call_id).startswith("SUCCESS")
    double.step(3)
    second = double.calls()[-1].call_id
    auto = double.rows("select * from vicidial_auto_calls")
    assert [(row["callerid"], row["status"], row["call_type"]) for row in auto] == [(second, "LIVE", "IN")]
    assert (double.log(second)["status"], double.log(second)["user"]) == ("QUEUE", "VDCL")
    said = agent(
        "ra_call_control", value=second, agent_user="9001", stage="EXTENSIONTRANSFER", phone_number="8371", status="XFER"
    )
    assert said.startswith("SUCCESS")
    double.step(0.2)
    assert switch.told[-1][1:] == ("redirect", ("SIP/c-1", "default", "8371"))


def test_the_v_id_finds_the_in_group_s_log_entry(double: Double, agent: Ask, admin: Ask) -> None:
    call_id = answered(double)
    to_group(agent, call_id)
    double.step(2)
    second = double.calls()[-1].call_id
    said = admin("update_log_entry", group="SALESLINE", call_id=call_id, status="SALE")
    assert said.startswith(
        f"SUCCESS: update_log_entry RECORD HAS BEEN UPDATED - apiuser|apiuser|SALESLINE|{call_id}|SALE|QUEUE|"
    )
    assert (double.log(second)["status"], double.log(call_id)["status"]) == ("SALE", "XFER")


def test_after_refer_the_line_stays_till_the_customer_leaves(double: Double, agent: Ask, switch: Recorder) -> None:
    first, second = answered(double, 36), answered(double, 37, "SIP/c-2")
    double.step(6)
    for call_id in (first, second):
        double.referred(call_id)
        double.leg_ended(call_id, by_box=True)
    double.step(30)
    assert (status_of(double, "9001"), status_of(double, "9002")) == ("INCALL", "INCALL")
    assert hang_up(agent, first).startswith("SUCCESS")  # it still kills the transferred call
    double.customer_hung_up(second)
    double.step(3)
    assert [what for _, *what in switch.told] == [["hangup", ("SIP/c-1",)]]
    assert (status_of(double, "9001"), status_of(double, "9002")) == ("READY", "READY")
    assert double.violations == []


def test_a_waiting_customer_reaches_a_line_20_to_948_ms_after_it_is_free(double: Double, agent: Ask, switch: Recorder) -> None:
    calls = [answered(double, 36), answered(double, 37)]
    waiting = double.call_answered(38, "SIP/c-3", wait_s=30)
    double.step(5)
    assert switch.told == []
    hang_up(agent, calls[0])
    began = double.clock.now()
    while len(switch.told) < 2:
        double.step(0.01)
    hangup, deliver = sorted(switch.told, key=lambda told: told[1], reverse=True)
    assert (hangup[1], deliver[1:]) == ("hangup", ("deliver", ("SIP/c-3", waiting, "8371")))
    assert 0.02 <= deliver[0] - began <= 0.96
    assert hangup[0] - began <= 0.11


def test_without_a_free_line_the_dialer_books_its_own_drop(double: Double, switch: Recorder) -> None:
    answered(double, 36)
    answered(double, 37)
    assert double.call_answered(38, "SIP/c-3") is None
    waiting = double.call_answered(39, "SIP/c-4", wait_s=10)
    assert waiting is not None
    double.step(11)
    assert (double.lead(38)["status"], double.lead(39)["status"]) == ("DROP", "DROP")
    assert [what for _, *what in switch.told] == [["hangup", ("SIP/c-3",)], ["hangup", ("SIP/c-4",)]]
    assert double.left_as_drop() == []


def test_statistics_follow_a_repair_within_the_hour_and_not_after_it(double: Double, admin: Ask) -> None:
    def drop(lead_id: int) -> str:
        call_id = answered(double, lead_id)
        double.customer_hung_up(call_id)
        double.step(3)
        return call_id

    early = [drop(lead_id) for lead_id in range(36, 41)]
    double.step(40)
    assert double.drops_today() == (5, 5)
    admin("update_log_entry", group="TESTCAMP", call_id=early[0], status="NI")
    double.step(45)
    assert double.drops_today() == (4, 5)
    double.step(3600)
    admin("update_log_entry", group="TESTCAMP", call_id=early[1], status="NI")
    double.step(45)
    assert double.drops_today() == (4, 5)
