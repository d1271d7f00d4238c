from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.fakes.vicidial import password_of
from tests.lab.dialer.office import CAMPAIGN, IN_GROUP, PHONE, REMOTE_AGENT, USER, Office

AGENT, ADMIN = "/agc/api.php", "/vicidial/non_agent_api.php"


class Hands:
    """Takes what the dialer does to channels."""

    def __init__(self) -> None:
        self.did: list[tuple[str, ...]] = []

    def hangup(self, channel: str) -> None:
        self.did.append(("hangup", channel))

    def redirect(self, channel: str, context: str, exten: str) -> None:
        self.did.append(("redirect", channel, exten))

    def deliver(self, channel: str, call_id: str, exten: str) -> None:
        self.did.append(("deliver", channel, call_id, exten))


@pytest.fixture
def office() -> Iterator[Office]:
    with Office(20) as made:
        made.switch = Hands()
        yield made


def asked(office: Office, path: str, function: str, **parameters: str) -> str:
    who = {"source": "test", "user": USER, "pass": password_of(office.double, USER), "function": function}
    return httpx.post(office.double.url + path, data=who | parameters).text


def control(office: Office, call_id: str, stage: str, status: str) -> None:
    told = {"value": call_id, "agent_user": REMOTE_AGENT, "stage": stage, "status": status, "ingroup_choices": IN_GROUP}
    assert asked(office, AGENT, "ra_call_control", **told).startswith("SUCCESS")


def at_a_line(office: Office, place: int = 0) -> str:
    routed = office.answered(office.lead_ids[place], f"SIP/carrier-{place}")
    assert routed is not None
    assert routed.exten == PHONE
    return routed.call_id


def test_there_are_as_many_leads_as_asked_with_numbers_of_their_own(office: Office) -> None:
    assert len(office.lead_ids) == len(set(office.numbers)) == 20


def test_a_call_belongs_to_its_lead_the_second_as_well(office: Office) -> None:
    lead_id = office.lead_ids[0]
    assert office.call_id(lead_id, 0) is None
    first = at_a_line(office)
    control(office, first, "HANGUP", "NI")
    second = at_a_line(office)
    assert [office.call_id(lead_id, nth) for nth in range(3)] == [first, second, None]
    assert office.lead_id(second) == lead_id


def test_who_finds_no_line_ready_waits_and_the_box_was_not_rung(office: Office) -> None:
    for place in range(office.ready_lines()):
        at_a_line(office, place)
    waiting = office.answered(office.lead_ids[5], "SIP/carrier-5")
    assert waiting is not None
    assert waiting.exten is None
    assert not office.had_line(waiting.call_id)
    assert len(office.busy_lines()) == 2


def test_what_the_api_wrote_is_told_from_what_the_dialer_did_by_itself(office: Office) -> None:
    call_id, lead_id = at_a_line(office), office.lead_ids[0]
    assert office.written(call_id) is None
    control(office, call_id, "HANGUP", "NI")
    assert (office.written(call_id), office.log_status(call_id), office.lead_status(lead_id)) == ("NI", "NI", "NI")
    asked(office, ADMIN, "update_log_entry", group=CAMPAIGN, call_id=call_id, status="AICU")
    assert (office.written(call_id), office.log_status(call_id)) == ("AICU", "AICU")
    assert office.moved(call_id) == 0


def test_a_transfer_is_counted_once(office: Office) -> None:
    call_id = at_a_line(office)
    control(office, call_id, "INGROUPTRANSFER", "XFER")
    assert (office.moved(call_id), office.written(call_id)) == (1, "XFER")


def test_a_callback_without_a_real_time_is_none(office: Office) -> None:
    lead_id = office.lead_ids[0]
    book = {"lead_id": str(lead_id), "callback": "Y", "campaign_id": CAMPAIGN, "status": "CALLBK"}
    asked(office, ADMIN, "update_lead", **book, callback_datetime="tomorrow")
    assert not office.has_callback(lead_id)
    asked(office, ADMIN, "update_lead", **book, callback_datetime="2026-11-25 13:30:00")
    assert office.has_callback(lead_id)


def test_a_removed_number_is_on_the_list(office: Office) -> None:
    number = office.numbers[3]
    assert not office.is_dnc(number)
    asked(office, ADMIN, "add_dnc_phone", phone_number=number, campaign_id="SYSTEM_INTERNAL")
    assert office.is_dnc(number)


def test_an_inert_function_is_seen(office: Office) -> None:
    asked(office, AGENT, "external_hangup", agent_user=REMOTE_AGENT, value="1")
    assert office.inert() == ["external_hangup"]
    assert office.violations() != []
