"""REFER and the mailbox, against the real Asterisk by both of its SIP drivers, with a customer on the line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from appliance.audio.levels import level_dbov
from appliance.calls.events import HungUp, Incoming, MediaStarted
from appliance.sip.endpoint import MailboxChanged, SipEndpoint
from appliance.sip.refer import NO_CALL_CODE, Referred
from appliance.sip.registration import RegistrationChanged, State
from tests.box import eventually
from tests.lab.asterisk.config import Phone
from tests.lab.asterisk.server import Asterisk, dialer_caller_id
from tests.sip.conftest import FarEndProcess, Inbox
from tests.sip.far_end import TONE_DBOV, settings

NUMBER = "4155550101"
PEOPLE = """
[default]
exten => 8379,1,Answer()
 same => n,Echo()
exten => 8380,1,Busy(1)
exten => 8390,1,VoiceMail(8371@default,s)
"""
MAILBOX = "8390"
ANSWER = re.compile(r"^SIP/2\.0 ([0-9]{3}).*\n(?:[A-Z].*\n)*?CSeq: [0-9]+ ([A-Z]+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def customer() -> Iterator[FarEndProcess]:
    """Answers, and sends a tone."""
    process = FarEndProcess()
    yield process
    process.close()


@pytest.fixture(scope="module", params=["asterisk16", "asterisk22"])
def pbx(request: pytest.FixtureRequest, customer: FarEndProcess) -> Iterator[Asterisk]:
    with Asterisk(customer.port, dialer=request.param) as started:
        with (started.home / "etc" / "extensions.conf").open("a") as dialplan:
            dialplan.write(PEOPLE)
        started.cli("dialplan reload")
        started.cli("pjsip set logger on" if started.pjsip else "sip set debug on")
        yield started


@pytest.fixture
def events() -> Inbox:
    return Inbox()


@pytest.fixture
def phone(pbx: Asterisk, events: Inbox) -> Iterator[SipEndpoint]:
    made = SipEndpoint(settings(registrar=pbx.address, password=SecretStr(pbx.phone.secret), trusted=[]), 3, events.put)
    made.start()
    made.register()
    pbx.wait_registered()
    yield made
    made.stop(3.0)


def talk(pbx: Asterisk, customer: FarEndProcess, phone: SipEndpoint, events: Inbox) -> tuple[str, str]:
    """A call from the dialer, answered: (our call, the customer's)."""
    pbx.call(NUMBER, dialer_caller_id(4711, 0))
    incoming = events.of(Incoming)
    assert phone.unanswered == 1
    phone.answer(incoming.call)
    assert events.of(MediaStarted).call == incoming.call
    assert phone.unanswered == 0
    return incoming.call, their_call(customer)


def their_call(customer: FarEndProcess) -> str:
    call: str = customer.event("incoming")["call"]
    customer.event("started", call)
    return call


def final(events: Inbox) -> Referred:
    found: Referred = events.wait(lambda event: isinstance(event, Referred) and event.final, "the end of a REFER")
    return found


def levels(customer: FarEndProcess, call: str) -> dict[str, Any]:
    found: dict[str, Any] = customer.do("measure", call=call, hz=FarEndProcess.TONE_HZ)
    return found


def hears_itself(customer: FarEndProcess, call: str) -> bool:
    return bool(levels(customer, call)["at"] > TONE_DBOV - 6)


def test_a_caller_handed_over_talks_to_the_other_and_our_leg_ends(
    pbx: Asterisk, customer: FarEndProcess, phone: SipEndpoint, events: Inbox
) -> None:
    call, theirs = talk(pbx, customer, phone, events)
    phone.transfer(call, "8379", "Wants a quote, name: Zoë")
    assert final(events) == Referred(call, 200, final=True)
    assert events.of(HungUp).call == call
    eventually(lambda: hears_itself(customer, theirs), "the echo")
    customer.do("hang_up", call=theirs)
    told = "Wants a quote, name: Zoë".encode().hex()
    assert f"Refer-To: <sip:8379@{pbx.address}?User-to-User={told}%3Bencoding%3Dhex>" in pbx.log()
    assert pbx.voicemail_hits() == []


def test_a_whole_uri_is_taken_as_it_is(pbx: Asterisk, customer: FarEndProcess, phone: SipEndpoint, events: Inbox) -> None:
    call, theirs = talk(pbx, customer, phone, events)
    phone.transfer(call, f"sip:8379@{pbx.address}")
    assert final(events).done
    eventually(lambda: hears_itself(customer, theirs), "the echo")
    customer.do("hang_up", call=theirs)


@pytest.mark.parametrize(("to", "code"), [("7777", 404), ("nobody here", 400), ("sip:x@y>\r\nX: y", 400)])
def test_nobody_there_and_the_conversation_goes_on(
    pbx: Asterisk, customer: FarEndProcess, phone: SipEndpoint, events: Inbox, to: str, code: int
) -> None:
    call, theirs = talk(pbx, customer, phone, events)
    phone.transfer(call, to)
    assert final(events) == Referred(call, code, final=True)
    media = phone.media(call)
    assert media is not None
    media.received.drain()
    heard = bytearray()

    def enough() -> bool:
        heard.extend(b"".join(media.received.drain()))
        return len(heard) > 16000

    eventually(enough, "a second of the caller")
    assert level_dbov(bytes(heard)) > TONE_DBOV - 2
    phone.transfer(call, "8379")
    assert final(events).done
    eventually(lambda: hears_itself(customer, theirs), "the echo")
    customer.do("hang_up", call=theirs)


def test_a_busy_one_has_the_caller_all_the_same_and_our_leg_does_not_stay(
    pbx: Asterisk, customer: FarEndProcess, phone: SipEndpoint, events: Inbox
) -> None:
    """Asterisk moves the caller first. chan_sip calls that a success; chan_pjsip says 486 and leaves us with nobody."""
    call, theirs = talk(pbx, customer, phone, events)
    phone.transfer(call, "8380")
    told = final(events)
    assert told.code == (486 if pbx.pjsip else 200)
    ended = events.of(HungUp)
    assert (ended.call, ended.reason) == (call, "no RTP" if pbx.pjsip else "OK")
    customer.event("hung_up", theirs)


def test_a_call_that_is_not_answered_cannot_be_handed_over(
    pbx: Asterisk, customer: FarEndProcess, phone: SipEndpoint, events: Inbox
) -> None:
    pbx.call(NUMBER, dialer_caller_id(5, 0))
    call = events.of(Incoming).call
    phone.transfer(call, "8379")
    assert final(events) == Referred(call, NO_CALL_CODE, final=True)
    phone.answer(call)
    assert events.of(MediaStarted).call == call
    their_call(customer)
    phone.hang_up(call)
    assert events.of(HungUp).call == call


def test_who_lands_in_the_phones_mailbox_is_told(
    pbx: Asterisk, customer: FarEndProcess, phone: SipEndpoint, events: Inbox
) -> None:
    pbx.call(NUMBER, dialer_caller_id(6, 0), Phone(MAILBOX))
    theirs = customer.event("incoming")["call"]
    spool = pbx.home / "spool" / "voicemail" / "default" / pbx.phone.extension
    eventually(lambda: any(wav.stat().st_size > 32_000 for wav in spool.rglob("*.wav")), "two seconds of a message")
    customer.do("hang_up", call=theirs)
    eventually(lambda: list((spool / "INBOX").glob("*.txt")), "the message in the box")
    if not pbx.pjsip:  # with a mailbox without "@default", as VICIdial writes it, chan_sip counts at each REGISTER alone
        phone.unregister()
        events.wait(lambda event: isinstance(event, RegistrationChanged) and event.state is State.OFF, "the leave")
        phone.register()
    told = events.wait(lambda event: isinstance(event, MailboxChanged) and event.new > 0, "a message")
    assert told == MailboxChanged(new=1, old=0)
    assert {code for code, method in ANSWER.findall(pbx.log()) if method == "NOTIFY"} == {"200"}
