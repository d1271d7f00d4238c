"""Real calls over loopback between this process's endpoint and a second pjsua2 in a process of its own."""

from __future__ import annotations

import logging
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.audio.formats import FRAME_BYTES
from appliance.audio.levels import level_dbov
from appliance.audio.playout import Progress
from appliance.calls.events import HungUp, Incoming, MediaStarted
from appliance.errors import SipError
from appliance.sip import legs
from appliance.sip.endpoint import InviteRefused, SipEndpoint
from appliance.sip.media import CallMedia
from appliance.sip.registration import RegistrationChanged, State
from tests.sip.conftest import WAIT_S, FarEndProcess, Inbox
from tests.sip.far_end import TONE_DBOV, level_at, settings, tone

OUR_TONE_HZ = 1000.0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def call_in(endpoint: SipEndpoint, far_end: FarEndProcess, events: Inbox, number: str = "4155550023") -> tuple[str, str]:
    """The far end calls, we answer: (our call id, the far end's)."""
    theirs = far_end.do(
        "place",
        uri=f"sip:8371@127.0.0.1:{endpoint.port}",
        caller_name="V7152252280000844707",
        caller_number=number,
    )
    incoming = events.of(Incoming)
    endpoint.answer(incoming.call)
    assert events.of(MediaStarted).call == incoming.call
    far_end.event("started", theirs)
    return incoming.call, theirs


def media_of(endpoint: SipEndpoint, call: str) -> CallMedia:
    media = endpoint.media(call)
    assert media is not None
    return media


def hear(media: CallMedia, frames: int) -> bytes:
    """The next so many frames of the caller."""
    heard: list[bytes] = []

    def enough() -> bool:
        heard.extend(media.received.drain())
        return len(heard) >= frames

    until(enough)
    return b"".join(heard)


def test_an_incoming_call_from_invite_to_bye(endpoint: SipEndpoint, far_end: FarEndProcess, events: Inbox) -> None:
    theirs = far_end.do(
        "place",
        uri=f"sip:8371@127.0.0.1:{endpoint.port}",
        caller_name="V7152252280000844707",
        caller_number="4155550023",
    )
    incoming = events.of(Incoming)
    assert (incoming.caller_name, incoming.caller_number) == ("V7152252280000844707", "4155550023")
    assert incoming.sip_call_id
    endpoint.answer(incoming.call)
    assert events.of(MediaStarted) == MediaStarted(incoming.call)
    media = media_of(endpoint, incoming.call)
    far_end.do("hang_up", call=theirs)
    assert events.of(HungUp) == HungUp(incoming.call, code=200, reason="Normal call clearing", by_us=False)
    assert endpoint.media(incoming.call) is None
    assert media.received.stats().pushed == media.sent.stats().pushed > 0


def test_both_sides_hear_each_other_at_the_right_level(endpoint: SipEndpoint, far_end: FarEndProcess, events: Inbox) -> None:
    call, theirs = call_in(endpoint, far_end, events)
    media = media_of(endpoint, call)
    media.playout.write(1, 0, tone(OUR_TONE_HZ, 1.2), True)
    media.playout.close(1)
    heard = hear(media, 60)[-40 * FRAME_BYTES :]
    assert level_at(heard, far_end.TONE_HZ) == pytest.approx(TONE_DBOV, abs=0.3)
    measured = far_end.do("measure", call=theirs, hz=OUR_TONE_HZ)
    assert measured["bytes"] > 30 * FRAME_BYTES
    assert measured["at"] == pytest.approx(TONE_DBOV, abs=1.5)

    # The ring of what was sent has what left, frame for frame.
    progress: list[Progress] = []

    def finished() -> bool:
        progress.extend(media.playout.progress())
        return bool(progress) and progress[-1].finished

    until(finished)
    assert progress[-1].samples == 9600
    sent = b"".join(media.sent.drain())
    assert level_dbov(sent[10 * FRAME_BYTES : 50 * FRAME_BYTES]) == pytest.approx(TONE_DBOV, abs=0.1)

    endpoint.hang_up(call)
    assert events.of(HungUp) == HungUp(call, code=200, reason="OK", by_us=True)
    assert far_end.event("hung_up", theirs)["by_us"] is False


def test_a_call_that_we_place(endpoint: SipEndpoint, far_end: FarEndProcess, events: Inbox) -> None:
    call = endpoint.place(f"sip:x@127.0.0.1:{far_end.port}", caller_name='A "quoted" name', caller_number="777")
    incoming = far_end.event("incoming")
    assert (incoming["name"], incoming["number"]) == ('A "quoted" name', "777")
    assert events.of(MediaStarted).call == call
    far_end.do("hang_up", call=incoming["call"])
    assert events.of(HungUp).by_us is False


def test_a_call_to_nobody_ends_by_itself(endpoint: SipEndpoint, events: Inbox) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))
        call = endpoint.place("not a uri")
    ended = events.of(HungUp)
    assert (ended.call, ended.by_us) == (call, False)
    assert ended.code >= 400
    endpoint.answer(call)
    endpoint.hang_up(call)


def test_ten_calls_at_once_and_again(endpoint: SipEndpoint, far_end: FarEndProcess, events: Inbox) -> None:
    for _round in range(2):
        uri = f"sip:8371@127.0.0.1:{endpoint.port}"
        theirs = [far_end.do("place", uri=uri, caller_number=f"41555500{n:02}") for n in range(10)]
        incoming = [events.of(Incoming) for _ in theirs]
        assert sorted(event.caller_number for event in incoming) == [f"41555500{n:02}" for n in range(10)]
        for event in incoming:
            endpoint.answer(event.call)
        ours = {events.of(MediaStarted).call for _ in theirs}
        assert ours == {event.call for event in incoming}
        assert endpoint.clock.plugged == 10
        for call in ours:
            assert level_at(hear(media_of(endpoint, call), 30)[-10 * FRAME_BYTES :], far_end.TONE_HZ) > TONE_DBOV - 1
        for n, call in enumerate(sorted(ours)):
            stats = media_of(endpoint, call).received.stats()
            assert stats.overruns == 0
            if n % 2:
                endpoint.hang_up(call)
        for number, event in enumerate(sorted(incoming, key=lambda event: event.call)):
            if not number % 2:
                far_end.do("hang_up", call=theirs[int(event.caller_number[-2:])])
        ended = [events.of(HungUp) for _ in theirs]
        assert sorted(event.by_us for event in ended) == [False] * 5 + [True] * 5
        assert endpoint.clock.plugged == 0
    assert endpoint.clock.faults == 0


def test_garbage_on_every_port_disturbs_no_call(endpoint: SipEndpoint, far_end: FarEndProcess, events: Inbox) -> None:
    call, theirs = call_in(endpoint, far_end, events)
    media = media_of(endpoint, call)
    noise = random.Random(5)
    requests = [
        b"INVITE sip:8371@x SIP/2.0\r\n\r\n",
        b"INVITE sip:8371@x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\n"
        b"Call-ID: 1\r\nCSeq: 1 INVITE\r\nContact: <sip:a@b>\r\nContent-Type: application/sdp\r\nContent-Length: 3\r\n\r\nv=x",
        b"BYE sip:8371@x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK2\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\n"
        b"Call-ID: 2\r\nCSeq: 1 BYE\r\n\r\n",
        b"SIP/2.0 200 OK\r\nCSeq: 99999999999999999999 REGISTER\r\n\r\n",
        b"\r\n\r\n" * 50,
        b"OPTIONS " + b"A" * 1200,
    ]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gun:
        for burst in range(60):
            gun.sendto(requests[burst % len(requests)], ("127.0.0.1", endpoint.port))
            gun.sendto(noise.randbytes(noise.randint(1, 1400)), ("127.0.0.1", endpoint.port))
            for port in range(24000, 24032):
                gun.sendto(noise.randbytes(noise.randint(1, 400)), ("127.0.0.1", port))
            hear(media, 1)
    media.playout.write(1, 0, tone(OUR_TONE_HZ, 3), True)
    media.playout.close(1)
    heard = hear(media, 40)[-30 * FRAME_BYTES :]
    assert level_at(heard, far_end.TONE_HZ) == pytest.approx(TONE_DBOV, abs=0.5)
    measured = far_end.do("measure", call=theirs, hz=OUR_TONE_HZ)
    assert measured["at"] > TONE_DBOV - 3
    endpoint.hang_up(call)
    assert events.of(HungUp).call == call
    call_in(endpoint, far_end, events)


RTP_PORTS = range(24000, 24640)


def open_rtp_ports() -> list[int]:
    """The ports that this process's endpoint has open for RTP and RTCP."""
    rows = [line.split()[1] for line in Path("/proc/net/udp").read_text().splitlines()[1:]]
    return sorted({int(row.partition(":")[2], 16) for row in rows} & set(RTP_PORTS))


@contextmanager
def flood(host: str) -> Iterator[socket.socket]:
    """Valid RTP and RTCP to every open port, 24 packets per 20 ms, from a socket that is nobody's."""
    loud = bytes([0x80, 0x80, 0x00, 0x00] * 40)  # PCMU, 2 kHz
    over = threading.Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gun:
        gun.bind((host, 0))
        gun.setblocking(False)

        def shoot() -> None:
            n = 0
            while not over.wait(0.02):
                for port in open_rtp_ports():
                    for _ in range(24):
                        n += 1
                        rtp = struct.pack(">BBHII", 0x80, 0, n & 0xFFFF, n * 160, 7) + loud
                        report = struct.pack(">BBHI", 0x80, 201, 1, 7)
                        gun.sendto(report if port % 2 else rtp, ("127.0.0.1", port))

        shooter = threading.Thread(target=shoot)
        shooter.start()
        try:
            yield gun
        finally:
            over.set()
            shooter.join()


@pytest.mark.parametrize("host", ["127.0.0.3", "127.0.0.1"])
def test_nobody_else_gets_into_a_calls_audio(endpoint: SipEndpoint, far_end: FarEndProcess, events: Inbox, host: str) -> None:
    """Neither another machine nor another port of the right one, and not though they were first."""
    with flood(host) as gun:
        call, theirs = call_in(endpoint, far_end, events)
        media = media_of(endpoint, call)
        media.playout.write(1, 0, tone(OUR_TONE_HZ, 3), True)
        media.playout.close(1)
        heard = hear(media, 60)[-40 * FRAME_BYTES :]
        assert level_at(heard, far_end.TONE_HZ) == pytest.approx(TONE_DBOV, abs=0.5)
        assert level_at(heard, 2000.0) < -50
        measured = far_end.do("measure", call=theirs, hz=OUR_TONE_HZ)
        assert measured["bytes"] > 30 * FRAME_BYTES
        assert measured["at"] > TONE_DBOV - 3
        with pytest.raises(BlockingIOError):
            gun.recv(2048)
    endpoint.hang_up(call)
    assert events.of(HungUp).call == call


def test_a_fault_in_a_media_callback_is_logged_once(
    endpoint: SipEndpoint, far_end: FarEndProcess, events: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    call, _ = call_in(endpoint, far_end, events)
    media = media_of(endpoint, call)
    with caplog.at_level(logging.ERROR, "appliance.sip"):
        del media.playout
        until(lambda: endpoint.clock.faults >= 3 and bool(caplog.records))
    assert [record.getMessage() for record in caplog.records] == [
        "a media callback failed: AttributeError; further ones are only counted"
    ]
    endpoint.hang_up(call)
    assert events.of(HungUp).call == call


def test_a_call_whose_rtp_died_ends(
    endpoint: SipEndpoint, far_end: FarEndProcess, events: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(legs, "RTP_TIMEOUT_S", 1.0)
    monkeypatch.setattr(legs, "RTP_CHECK_S", 0.05)
    call, _ = call_in(endpoint, far_end, events)
    media = media_of(endpoint, call)
    assert level_at(hear(media, 60)[-40 * FRAME_BYTES :], far_end.TONE_HZ) > TONE_DBOV - 1
    with flood("127.0.0.3"), far_end.frozen():  # a stranger's packets do not keep it up
        assert events.of(HungUp) == HungUp(call, code=408, reason="no RTP", by_us=False)
    call_in(endpoint, far_end, events)


def ask(port: int, method: str, *headers: str, host: str = "127.0.0.1") -> str:
    """One SIP request from nowhere: the first line of the answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        sock.settimeout(WAIT_S)
        us = f"{host}:{sock.getsockname()[1]}"
        lines = [
            f"{method} sip:8371@127.0.0.1:{port} SIP/2.0",
            f"Via: SIP/2.0/UDP {us};branch=z9hG4bK{random.random()};rport",
            "Max-Forwards: 70",
            f"From: <sip:asterisk@{us}>;tag=as1",
            f"To: <sip:8371@127.0.0.1:{port}>",
            f"Call-ID: {random.random()}@{us}",
            f"CSeq: 102 {method}",
            f"Contact: <sip:asterisk@{us}>",
            *headers,
        ]
        sock.sendto("\r\n".join([*lines, "", ""]).encode(), ("127.0.0.1", port))
        while True:
            answer = sock.recv(4096).decode().splitlines()[0]
            if not answer.startswith("SIP/2.0 1"):
                return answer


def test_what_a_dialer_asks_beside_calls_gets_200(endpoint: SipEndpoint) -> None:
    assert ask(endpoint.port, "OPTIONS", "Content-Length: 0") == "SIP/2.0 200 OK"
    waiting = (
        "Event: message-summary",
        "Subscription-State: active",
        "Content-Type: application/simple-message-summary",
        "Content-Length: 0",
    )
    assert ask(endpoint.port, "NOTIFY", *waiting) == "SIP/2.0 200 OK"


def invite(port: int, payload: str, host: str = "127.0.0.1") -> str:
    body = (
        f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
        f"m=audio 9 RTP/AVP {payload.split()[0]}\r\na=rtpmap:{payload}"
    )
    return ask(port, "INVITE", "Content-Type: application/sdp", f"Content-Length: {len(body) + 2}", "", body, host=host)


def test_an_invite_without_a_codec_of_ours_is_told(endpoint: SipEndpoint, events: Inbox) -> None:
    assert invite(endpoint.port, "18 G729/8000").startswith("SIP/2.0 488")
    assert events.of(InviteRefused).code == 488


def test_a_scanner_gets_no_line_and_one_line_in_the_log(
    endpoint: SipEndpoint, far_end: FarEndProcess, events: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(200):  # more than pj has room for, if it kept them
        assert invite(endpoint.port, "0 PCMU/8000", "127.0.0.3").startswith("SIP/2.0 403")
    assert invite(endpoint.port, "18 G729/8000", "127.0.0.3").startswith("SIP/2.0 488")
    assert ask(endpoint.port, "OPTIONS", "Content-Length: 0", host="127.0.0.3") == "SIP/2.0 200 OK"
    until(lambda: endpoint.refused_invites == 201)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "refused a call from 127.0.0.3: neither the registrar nor in sip.trusted"
    ]
    call, _ = call_in(endpoint, far_end, events)
    endpoint.hang_up(call)
    assert events.of(HungUp).call == call
    assert events.empty()


@contextmanager
def running(events: Inbox, **changes: Any) -> Iterator[SipEndpoint]:
    endpoint = SipEndpoint(settings(**changes), 2, events.put)
    endpoint.start()
    try:
        yield endpoint
    finally:
        endpoint.stop(WAIT_S)


@contextmanager
def udp(host: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        sock.settimeout(WAIT_S)
        yield sock


def admitted(endpoint: SipEndpoint, events: Inbox, host: str) -> bool:
    """Whether a call from `host` is heard of; it is ended again."""
    told: list[str] = []
    caller = threading.Thread(target=lambda: told.append(invite(endpoint.port, "0 PCMU/8000", host)))
    caller.start()
    until(lambda: endpoint.unanswered == 1 or bool(told))
    if not told:
        call = events.of(Incoming).call
        endpoint.hang_up(call)
        assert events.of(HungUp).call == call
    caller.join(WAIT_S)
    return not told[0].startswith("SIP/2.0 403")


@pytest.mark.parametrize("registrar", ["127.0.0.4:9", "localhost:9"])
def test_the_registrar_may_call_before_it_has_registered_us(events: Inbox, registrar: str) -> None:
    with running(events, registrar=registrar, trusted=[]) as endpoint:
        assert admitted(endpoint, events, "127.0.0.4" if registrar[0] == "1" else "127.0.0.1")
        assert not admitted(endpoint, events, "127.0.0.3")


def test_a_registrar_of_an_unknown_name_does_not_keep_us_from_starting(events: Inbox) -> None:
    with running(events, registrar="no-such-host.invalid") as endpoint:
        assert admitted(endpoint, events, "127.0.0.1")


def test_who_accepted_the_registration_may_call(events: Inbox) -> None:
    """A dialer with several addresses may answer from another one than the one that its name stands for."""
    with udp("127.0.0.4") as registrar, udp("127.0.0.5") as other:
        host, port = registrar.getsockname()
        with running(events, registrar=f"{host}:{port}", trusted=[]) as endpoint:
            assert not admitted(endpoint, events, "127.0.0.5")
            endpoint.register()
            accept_registration(registrar, other)
            events.wait(lambda event: isinstance(event, RegistrationChanged) and event.state is State.REGISTERED)
            assert admitted(endpoint, events, "127.0.0.5")
            assert admitted(endpoint, events, "127.0.0.4")
            assert not admitted(endpoint, events, "127.0.0.1")
            leaver = threading.Thread(target=endpoint.stop, args=(WAIT_S,))
            leaver.start()
            assert "Expires: 0" in accept_registration(registrar, other)
            leaver.join(WAIT_S)
            assert not leaver.is_alive()


def accept_registration(registrar: socket.socket, answering: socket.socket) -> str:
    """Answer the next REGISTER with 200; returns it."""
    while True:
        data, source = registrar.recvfrom(4096)
        request = data.decode()
        if request.startswith("REGISTER"):
            copied = [line for line in request.splitlines() if line.startswith(("Via:", "From:", "To:", "Call-ID:", "CSeq:"))]
            answering.sendto("\r\n".join(["SIP/2.0 200 OK", *copied, "Content-Length: 0", "", ""]).encode(), source)
            return request


def test_a_port_in_use_is_an_error_with_a_hint(events: Inbox) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(SipError, match=f"udp 127.0.0.1:{port}: the port is in use") as caught:
            SipEndpoint(settings(port=port), 2, events.put).start()
    assert "sip.port" in caught.value.hint


def test_an_address_of_another_machine_is_an_error_with_a_hint(events: Inbox) -> None:
    with pytest.raises(SipError, match="no such address") as caught:
        SipEndpoint(settings(bind="192.0.2.1"), 2, events.put).start()
    assert "sip.bind" in caught.value.hint


def test_an_unknown_codec_is_an_error_that_lists_the_known(events: Inbox) -> None:
    with pytest.raises(SipError, match="no codec 'EVS'") as caught:
        SipEndpoint(settings(codecs=["PCMU", "EVS"]), 2, events.put).start()
    assert "PCMA" in caught.value.hint


def test_more_calls_than_pj_was_built_for_is_an_error(events: Inbox) -> None:
    with pytest.raises(SipError, match="calls, 100000 are needed"):
        SipEndpoint(settings(), 100_000, events.put).start()


def test_tcp_listens_and_tells_its_port(events: Inbox) -> None:
    endpoint = SipEndpoint(settings(transport="tcp"), 2, events.put)
    endpoint.start()
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=WAIT_S) as connection:
        assert connection.getpeername()[1] == endpoint.port
    endpoint.stop(1.0)


def test_an_unreachable_registrar_is_told_once(endpoint: SipEndpoint, events: Inbox) -> None:
    endpoint.register()
    assert events.of(RegistrationChanged).state is State.TRYING
    lost = events.of(RegistrationChanged)
    assert lost.state is State.LOST
    assert "127.0.0.1:9" in lost.detail
    endpoint.unregister()
    assert events.of(RegistrationChanged).state is State.OFF


def test_stop_hangs_up_and_can_be_called_twice(far_end: FarEndProcess, events: Inbox) -> None:
    endpoint = SipEndpoint(settings(), 2, events.put)
    endpoint.start()
    _, theirs = call_in(endpoint, far_end, events)
    endpoint.stop(3.0)
    assert events.of(HungUp).by_us is True
    far_end.event("hung_up", theirs)
    endpoint.stop(3.0)
