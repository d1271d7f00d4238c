"""The line's part against a real Asterisk."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from appliance.config.settings import Sip, Transport
from appliance.doctor.findings import Finding, Level
from appliance.doctor.line import audio, examine_line
from tests.lab.asterisk.server import Asterisk
from tests.lab.processes import HOST, free_ports

NOBODY = free_ports()


@pytest.fixture(scope="module")
def asterisk() -> Iterator[Asterisk]:
    with Asterisk(free_ports()) as started:
        yield started


@pytest.fixture(scope="module")
def newer_asterisk() -> Iterator[Asterisk]:
    with Asterisk(free_ports(), dialer="asterisk22") as started:
        yield started


def phone(asterisk: Asterisk, **changes: object) -> Sip:
    fields = {
        "registrar": asterisk.address,
        "username": asterisk.phone.extension,
        "password": SecretStr(asterisk.phone.secret),
        "bind": HOST,
        "port": 0,
        "rtp_port": free_ports(64),
    }
    return Sip.model_validate(fields | changes)


def by_check(findings: list[Finding]) -> dict[str, Finding]:
    assert len({finding.check for finding in findings}) == len(findings)
    return {finding.check: finding for finding in findings}


@pytest.mark.parametrize("dialer", ["asterisk", "newer_asterisk"])
def test_a_good_line_registers_rings_itself_and_hears_both_tones(dialer: str, request: pytest.FixtureRequest) -> None:
    asterisk: Asterisk = request.getfixturevalue(dialer)
    report = examine_line(phone(asterisk), asterisk.phone.extension, call=True)
    found = by_check(report.findings)
    assert {check: finding.level for check, finding in found.items()} == {
        "registration": Level.PASS,
        "mailbox": Level.PASS,
        "test call": Level.PASS,
        "codec": Level.PASS,
        "audio": Level.PASS,
    }
    assert found["codec"].found == "PCMU, of PCMU, PCMA"
    assert "heard both ways" in found["audio"].found
    assert report.strays == []
    assert not asterisk.registered()


def test_a_wrong_password_is_told_apart_and_tried_once(asterisk: Asterisk) -> None:
    before = asterisk.log().count("Wrong password")
    report = examine_line(phone(asterisk, password=SecretStr("not-that-one")), asterisk.phone.extension, call=True)
    (finding,) = report.findings
    assert (finding.check, finding.level) == ("registration", Level.FAIL)
    assert "wrong password" in finding.found
    assert "Registration Password" in finding.todo
    assert "not-that-one" not in finding.found + finding.todo
    assert asterisk.log().count("Wrong password") - before == 1


def test_a_phone_that_may_not_use_tcp(asterisk: Asterisk) -> None:
    (finding,) = examine_line(phone(asterisk, transport=Transport.TCP), asterisk.phone.extension, call=False).findings
    assert finding.level is Level.FAIL
    assert "over TCP" in finding.todo


def test_a_dialer_that_is_not_there_is_told_apart() -> None:
    settings = Sip(registrar=f"{HOST}:{NOBODY}", username="8371", password=SecretStr("x"), bind=HOST, port=0)
    (finding,) = examine_line(settings, "8371", call=True).findings
    assert (finding.check, finding.level) == ("registration", Level.FAIL)
    assert "does not answer" in finding.found


def test_a_phone_that_registers_and_that_the_dialer_cannot_ring(newer_asterisk: Asterisk) -> None:
    """Its endpoint sends over UDP alone, and our contact is TCP: callers would all be in the voicemail."""
    report = examine_line(phone(newer_asterisk, transport=Transport.TCP), newer_asterisk.phone.extension, call=True)
    found = by_check(report.findings)
    assert found["registration"].level is Level.PASS
    assert found["test call"].level is Level.FAIL
    assert "voicemail" in found["test call"].found


def test_an_extension_that_leads_nowhere_fails_the_test_call_alone(asterisk: Asterisk) -> None:
    found = by_check(examine_line(phone(asterisk), "8999", call=True).findings)
    assert found["registration"].level is Level.PASS
    assert found["test call"].level is Level.FAIL
    assert "8999" in found["test call"].found
    assert "404" in found["test call"].found
    assert "audio" not in found


def test_a_dialer_without_our_codec(asterisk: Asterisk) -> None:
    found = by_check(examine_line(phone(asterisk, codecs=["speex/8000"]), asterisk.phone.extension, call=True).findings)
    assert found["registration"].level is Level.PASS
    assert found["codec"].level is Level.FAIL
    assert "speex/8000" in found["codec"].found
    assert "ulaw" in found["codec"].todo


def test_a_port_that_is_taken(asterisk: Asterisk) -> None:
    (finding,) = examine_line(phone(asterisk, port=asterisk.plan.sip_port), "8371", call=False).findings
    assert finding.level is Level.FAIL
    assert "in use" in finding.found


@pytest.mark.parametrize(
    ("there", "back", "level", "said"),
    [
        (-21.0, -20.0, Level.PASS, "both ways"),
        (-127.0, -20.0, Level.FAIL, "none from the calling leg to the called one"),
        (-20.0, -60.0, Level.FAIL, "none from the called leg to the calling one"),
        (-127.0, -127.0, Level.FAIL, "no audio in either direction"),
    ],
)
def test_one_way_audio_is_named_with_its_direction(there: float, back: float, level: Level, said: str) -> None:
    finding = audio(there, back, 16384)
    assert (finding.level, said in finding.found) == (level, True)
    assert bool(finding.todo) is (level is not Level.PASS)
