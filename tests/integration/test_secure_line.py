"""SIP over TLS and SRTP against the real Asterisk, by both of its SIP drivers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from appliance.calls.events import HungUp, Incoming, MediaStarted
from appliance.config.settings import Sip
from appliance.doctor.findings import Level
from appliance.doctor.line import examine_line
from appliance.sip.endpoint import SipEndpoint
from appliance.sip.registration import RegistrationChanged, State
from tests.integration.secure_pbx import ECHO, Identity, furnish, identity, modules_missing, show
from tests.lab.asterisk.server import Asterisk, root_of
from tests.lab.capture import Capture, Follower
from tests.lab.processes import free_ports
from tests.sip.conftest import Inbox
from tests.sip.far_end import TONE_DBOV, level_at, settings, tone

TONE_HZ = 1000.0
RTP_BYTES, SRTP_TAG_BYTES = 172, 10
BACK_S = 5.0


@dataclass(frozen=True)
class Site:
    """`other` is a second authority's."""

    asterisk: Asterisk
    address: str
    trusted: Identity
    other: Identity

    def phone(self, **changes: Any) -> Sip:
        fields = {
            "registrar": self.address,
            "username": self.asterisk.phone.extension,
            "password": SecretStr(self.asterisk.phone.secret),
            "transport": "tls",
            "tls_ca": self.trusted.authority,
            "srtp": "required",
            "rtp_port": free_ports(64),
            "trusted": [],
        }
        return settings(**(fields | changes))


@pytest.fixture(scope="module", params=["asterisk16", "asterisk22"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if modules_missing(root_of(request.param)):
        pytest.skip(f"{request.param} is without res_srtp")
    folders = [tmp_path_factory.mktemp(name) for name in ("trusted", "other")]
    trusted, other = (identity(folder, names="IP:127.0.0.1") for folder in folders)
    tls_port = free_ports()
    with Asterisk(free_ports(), dialer=request.param) as asterisk:
        furnish(asterisk, tls_port, trusted)
        yield Site(asterisk, f"127.0.0.1:{tls_port}", trusted, other)


@pytest.fixture
def events() -> Inbox:
    return Inbox()


@contextmanager
def line(sip: Sip, post: Callable[[object], None]) -> Iterator[SipEndpoint]:
    endpoint = SipEndpoint(sip, 4, post)
    endpoint.start()
    try:
        endpoint.register()
        yield endpoint
    finally:
        endpoint.stop(3.0)


def reaches(events: Inbox, state: State) -> RegistrationChanged:
    found: RegistrationChanged = events.wait(
        lambda event: isinstance(event, RegistrationChanged) and event.state is state, state.value
    )
    return found


def echoed(endpoint: SipEndpoint, call: str) -> float:
    """The level of our tone as the dialer's Echo sends it back."""
    media = endpoint.media(call)
    assert media is not None
    media.playout.write(1, 0, tone(TONE_HZ, 5), True)
    media.playout.close(1)
    deadline, heard = time.monotonic() + 4, b""
    while time.monotonic() < deadline:
        heard += b"".join(media.received.drain())
        last = heard[-8000:]
        if len(last) == 8000 and level_at(last, TONE_HZ) > TONE_DBOV - 3:
            break
        time.sleep(0.02)
    return level_at(heard[-8000:], TONE_HZ)


def rung_by_the_dialer(asterisk: Asterisk, endpoint: SipEndpoint, events: Inbox) -> float:
    """The dialer calls the phone and echoes it; how loud our tone came back."""
    driver = "PJSIP" if asterisk.pjsip else "SIP"
    asterisk.cli(f"channel originate {driver}/{asterisk.phone.extension} application Echo")
    call = events.of(Incoming).call
    endpoint.answer(call)
    assert events.of(MediaStarted).call == call
    heard = echoed(endpoint, call)
    endpoint.hang_up(call)
    assert events.of(HungUp).call == call
    return heard


def rtp_sizes(captured: Path, wanted: Callable[[int, int], bool]) -> set[int]:
    """Sizes of the PCMU packets whose source and target port are `wanted`."""
    return {len(d.payload) for d in Follower(captured).new() if d.payload[1] & 0x7F == 0 and wanted(d.source, d.target)}


def test_a_call_from_the_dialer_is_heard_both_ways_and_is_encrypted(site: Site, events: Inbox, tmp_path: Path) -> None:
    with line(site.phone(), events.put) as endpoint:
        reaches(events, State.REGISTERED)
        assert site.asterisk.registered()
        with Capture(tmp_path / "calls.pcap", site.asterisk.rtp_ports) as capture:
            assert rung_by_the_dialer(site.asterisk, endpoint, events) > TONE_DBOV - 3
        ports = site.asterisk.rtp_ports
        assert rtp_sizes(capture.path, lambda source, _: source in ports) == {RTP_BYTES + SRTP_TAG_BYTES}
        assert rtp_sizes(capture.path, lambda _, target: target in ports) == {RTP_BYTES + SRTP_TAG_BYTES}


def test_a_call_of_ours_goes_over_tls_too(site: Site, events: Inbox) -> None:
    with line(site.phone(srtp="optional"), events.put) as endpoint:
        reaches(events, State.REGISTERED)
        call = endpoint.place(f"sip:{ECHO}@{site.address};transport=tls")
        assert events.of(MediaStarted).call == call
        assert echoed(endpoint, call) > TONE_DBOV - 3


def test_the_dialer_restarts_and_calls_again(site: Site, events: Inbox) -> None:
    with line(site.phone(), events.put) as endpoint:
        reaches(events, State.REGISTERED)
        site.asterisk.restart()
        assert site.asterisk.wait_registered(BACK_S) <= BACK_S
        assert rung_by_the_dialer(site.asterisk, endpoint, events) > TONE_DBOV - 3


def test_an_untrusted_certificate_is_told_once_and_tried_on(site: Site, events: Inbox) -> None:
    told: list[RegistrationChanged] = []

    def keep(event: object) -> None:
        if isinstance(event, RegistrationChanged):
            told.append(event)
        events.put(event)

    with line(site.phone(tls_ca=site.other.authority), keep):
        lost = reaches(events, State.LOST)
        assert lost.detail.startswith("the dialer's certificate is not trusted: ")
        assert "sip.tls_ca" in lost.detail
        assert not site.asterisk.registered()
        show(site.asterisk, site.other)
        site.asterisk.restart()
        try:
            reaches(events, State.REGISTERED)
            assert [event.state for event in told] == [State.TRYING, State.LOST, State.REGISTERED]
        finally:
            show(site.asterisk, site.trusted)
            site.asterisk.restart(away_s=0.0)


def test_a_certificate_for_another_name_is_not_trusted(site: Site, tmp_path: Path) -> None:
    elsewhere = identity(tmp_path, names="DNS:dialer.example,IP:192.0.2.10")
    show(site.asterisk, elsewhere)
    site.asterisk.restart(away_s=0.0)
    try:
        report = examine_line(site.phone(tls_ca=elsewhere.authority), "8371", call=False)
        (finding,) = report.findings
        assert finding.level is Level.FAIL
        assert finding.found.startswith("the dialer's certificate is not trusted: ")
    finally:
        show(site.asterisk, site.trusted)
        site.asterisk.restart(away_s=0.0)


def test_over_tcp_too_the_contact_is_that_of_the_new_connection(events: Inbox) -> None:
    with Asterisk(free_ports(), dialer="asterisk22") as asterisk:
        phone = {"registrar": asterisk.address, "username": asterisk.phone.extension, "transport": "tcp", "trusted": []}
        with line(settings(**phone, password=SecretStr(asterisk.phone.secret)), events.put) as endpoint:
            reaches(events, State.REGISTERED)
            config = asterisk.home / "etc" / "pjsip.conf"
            config.write_text(config.read_text().replace("transport=udp\nauth", "transport=tcp\nauth"))
            asterisk.restart()
            asterisk.wait_registered(BACK_S)
            assert rung_by_the_dialer(asterisk, endpoint, events) > TONE_DBOV - 3


def test_unverified_any_certificate_will_do(site: Site, events: Inbox, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), line(site.phone(tls_ca=site.other.authority, tls_verify=False), events.put):
        reaches(events, State.REGISTERED)
    assert [record.getMessage() for record in caplog.records] == [
        f"sip.tls_verify is false: any machine that answers at {site.address} is taken for the dialer"
    ]
