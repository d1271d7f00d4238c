"""What a dialer may send beside plain calls: none of it may be answered by a refusal, which costs a live customer."""

from __future__ import annotations

import re

import pytest

from appliance.calls.events import HungUp, Incoming, MediaStarted
from appliance.sip.endpoint import InviteRefused, MailboxChanged, SipEndpoint
from tests.sip.conftest import Inbox
from tests.sip.raw_caller import RawCaller

ID = "V7152252280000844707"


def connect(caller: RawCaller, endpoint: SipEndpoint, events: Inbox, *headers: str, body: str | None = None) -> str:
    """Our call, answered and acknowledged."""
    caller.send("INVITE", *headers, body=caller.sdp() if body is None else body)
    call = events.of(Incoming).call
    endpoint.answer(call)
    assert caller.answer().startswith("SIP/2.0 200")
    caller.send("ACK", body="" if body is None else caller.sdp())
    assert events.of(MediaStarted).call == call
    return call


def ends(caller: RawCaller, events: Inbox, call: str) -> None:
    caller.send("BYE")
    assert caller.answer().startswith("SIP/2.0 200")
    assert events.of(HungUp).call == call


def test_the_texts_that_may_be_the_dialers_id_come_with_the_invite(endpoint: SipEndpoint, events: Inbox) -> None:
    with RawCaller(endpoint.port) as caller:
        caller.send(
            "INVITE",
            f'Remote-Party-ID: "{ID}"\r\n <sip:4155550023@h>;party=calling',
            'P-Asserted-Identity: "J\udce9r" <sip:4155550023@h>',
            "x-vicidial-CALL-id: 42",
            body=caller.sdp(),
            name="n" * 3000,
        )
        incoming = events.of(Incoming)
        assert incoming.ids == ("n" * 128, ID, "J?r", "42")
        endpoint.hang_up(incoming.call)
        assert events.of(HungUp).call == incoming.call


def test_an_invite_without_an_offer_is_answered_with_ours(endpoint: SipEndpoint, events: Inbox) -> None:
    with RawCaller(endpoint.port) as caller:
        call = connect(caller, endpoint, events, body="")
        ends(caller, events, call)


def test_an_invite_again_makes_no_second_call(endpoint: SipEndpoint, events: Inbox) -> None:
    with RawCaller(endpoint.port) as caller:
        packet = caller.send("INVITE", body=caller.sdp())
        call = events.of(Incoming).call
        caller.resend(packet)
        caller.resend(packet)
        endpoint.answer(call)
        assert caller.answer().startswith("SIP/2.0 200")
        caller.resend(packet)
        caller.send("ACK")
        assert events.of(MediaStarted).call == call
        assert endpoint.unanswered == 0
        ends(caller, events, call)
    assert events.empty()


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_hold_and_back_keeps_the_call(endpoint: SipEndpoint, events: Inbox, method: str) -> None:
    with RawCaller(endpoint.port) as caller:
        call = connect(caller, endpoint, events)
        for direction, ours in (("sendonly", "recvonly"), ("sendrecv", "sendrecv")):
            caller.send(method, body=caller.sdp(direction=direction))
            answer = caller.answer()
            assert answer.startswith("SIP/2.0 200")
            assert f"a={ours}" in answer
            if method == "INVITE":
                caller.send("ACK")
        ends(caller, events, call)
    assert events.empty()


def test_an_update_without_an_offer_is_answered(endpoint: SipEndpoint, events: Inbox) -> None:
    """Asterisk tells a changed caller id so."""
    with RawCaller(endpoint.port) as caller:
        call = connect(caller, endpoint, events)
        caller.send("UPDATE", 'Remote-Party-ID: "Y1221401470000000036" <sip:4155550023@h>')
        assert caller.answer().startswith("SIP/2.0 200")
        ends(caller, events, call)


def test_session_timers_are_agreed_to_and_refreshed(endpoint: SipEndpoint, events: Inbox) -> None:
    with RawCaller(endpoint.port) as caller:
        caller.send("INVITE", "Supported: timer", "Session-Expires: 1800;refresher=uac", "Min-SE: 90", body=caller.sdp())
        call = events.of(Incoming).call
        endpoint.answer(call)
        answer = caller.answer()
        assert answer.startswith("SIP/2.0 200")
        assert re.search(r"^Session-Expires: *1800;refresher=uac", answer, re.MULTILINE)
        caller.send("ACK")
        assert events.of(MediaStarted).call == call
        caller.send("INVITE", "Supported: timer", "Session-Expires: 1800;refresher=uac", body=caller.sdp())
        assert caller.answer().startswith("SIP/2.0 200")
        caller.send("ACK")
        ends(caller, events, call)


def test_a_refer_to_us_places_no_call_and_ends_none(endpoint: SipEndpoint, events: Inbox) -> None:
    with RawCaller(endpoint.port) as caller, RawCaller(endpoint.port) as elsewhere:
        call = connect(caller, endpoint, events)
        caller.send("REFER", f"Refer-To: <sip:1@{elsewhere.us}>")
        assert caller.answer().startswith("SIP/2.0 603")
        ends(caller, events, call)
        assert elsewhere.silent()
    assert events.empty()


def test_a_call_in_place_of_another_leaves_the_other_alone(endpoint: SipEndpoint, events: Inbox) -> None:
    with RawCaller(endpoint.port) as caller, RawCaller(endpoint.port) as other:
        call = connect(caller, endpoint, events)
        other.send("INVITE", f"Replaces: {caller.dialog}", "Require: replaces", body=other.sdp(), name=ID)
        assert other.answer().startswith("SIP/2.0 488")
        assert events.of(InviteRefused) == InviteRefused(488, "Not Acceptable Here", (ID,))
        caller.send("INVITE", body=caller.sdp())
        assert caller.answer().startswith("SIP/2.0 200")
        caller.send("ACK")
        ends(caller, events, call)
    assert events.empty()


def test_a_customer_without_a_codec_of_ours_can_be_found_again(endpoint: SipEndpoint, events: Inbox) -> None:
    with RawCaller(endpoint.port) as caller:
        caller.send("INVITE", body=caller.sdp("18 G729/8000"), name=ID)
        assert caller.answer().startswith("SIP/2.0 488")
    refused = events.of(InviteRefused)
    assert (refused.code, refused.ids) == (488, (ID,))


def test_far_more_calls_than_planned_are_taken(endpoint: SipEndpoint, events: Inbox) -> None:
    """The endpoint was told 11. Where pj itself has no room the customer can be found again."""
    callers = [RawCaller(endpoint.port) for _ in range(161)]
    for number, caller in enumerate(callers):
        caller.send("INVITE", body=caller.sdp(), name=f"V{number:019}")
    refused = events.of(InviteRefused)
    assert (refused.code, refused.ids) == (486, (f"V{160:019}",))
    taken = [events.of(Incoming) for _ in range(160)]
    assert endpoint.unanswered == 160
    for incoming in taken:
        endpoint.hang_up(incoming.call)
    for _ in taken:
        events.of(HungUp)
    assert endpoint.unanswered == 0
    for caller in callers:
        caller.__exit__(None, None, None)


def notify(port: int, body: str, host: str = "127.0.0.1") -> str:
    with RawCaller(port, host) as dialer:
        dialer.send(
            "NOTIFY",
            "Event: message-summary",
            "Subscription-State: terminated",
            "Content-Type: application/simple-message-summary",
            f"Content-Length: {len(body)}\r\n\r\n{body}",
        )
        return dialer.answer()


def test_the_mailbox_is_told_by_the_dialer_alone(endpoint: SipEndpoint, events: Inbox) -> None:
    assert notify(endpoint.port, "Voice-Message: 7/7\r\n", host="127.0.0.3").startswith("SIP/2.0 200")
    assert notify(endpoint.port, "Messages-Waiting: no\r\n").startswith("SIP/2.0 200")
    assert notify(endpoint.port, "Messages-Waiting: yes\r\nVoice-Message: 2/1 (0/0)\r\n").startswith("SIP/2.0 200")
    assert events.of(MailboxChanged) == MailboxChanged(new=2, old=1)
    assert events.empty()
