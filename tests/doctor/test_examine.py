"""The command as an installer types it: a real Asterisk, the double, real processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.dialers.protocol import DialerCall
from appliance.doctor import examine
from appliance.doctor.findings import Level
from appliance.doctor.line import LineReport
from tests.box import Box, eventually
from tests.doctor.site import campaign, settings, vicidial
from tests.fakes.vicidial.double import Double
from tests.fakes.vicidial.ledger import WRITES
from tests.lab.asterisk.server import Asterisk
from tests.lab.processes import HOST, free_ports

OURS = "AIQUAL,AINQ,AIHUMN,AIWN,AICU,AIFAIL,AIBUSY"


@pytest.fixture(scope="module")
def asterisk() -> Iterator[Asterisk]:
    with Asterisk(free_ports()) as started:
        yield started


@pytest.fixture
def double() -> Iterator[Double]:
    with Double() as made:
        made.set_remote_agent("9001", status="INACTIVE")
        for user in ("9001", "9002"):
            made.log_out(user)
        yield made


@pytest.fixture
def box(asterisk: Asterisk, double: Double, tmp_path: Path) -> Iterator[Box]:
    sip = {"password": asterisk.phone.secret}
    with Box(tmp_path, registrar=asterisk.address, sip=sip, capacity={"lines": 2}) as box:
        box.settings["dialer"] = {"kind": "vicidial", "vicidial": vicidial(double)}
        box.write()
        yield box


def doctor(box: Box, *more: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, findings by check, everything that was printed."""
    done = box.command("doctor", "--json", *more)
    assert "Traceback" not in done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["exit_code"] == done.returncode
    return done.returncode, {finding["check"]: finding for finding in report["findings"]}, done.stdout + done.stderr


def test_a_good_site_from_end_to_end(box: Box, double: Double, asterisk: Asterisk) -> None:
    code, found, printed = doctor(box, "--statuses", OURS)
    assert {check: each for check, each in found.items() if each["level"] in ("warn", "fail")} == {}
    assert code == 0
    box_itself = {
        "settings",
        "registrar's name",
        "API's name",
        "extension",
        "statuses",
        "dispositions",
        "correlation",
        "outbox",
    }
    line = {"registration", "test call", "codec", "audio", "mailbox"}
    dialer = {"agent API", "non-agent API", "clock", "password", "remote agent", "campaign", "in-group SALESLINE"}
    assert {check for check in found if not check.startswith("permission ")} == box_itself | line | dialer
    double.check(printed)
    assert asterisk.phone.secret not in printed


def test_what_an_installer_reads(box: Box, double: Double) -> None:
    done = box.command("doctor", "--no-call")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert any(line.startswith("PASS  registration ") for line in lines)
    warned = next(n for n, line in enumerate(lines) if line.startswith("WARN  statuses "))
    assert lines[warned + 1].strip().startswith("-> ")
    assert "test call" not in done.stdout
    assert lines[-1].endswith("see above what to do")
    assert " 1 warn" in lines[-1]
    double.check(done.stdout, done.stderr)


def test_both_passwords_wrong_are_each_tried_once(box: Box, double: Double, asterisk: Asterisk) -> None:
    box.settings["sip"]["password"] = "Wrong-42-open"
    box.settings["dialer"]["vicidial"]["password"] = "Wrong-41-open"
    box.write()
    before = asterisk.log().count("Wrong password")
    code, found, printed = doctor(box)
    assert code == 2
    assert found["password"]["level"] == "fail"
    assert found["registration"]["level"] == "fail"
    assert asterisk.log().count("Wrong password") - before == 1
    assert double.rows("select failed_login_count from vicidial_users where user = 'apiuser'") == [{"failed_login_count": 1}]
    assert "Wrong-4" not in printed


def test_an_active_remote_agent_keeps_the_doctor_off_the_line(box: Box, double: Double, asterisk: Asterisk) -> None:
    double.set_remote_agent("9001", status="ACTIVE")
    eventually(lambda: len(double.lines()) == 2, "the lines")
    code, found, _ = doctor(box)
    assert code == 2
    assert found["remote agent"]["level"] == "fail"
    assert found["registration"]["level"] == "skip"
    assert "test call" not in found


def test_beside_a_running_box_its_own_registration_is_told(box: Box, double: Double, asterisk: Asterisk) -> None:
    double.set_remote_agent("9001", status="ACTIVE")
    box.start()
    asterisk.wait_registered()
    code, found, printed = doctor(box, "--statuses", OURS)
    assert code in (0, 1)
    assert found["registration"]["level"] == "pass"
    assert found["test call"]["level"] == "skip"
    assert box.running
    double.check(printed)


def test_a_stray_call_is_left_alone_in_shadow_mode(double: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a copy: the one who really talks to the customer must not lose them to a human's queue."""
    stray = DialerCall("V1221347110000000010", 10)
    monkeypatch.setattr(examine, "examine_line", lambda *_, **__: LineReport([], [stray]))
    site = settings(double, tmp_path)
    shadow = site.model_copy(update={"dialer": site.dialer.model_copy(update={"shadow": True})})
    found = {finding.check: finding for finding in examine.Examination(shadow, campaign(), lambda _: None).run()}
    assert found["rescue"].level is Level.SKIP
    assert "shadow mode" in found["rescue"].found
    assert not {seen.function for seen in double.ledger.requests} & set(WRITES)


def test_a_plain_pbx_has_only_the_checks_that_apply(box: Box, asterisk: Asterisk) -> None:
    box.settings["dialer"] = {"kind": "pbx"}
    box.write()
    code, found, _ = doctor(box)
    assert code == 0
    assert set(found) == {"settings", "registrar's name", "registration", "mailbox", "test call", "codec", "audio"}


def test_a_queue_whose_manager_does_not_answer(box: Box) -> None:
    box.settings["dialer"] = {
        "kind": "queue",
        "queue": {"manager": f"{HOST}:{free_ports()}", "user": "bot", "password": "Secret-77", "queue": "sales"},
    }
    box.write()
    code, found, printed = doctor(box, "--no-call")
    assert code == 2
    assert found["manager interface"]["level"] == "fail"
    assert "manager.conf" in found["manager interface"]["todo"]
    assert "Secret-77" not in printed


def test_settings_that_do_not_load_are_the_only_finding(box: Box) -> None:
    box.settings["sip"]["port"] = 99999
    box.write()
    code, found, _ = doctor(box)
    assert (code, set(found)) == (2, {"settings"})
    assert "sip.port" in found["settings"]["found"]


def test_each_problem_of_the_settings_is_a_line(box: Box) -> None:
    box.settings["sip"] |= {"port": 99999, "pasword": "x"}
    box.write()
    done = box.command("doctor")
    failed = [line.split(None, 2)[2] for line in done.stdout.splitlines() if line.startswith("FAIL  settings ")]
    assert failed == [
        f"{box.config}: sip.port: should be less than or equal to 65535",
        f"{box.config}: sip.pasword: unknown key, did you mean 'password'?",
    ]
    assert done.stdout.splitlines()[-1].startswith("2 fail")
