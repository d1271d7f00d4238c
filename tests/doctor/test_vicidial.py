"""The doctor's questions to both APIs, against the double."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.dialers.protocol import DialerCall
from appliance.dialers.vicidial.client import Client
from appliance.dialers.vicidial.dialer import VicidialDialer
from appliance.doctor.findings import Finding, Level
from appliance.doctor.vicidial import ApiReport, examine_api, rescue
from tests.doctor.site import settings
from tests.fakes.vicidial.clock import SteppedClock
from tests.fakes.vicidial.dialect import Dialect
from tests.fakes.vicidial.double import Double
from tests.fakes.vicidial.faults import FaultKind
from tests.fakes.vicidial.ledger import WRITES

NEEDED = (
    "ra_call_control agent_status logged_in_agents callid_info lead_all_info lead_callback_info campaigns_list update_lead "
    "update_log_entry add_dnc_phone update_remote_agent"
).split()


@pytest.fixture
def double() -> Iterator[Double]:
    with Double() as made:
        made.set_remote_agent("9001", status="INACTIVE")
        made.model.lines.remove("9001")
        made.model.lines.remove("9002")
        yield made


def examine(double: Double, folder: Path, *, running: bool = False, shadow: bool = False, **changes: object) -> ApiReport:
    site = settings(double, folder, **changes)

    async def ask() -> ApiReport:
        assert site.dialer.vicidial is not None
        client = Client(site.dialer.vicidial, read_only=shadow)
        try:
            return await examine_api(client, site.dialer.vicidial, 2, running=running, shadow=shadow)
        finally:
            await client.close()

    return asyncio.run(ask())


def by_check(report: ApiReport) -> dict[str, Finding]:
    assert len({finding.check for finding in report.findings}) == len(report.findings)
    return {finding.check: finding for finding in report.findings}


def failing(report: ApiReport) -> dict[str, Level]:
    return {finding.check: finding.level for finding in report.findings if finding.level is not Level.PASS}


def tables(double: Double) -> list[object]:
    names = [row["name"] for row in double.rows("select name from sqlite_master where type = 'table'")]
    changing = ("vicidial_users", "sqlite_sequence")  # the last log-in
    return [(name, double.rows(f"select * from {name}")) for name in names if name not in changing]  # noqa: S608


@pytest.mark.parametrize("dialect", list(Dialect))
def test_a_good_site_passes_and_nothing_of_it_is_changed(dialect: Dialect, tmp_path: Path) -> None:
    with Double(dialect=dialect) as double:
        double.set_remote_agent("9001", status="INACTIVE")
        for user in ("9001", "9002"):
            double.log_out(user)
        before = tables(double)
        report = examine(double, tmp_path)
        assert failing(report) == {}
        assert {f"permission {name}" for name in NEEDED} <= set(by_check(report))
        assert report.busy is False
        assert tables(double) == before
        assert [write for write in double.ledger.writes if write.changed] == []
        double.check("\n".join(map(str, report.findings)))


@pytest.mark.parametrize("denied", NEEDED)
def test_each_permission_is_missed_by_its_name_alone(double: Double, denied: str, tmp_path: Path) -> None:
    double.set_user("apiuser", api_allowed_functions=" ".join(name for name in NEEDED if name != denied))
    report = examine(double, tmp_path)
    finding = by_check(report)[f"permission {denied}"]
    assert finding.level is Level.FAIL
    assert denied in finding.found
    assert f"{denied} among its API Allowed Functions" in finding.todo
    granted = {f.check for f in report.findings if f.check.startswith("permission") and f.level is Level.PASS}
    assert granted == {f"permission {name}" for name in NEEDED if name != denied}


def test_a_wrong_password_is_tried_exactly_once_and_is_nowhere(double: Double, tmp_path: Path) -> None:
    report = examine(double, tmp_path, password="Wrong-41-open")
    assert failing(report) == {"password": Level.FAIL}
    logins = [seen for seen in double.ledger.requests if seen.params.get("user")]
    assert len(logins) == 1
    assert double.rows("select failed_login_count from vicidial_users where user = 'apiuser'") == [{"failed_login_count": 1}]
    assert "Wrong-41-open" not in str(report)


def test_a_user_without_the_agent_api_is_told(double: Double, tmp_path: Path) -> None:
    double.set_user("apiuser", vdc_agent_api_access=0)
    finding = by_check(examine(double, tmp_path))["permission ra_call_control"]
    assert finding.level is Level.FAIL
    assert "Agent API Access" in finding.todo


@pytest.mark.parametrize(
    ("field", "column", "functions"),
    [
        ("View Reports", "view_reports", {"agent_status", "logged_in_agents", "callid_info", "lead_callback_info"}),
        ("Modify Leads", "modify_leads", {"lead_all_info", "update_lead", "update_log_entry"}),
        ("Modify Lists", "modify_lists", {"add_dnc_phone"}),
        ("Modify Remote Agents", "modify_remoteagents", {"update_remote_agent"}),
    ],
)
def test_a_missing_right_is_told_by_its_field(
    double: Double, field: str, column: str, functions: set[str], tmp_path: Path
) -> None:
    missing: dict[str, Any] = {column: 0}
    double.set_user("apiuser", **missing)
    found = by_check(examine(double, tmp_path))
    told = {name for name in NEEDED if f"{field} 1" in found[f"permission {name}"].todo}
    assert told == {name for name in NEEDED if found[f"permission {name}"].level is Level.FAIL} == functions


@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize("running", [True, False])
def test_in_shadow_mode_nothing_is_sent_that_could_write(active: bool, running: bool, tmp_path: Path) -> None:
    with Double() as double:
        if active:
            wait_for_lines(double, 2)
        else:
            double.set_remote_agent("9001", status="INACTIVE")
            for user in ("9001", "9002"):
                double.log_out(user)
        report = examine(double, tmp_path, running=running, shadow=True)
        assert not {seen.function for seen in double.ledger.requests} & set(WRITES)
    found = by_check(report)
    writes = {"ra_call_control", "update_lead", "update_log_entry", "add_dnc_phone", "update_remote_agent"}
    skipped = {check for check, each in found.items() if each.level is Level.SKIP}
    assert skipped == {*(f"permission {name}" for name in writes), "in-group SALESLINE"}
    assert all("shadow mode" in found[check].found for check in skipped)
    assert found["remote agent"].level is (Level.FAIL if active else Level.PASS)
    assert ("its customers would meet silence" in found["remote agent"].found) is active
    assert report.busy is active


def test_an_old_build_is_a_warning_with_what_to_do(tmp_path: Path) -> None:
    with Double(build="230101-1200") as double:
        double.set_remote_agent("9001", status="INACTIVE")
        report = examine(double, tmp_path)
    found = by_check(report)
    assert found["build"].level is Level.WARN
    assert "manage_lines" in found["build"].todo
    assert found["permission update_remote_agent"].level is Level.WARN
    assert Level.FAIL not in failing(report).values()


@pytest.mark.parametrize(("skew_s", "level"), [(0.0, Level.PASS), (-8.0, Level.WARN), (3600.0, Level.FAIL)])
def test_a_clock_that_is_wrong_is_told_by_how_much(skew_s: float, level: Level, tmp_path: Path) -> None:
    with Double(clock=SteppedClock(time.time() + skew_s)) as double:
        double.set_remote_agent("9001", status="INACTIVE")
        finding = by_check(examine(double, tmp_path))["clock"]
    assert finding.level is level
    told = re.search(r"([0-9.]+) s (ahead of|behind)", finding.found)
    assert told is not None
    off_s = float(told[1]) * (1 if told[2] == "ahead of" else -1)
    assert off_s == pytest.approx(skew_s, abs=1.5)


@pytest.mark.parametrize(("kind", "said"), [(FaultKind.HTML, "web page"), (FaultKind.STATUS_500, "500")])
def test_a_web_server_without_the_api_fails_once_and_ends_it(
    double: Double, kind: FaultKind, said: str, tmp_path: Path
) -> None:
    double.fault(kind)
    (finding,) = examine(double, tmp_path).findings
    assert (finding.check, finding.level) == ("agent API", Level.FAIL)
    assert said in finding.found
    assert "agent_path" in finding.todo


def test_a_dialer_that_is_down(double: Double, tmp_path: Path) -> None:
    double.go_down()
    (finding,) = examine(double, tmp_path, url="http://127.0.0.1:9/").findings
    assert (finding.check, finding.level) == ("agent API", Level.FAIL)
    assert "http://127.0.0.1:9/agc/api.php: " in finding.found


@pytest.mark.parametrize(
    ("changes", "check", "level"),
    [
        ({"agent_user": "9777"}, "remote agent", Level.FAIL),
        ({"campaign": "NOCAMP"}, "campaign", Level.FAIL),
        ({"transfer_to": "NOGROUP"}, "in-group NOGROUP", Level.FAIL),
        ({"rescue_to": "NOGROUP"}, "in-group NOGROUP", Level.FAIL),
        ({"transfer_to": ""}, "in-groups", Level.WARN),
    ],
)
def test_what_the_settings_name_must_be_there(
    double: Double, changes: dict[str, Any], check: str, level: Level, tmp_path: Path
) -> None:
    report = examine(double, tmp_path, running=False, **changes)
    assert failing(report) == {check: level}
    assert by_check(report)[check].todo


def test_an_active_remote_agent_is_right_while_the_box_runs_and_wrong_while_not(tmp_path: Path) -> None:
    with Double() as double:
        wait_for_lines(double, 2)
        report = examine(double, tmp_path)
        assert failing(report) == {"remote agent": Level.FAIL}
        assert report.busy is True
        assert failing(examine(double, tmp_path, running=True)) == {}


def test_fewer_lines_than_the_box_takes_and_none_at_all(double: Double, tmp_path: Path) -> None:
    assert failing(examine(double, tmp_path, running=True)) == {"remote agent": Level.WARN}
    double.set_remote_agent("9001", status="ACTIVE", number_of_lines=1)
    wait_for_lines(double, 1)
    finding = by_check(examine(double, tmp_path, running=True))["remote agent"]
    assert finding.level is Level.WARN
    assert "1 lines" in finding.found


def wait_for_lines(double: Double, count: int) -> None:
    deadline = time.monotonic() + 8
    while len(double.lines()) != count:
        assert time.monotonic() < deadline, double.lines()
        time.sleep(0.02)


def test_no_write_of_the_doctor_can_be_about_something_real(double: Double, tmp_path: Path) -> None:
    examine(double, tmp_path)
    real = {str(row["lead_id"]) for row in double.rows("select lead_id from vicidial_list")}
    for seen in double.ledger.requests:
        if seen.function in WRITES:
            assert seen.params.get("lead_id") not in real
            assert seen.params.get("value", "V" + "0" * 19) == "V" + "0" * 19
            assert seen.params.get("call_id", "V" + "0" * 19) == "V" + "0" * 19
            assert not {"status", "number_of_lines"} & set(seen.params) or seen.function != "update_remote_agent"


def test_customers_who_came_in_between_are_sent_on(tmp_path: Path) -> None:
    with Double() as double:
        wait_for_lines(double, 2)
        lead = double.next_lead()
        assert lead is not None
        call_id = double.call_answered(lead, "SIP/carrier-1")
        assert call_id is not None
        site = settings(double, tmp_path).dialer.vicidial
        assert site is not None

        async def save() -> list[Finding]:
            dialer = VicidialDialer(site, lines=2)
            try:
                gone = DialerCall(call_id[:10] + "0000000099", 99)
                return await rescue(dialer, [DialerCall(call_id, int(call_id[10:])), gone], "XFER")
            finally:
                await dialer.close()

        sent, gone = asyncio.run(save())
        assert "was sent to a human" in sent.found
        assert "has hung up" in gone.found
        assert double.log(call_id)["status"] == "XFER"
        double.check()
