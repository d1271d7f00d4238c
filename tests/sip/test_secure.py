"""What the settings make of TLS and SRTP, and the operator's mistakes with them."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from appliance.config.settings import Srtp, Transport
from appliance.errors import SipError
from appliance.sip.endpoint import SipEndpoint
from appliance.sip.stack import account_config, registrar_uri
from tests.sip.conftest import Inbox
from tests.sip.far_end import settings


@pytest.mark.parametrize(("transport", "tail"), [("udp", ""), ("tcp", ";transport=tcp"), ("tls", ";transport=tls")])
def test_the_registrar_is_reached_by_the_chosen_transport(transport: str, tail: str) -> None:
    assert registrar_uri(settings(transport=transport)) == f"sip:127.0.0.1:9{tail}"


@pytest.mark.parametrize(("srtp", "use"), [(Srtp.OFF, 0), (Srtp.OPTIONAL, 1), (Srtp.REQUIRED, 2)])
@pytest.mark.parametrize(("transport", "secure_signaling"), [(Transport.UDP, 0), (Transport.TLS, 1)])
def test_keys_given_over_tls_are_taken_over_tls_only(srtp: Srtp, use: int, transport: Transport, secure_signaling: int) -> None:
    media = account_config(settings(transport=transport, srtp=srtp)).mediaConfig
    assert (media.srtpUse, media.srtpSecureSignaling) == (use, secure_signaling)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "has no certificate in it"),
        (b"0\x82", "has no certificate in it"),
    ],
)
def test_a_bad_file_of_authorities_is_told_at_the_start(
    content: bytes | None, problem: str, tmp_path: Path, events: Inbox
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    endpoint = SipEndpoint(settings(transport="tls", tls_ca=path), 11, events.put)
    with pytest.raises(SipError) as caught:
        endpoint.start()
    assert caught.value.message == f"sip.tls_ca: {path} {problem}"


def test_keys_in_clear_are_warned_of(events: Inbox, caplog: pytest.LogCaptureFixture) -> None:
    endpoint = SipEndpoint(settings(srtp="optional"), 11, events.put)
    with caplog.at_level(logging.WARNING):
        endpoint.start()
        endpoint.stop(1.0)
    assert [record.getMessage() for record in caplog.records] == [
        "sip.srtp is optional, but its keys travel in clear over udp: set sip.transport to tls"
    ]


def test_no_warning_where_all_is_as_it_should_be(events: Inbox, caplog: pytest.LogCaptureFixture) -> None:
    endpoint = SipEndpoint(settings(transport="tls", srtp="required"), 11, events.put)
    with caplog.at_level(logging.WARNING):
        endpoint.start()
        endpoint.stop(1.0)
    assert caplog.records == []
