"""What is owed to the dialer, against the double: once, in the end, and never over what somebody else has set."""

from __future__ import annotations

import time
from typing import Any

import pytest

from appliance.dialers.protocol import Delivered, Delivery, DialerCall, Entry, EntryKind
from appliance.dialers.vicidial.dialer import VicidialDialer
from tests.dialers.vicidial.conftest import Settings
from tests.dialers.vicidial.scripted import Scripted, run
from tests.dialers.vicidial.test_dialer import ask, ringing
from tests.fakes.vicidial import Double, FaultKind

AT = "2026-11-25 16:00:00"


def owed(kind: EntryKind, call: DialerCall, **data: str) -> Entry:
    return Entry(1, kind, call.call_id, call.lead_id, data, created_at=time.time())


def settle(call: DialerCall, status: str) -> Entry:
    return owed(EntryKind.SETTLE, call, status=status, group="TESTCAMP")


def again(entry: Entry, attempts: int = 1, **changed: Any) -> Entry:
    values = {name: getattr(entry, name) for name in entry.__struct_fields__}
    return Entry(**(values | {"attempts": attempts} | changed))


def delivered(settings: Settings, *entries: Entry, **changed: Any) -> list[Delivery]:
    async def work(dialer: VicidialDialer) -> list[Delivery]:
        return [(await dialer.deliver(entry)).what for entry in entries]

    return ask(settings, work, **changed)


def statuses(site: Double, call: DialerCall) -> tuple[str, str]:
    """Of the call's log and of the lead."""
    return site.log(call.call_id)["status"], site.lead(call.lead_id)["status"]


def hung_up(site: Double, *, after_s: float = 3.0) -> DialerCall:
    """A call that its customer ended, which nobody told the dialer anything of."""
    call = ringing(site)
    site.step(after_s)
    site.customer_hung_up(call.call_id)
    site.step(1.2)
    return call


# Settling -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after_s", [0.5, 3.0, 15.0])
def test_a_call_that_the_customer_ended_gets_its_status(site: Double, settings: Settings, after_s: float) -> None:
    call = hung_up(site, after_s=after_s)
    assert statuses(site, call)[0] in ("DROP", "XFER")
    entry = settle(call, "NI")
    assert delivered(settings, entry, again(entry)) == [Delivery.DONE, Delivery.ALREADY]
    assert statuses(site, call) == ("NI", "NI")
    assert site.left_as_drop() == []


def test_a_call_that_the_dialer_was_told_of_is_only_looked_at(site: Double, settings: Settings) -> None:
    call = ringing(site)
    ask(settings, lambda dialer: dialer.release(call, "NI"))
    site.step(1.2)
    assert delivered(settings, settle(call, "NI")) == [Delivery.ALREADY]
    assert [write.function for write in site.ledger.writes] == ["ra_call_control"]


def test_a_success_that_wrote_nothing_is_found_out(site: Double, settings: Settings) -> None:
    site.model.timing = type(site.model.timing)(race_lost_share=1.0)
    call = ringing(site)
    site.step(15)
    site.customer_hung_up(call.call_id)
    assert ask(settings, lambda dialer: dialer.release(call, "NI")).how.value == "done"
    site.step(1.2)
    assert statuses(site, call) == ("XFER", "XFER")
    assert delivered(settings, settle(call, "NI")) == [Delivery.DONE]
    assert statuses(site, call) == ("NI", "NI")


def test_what_the_last_words_change_is_corrected_in_both(site: Double, settings: Settings) -> None:
    call = ringing(site)
    ask(settings, lambda dialer: dialer.release(call, "AICU"))
    site.step(1.2)
    assert delivered(settings, settle(call, "AICU"), settle(call, "DNC")) == [Delivery.ALREADY, Delivery.DONE]
    assert statuses(site, call) == ("DNC", "DNC")


@pytest.mark.parametrize(
    "fault", [FaultKind.CUT_AFTER, FaultKind.CUT_BEFORE, FaultKind.HTML, FaultKind.EMPTY, FaultKind.TRUNCATED]
)
@pytest.mark.parametrize("function", ["update_lead", "update_log_entry"])
def test_a_settling_that_breaks_off_anywhere_is_finished_later(
    site: Double, settings: Settings, fault: FaultKind, function: str
) -> None:
    call = hung_up(site)
    site.fault(fault, function, times=1)
    entry = settle(call, "NI")
    first, second = delivered(settings, entry, again(entry))
    # Half of the longer answer still says that it is done.
    assert first is (Delivery.DONE if (function, fault) == ("update_log_entry", FaultKind.TRUNCATED) else Delivery.LATER)
    assert second is (Delivery.ALREADY if fault.writes and function == "update_log_entry" else Delivery.DONE)
    assert statuses(site, call) == ("NI", "NI")
    changing = [write for write in site.ledger.writes if write.changed]
    assert [write.function for write in changing] == ["update_lead", "update_log_entry"]


@pytest.mark.parametrize("status", ["SALE", "DNC", "N", "CALLBK"])
def test_what_a_human_has_set_since_stays(site: Double, settings: Settings, status: str) -> None:
    call = hung_up(site)
    site.rows("update vicidial_list set status = ?, user = '9101' where lead_id = ?", status, call.lead_id)
    assert delivered(settings, settle(call, "NI")) == [Delivery.SUPERSEDED]
    assert statuses(site, call) == ("NI", status)


def test_what_somebody_has_made_of_the_whole_call_stays(site: Double, settings: Settings) -> None:
    call = hung_up(site)
    site.rows("update vicidial_list set status = 'SALE' where lead_id = ?", call.lead_id)
    site.rows("update vicidial_log set status = 'SALE' where lead_id = ?", call.lead_id)
    assert delivered(settings, settle(call, "NI")) == [Delivery.SUPERSEDED]
    assert statuses(site, call) == ("SALE", "SALE")
    assert site.ledger.writes == []


def test_an_opt_out_is_never_taken_back_and_goes_over_what_the_box_had_set(site: Double, settings: Settings) -> None:
    call = hung_up(site)
    booked = owed(EntryKind.CALLBACK, call, at=AT, status="CALLBK", comments="", campaign="TESTCAMP")
    assert delivered(settings, booked, settle(call, "DNC")) == [Delivery.DONE, Delivery.DONE]
    assert statuses(site, call) == ("DNC", "DNC")
    assert delivered(settings, settle(call, "NI")) == [Delivery.SUPERSEDED]
    assert site.lead(call.lead_id)["status"] == "DNC"


@pytest.mark.parametrize("has", ["AB", "B", "AA", "ADC", "ADCT", "N", "NA", "DROP", "PDROP", "QUEUE", "XFER", "NI", "SALE", ""])
@pytest.mark.parametrize("logged", ["DROP", "XFER", "DNC", "SALE"])
def test_an_opt_out_reaches_the_lead_whatever_it_has(site: Double, settings: Settings, has: str, logged: str) -> None:
    call = hung_up(site)
    site.rows("update vicidial_list set status = ? where lead_id = ?", has, call.lead_id)
    site.rows("update vicidial_log set status = ? where lead_id = ?", logged, call.lead_id)
    entry = settle(call, "DNC")
    assert delivered(settings, entry, again(entry)) == [Delivery.DONE, Delivery.ALREADY]
    # A human's word on the call itself stays.
    assert statuses(site, call) == ("SALE" if logged == "SALE" else "DNC", "DNC")


@pytest.mark.parametrize("has", ["DNC", "DNCL", "DNCC", "DNCCAR"])
def test_what_is_an_opt_out_already_stays_as_it_is(site: Double, settings: Settings, has: str) -> None:
    call = hung_up(site)
    site.rows("update vicidial_list set status = ? where lead_id = ?", has, call.lead_id)
    assert delivered(settings, settle(call, "DNC"), settle(call, "NI")) == [Delivery.DONE, Delivery.SUPERSEDED]
    assert site.lead(call.lead_id)["status"] == has


def test_an_opt_out_of_a_call_that_has_no_log_reaches_the_lead(site: Double, settings: Settings) -> None:
    lead_id = site.next_lead()
    assert lead_id is not None
    entry = settle(DialerCall(f"V122134711{lead_id:010}", lead_id), "DNC")
    assert delivered(settings, entry, again(entry, 2)) == [Delivery.LATER, Delivery.PARKED]
    assert site.lead(lead_id)["status"] == "DNC"
    assert delivered(settings, settle(DialerCall("V1221347110000999999", 999_999), "DNC")) == [Delivery.PARKED]


@pytest.mark.parametrize("has", ["AB", "B", "AA", "ADC", "ADCT", "N", "NA", "NEW", "PDROP", "QUEUE", "INCALL", "PU", "XFER"])
def test_the_status_of_a_newer_call_stays(site: Double, settings: Settings, has: str) -> None:
    call = hung_up(site)
    assert statuses(site, call) == ("DROP", "DROP")
    site.rows("update vicidial_list set status = ? where lead_id = ?", has, call.lead_id)
    assert delivered(settings, settle(call, "NI")) == [Delivery.SUPERSEDED]
    assert statuses(site, call) == ("NI", has)


def test_a_lead_that_is_in_a_newer_call_keeps_that_calls_status(site: Double, settings: Settings) -> None:
    first = hung_up(site)
    site.step(60)
    again_called = site.call_answered(first.lead_id, "SIP/carrier-again")
    assert again_called is not None
    site.step(15)
    assert site.lead(first.lead_id)["status"] == "XFER"
    assert delivered(settings, settle(first, "NI")) == [Delivery.SUPERSEDED]
    assert site.lead(first.lead_id)["status"] == "XFER"
    site.customer_hung_up(again_called)
    site.step(1.2)
    assert delivered(settings, settle(DialerCall(again_called, first.lead_id), "AIQUAL")) == [Delivery.DONE]
    assert site.lead(first.lead_id)["status"] == "AIQUAL"


def test_a_call_that_is_not_over_in_its_log_yet(site: Double, settings: Settings) -> None:
    call = ringing(site)
    assert statuses(site, call) == ("QUEUE", "PU")
    assert delivered(settings, settle(call, "NI")) == [Delivery.DONE]
    assert statuses(site, call) == ("NI", "NI")
    site.customer_hung_up(call.call_id)


def test_a_transferred_lead_is_somebody_elses(site: Double, settings: Settings) -> None:
    call = ringing(site)
    ask(settings, lambda dialer: dialer.transfer(call, "SALESLINE", "XFER"))
    site.step(3)
    site.rows("update vicidial_list set status = 'SALE' where lead_id = ?", call.lead_id)
    entry = again(settle(call, "XFER"), 0, transferred=True)
    assert delivered(settings, entry) == [Delivery.ALREADY]
    assert statuses(site, call) == ("XFER", "SALE")


def test_an_inbound_calls_log_is_its_in_groups(site: Double, settings: Settings) -> None:
    first = ringing(site)
    ask(settings, lambda dialer: dialer.transfer(first, "SALESLINE", "XFER"))
    site.step(3)
    second = DialerCall(site.calls()[-1].call_id, first.lead_id)
    assert second.call_id.startswith("Y")
    site.customer_hung_up(second.call_id)
    site.step(3)
    assert delivered(settings, settle(second, "NI")) == [Delivery.DONE]
    assert statuses(site, second) == ("NI", "NI")
    assert site.log(first.call_id)["status"] == "XFER"


def test_a_log_that_is_not_there_is_waited_for_and_then_shown_to_an_operator(site: Double, settings: Settings) -> None:
    entry = settle(DialerCall("V1221347110000000010", 10), "NI")
    assert delivered(settings, entry, again(entry, 1), again(entry, 2)) == [Delivery.LATER, Delivery.LATER, Delivery.PARKED]


def test_a_log_of_a_campaign_that_is_no_more(site: Double, settings: Settings) -> None:
    call = hung_up(site)
    site.rows("update vicidial_log set campaign_id = 'CLOSED' where lead_id = ?", call.lead_id)
    assert delivered(settings, settle(call, "NI"), again(settle(call, "NI"), 2)) == [Delivery.LATER, Delivery.PARKED]


def test_a_lead_that_was_deleted(site: Double, settings: Settings) -> None:
    call = hung_up(site)
    site.rows("delete from vicidial_list where lead_id = ?", call.lead_id)
    assert delivered(settings, settle(call, "NI")) == [Delivery.PARKED]


@pytest.mark.parametrize("data", [{"status": "NI"}, {"status": "", "group": "TESTCAMP"}, {"group": "TESTCAMP"}])
def test_an_entry_that_is_wrong_itself_is_parked(site: Double, settings: Settings, data: dict[str, str]) -> None:
    call = hung_up(site)
    entry = owed(EntryKind.SETTLE, call, **data)
    what = delivered(settings, entry)
    # A group is only asked for where the dialer does not name it.
    assert what == [Delivery.DONE if data == {"status": "NI"} else Delivery.PARKED]


# Leads ----------------------------------------------------------------------------------------------------------------


def test_summary_and_custom_fields(site: Double, settings: Settings) -> None:
    call = ringing(site)
    comments = 'wants "gold"; owns\na house | +49 # ' + "x" * 300
    entry = owed(EntryKind.LEAD, call, **{"comments": comments, "custom:interest": "high & dry", "custom:renewal": "May"})
    assert delivered(settings, entry, again(entry)) == [Delivery.DONE, Delivery.ALREADY]
    stored = str(site.lead(call.lead_id)["comments"])
    assert stored.startswith("wants gold owns a house 49 xxx")
    assert len(stored) == 255
    assert site.custom(call.lead_id) == {"interest": "high & dry", "renewal": "May"}
    assert len(site.ledger.of("update_lead")) == 1
    site.customer_hung_up(call.call_id)


@pytest.mark.parametrize("data", [{"comments": "x"}, {"custom:step": "price"}, {"comments": "x", "custom:step": "price"}])
@pytest.mark.parametrize("fault", [FaultKind.CUT_AFTER, FaultKind.CUT_BEFORE, FaultKind.TRUNCATED, FaultKind.EMPTY])
def test_a_lead_whose_answer_is_lost_is_written_once(
    site: Double, settings: Settings, fault: FaultKind, data: dict[str, str]
) -> None:
    call = ringing(site)
    site.fault(fault, "update_lead", times=1)
    entry = owed(EntryKind.LEAD, call, **data)
    first, second = delivered(settings, entry, again(entry))
    # Half of two lines is one of them: then it looks at once.
    assert first is (Delivery.DONE if fault is FaultKind.TRUNCATED and len(data) == 2 else Delivery.LATER)
    assert second is (Delivery.ALREADY if fault.writes else Delivery.DONE)
    site.customer_hung_up(call.call_id)


@pytest.mark.parametrize("data", [{"comments": "x", "custom:nosuch": "y"}, {"custom:nosuch": "y"}])
def test_a_custom_field_that_the_list_has_not(site: Double, settings: Settings, data: dict[str, str]) -> None:
    call = ringing(site)
    entry = owed(EntryKind.LEAD, call, **data)
    what = delivered(settings, entry, again(entry))
    assert what[-1] is Delivery.PARKED
    site.customer_hung_up(call.call_id)


def test_a_list_without_custom_fields(site: Double, settings: Settings) -> None:
    site.rows("delete from vicidial_lists_fields")
    call = ringing(site)
    entry = owed(EntryKind.LEAD, call, **{"comments": "x", "custom:step": "y"})
    assert delivered(settings, entry) == [Delivery.PARKED]
    assert site.lead(call.lead_id)["comments"] == "x"
    site.customer_hung_up(call.call_id)


def test_a_lead_that_is_not_there_a_field_that_may_not_be_and_nothing_at_all(site: Double, settings: Settings) -> None:
    nobody = DialerCall("V1221347110000999999", 999_999)
    gone = owed(EntryKind.LEAD, nobody, comments="x")
    assert delivered(settings, gone, again(gone), owed(EntryKind.LEAD, nobody, status="SALE")) == [Delivery.PARKED] * 3
    assert delivered(settings, owed(EntryKind.LEAD, nobody, comments=" ")) == [Delivery.ALREADY]


def after_an_outage(entry: Entry, way: str) -> Entry:
    if way == "tried":
        return again(entry)
    return again(entry, 0, created_at=time.time() - 61.0)


LATE = pytest.mark.parametrize("way", ["tried", "old"])


@LATE
@pytest.mark.parametrize("was", ["", "imported", ' imp"orted\n'])
def test_late_comments_go_where_the_lead_has_what_it_had(site: Double, settings: Settings, way: str, was: str) -> None:
    call = hung_up(site)
    site.rows("update vicidial_list set comments = ? where lead_id = ?", was.replace("\n", ""), call.lead_id)
    entry = after_an_outage(owed(EntryKind.LEAD, call, comments="ours", was=was), way)
    assert delivered(settings, entry, entry) == [Delivery.DONE, Delivery.ALREADY]
    assert site.lead(call.lead_id)["comments"] == "ours"


@LATE
@pytest.mark.parametrize("data", [{}, {"was": ""}, {"was": "imported"}])
def test_late_comments_leave_what_a_human_has_written_since(
    site: Double, settings: Settings, way: str, data: dict[str, str]
) -> None:
    call = hung_up(site)
    site.rows("update vicidial_list set comments = 'call him on Monday' where lead_id = ?", call.lead_id)
    entry = after_an_outage(owed(EntryKind.LEAD, call, comments="ours", **data), way)
    assert delivered(settings, entry) == [Delivery.SUPERSEDED]
    assert site.lead(call.lead_id)["comments"] == "call him on Monday"
    assert site.ledger.writes == []


@LATE
def test_what_else_a_late_entry_has_is_written_beside_a_humans_comments(site: Double, settings: Settings, way: str) -> None:
    call = hung_up(site)
    site.rows("update vicidial_list set comments = 'call him on Monday' where lead_id = ?", call.lead_id)
    entry = after_an_outage(owed(EntryKind.LEAD, call, **{"comments": "ours", "custom:step": "price"}), way)
    assert delivered(settings, entry) == [Delivery.SUPERSEDED]
    assert site.lead(call.lead_id)["comments"] == "call him on Monday"
    assert site.custom(call.lead_id)["step"] == "price"
    site.fault(FaultKind.STATUS_500, "update_lead", times=1)
    other = after_an_outage(owed(EntryKind.LEAD, call, **{"comments": "ours", "custom:step": "age"}), way)
    assert delivered(settings, other) == [Delivery.LATER]


def test_comments_in_time_are_written_at_once_and_what_was_never_is(site: Double, settings: Settings) -> None:
    call = hung_up(site)
    site.rows("update vicidial_list set comments = 'imported' where lead_id = ?", call.lead_id)
    assert delivered(settings, owed(EntryKind.LEAD, call, comments="ours", was="imported")) == [Delivery.DONE]
    assert [seen.function for seen in site.ledger.requests] == ["update_lead"]
    assert not [name for seen in site.ledger.requests for name in seen.params if name == "was"]


# Opt-outs -------------------------------------------------------------------------------------------------------------


def test_an_opt_out(site: Double, settings: Settings) -> None:
    call = hung_up(site)
    entry = owed(EntryKind.DNC, call, phone="4155550001", scope="SYSTEM_INTERNAL")
    assert delivered(settings, entry, again(entry)) == [Delivery.DONE, Delivery.ALREADY]
    assert site.dnc() == {"4155550001"}
    assert delivered(settings, owed(EntryKind.DNC, call, phone="4155550001", scope="TESTCAMP")) == [Delivery.DONE]


@pytest.mark.parametrize("phone", ["", "anonymous", "14155550001", "4155559999"])
def test_it_is_the_leads_number_that_is_never_dialled_again(site: Double, settings: Settings, phone: str) -> None:
    call = hung_up(site)
    assert site.lead(call.lead_id)["phone_number"] == "4155550001"
    assert delivered(settings, owed(EntryKind.DNC, call, phone=phone, scope="SYSTEM_INTERNAL")) == [Delivery.DONE]
    assert site.dnc() == {"4155550001"}


def test_the_callers_own_number_where_there_is_no_lead_or_it_has_none(site: Double, settings: Settings) -> None:
    call = hung_up(site)
    site.rows("update vicidial_list set phone_number = '' where lead_id = ?", call.lead_id)
    entries = [
        owed(EntryKind.DNC, ref, phone=phone, scope="SYSTEM_INTERNAL")
        for ref, phone in (
            (call, "4155559991"),
            (DialerCall("", 0), "4155559992"),
            (DialerCall("V1221347110000999999", 999_999), "4155559993"),
        )
    ]
    assert delivered(settings, *entries) == [Delivery.DONE] * 3
    assert site.dnc() == {"4155559991", "4155559992", "4155559993"}


def test_an_opt_out_waits_for_a_lead_that_cannot_be_asked_for_now(site: Double, settings: Settings) -> None:
    site.fault(FaultKind.STATUS_500, "lead_all_info")
    entry = owed(EntryKind.DNC, hung_up(site), phone="14155550001", scope="SYSTEM_INTERNAL")
    assert delivered(settings, entry) == [Delivery.LATER]
    assert site.dnc() == set()


def test_an_opt_out_does_not_wait_for_a_permission_to_read_leads(site: Double, settings: Settings) -> None:
    site.set_user("apiuser", api_allowed_functions="add_dnc_phone")
    entry = owed(EntryKind.DNC, hung_up(site), phone="14155550001", scope="SYSTEM_INTERNAL")
    assert delivered(settings, entry) == [Delivery.DONE]
    assert site.dnc() == {"14155550001"}


@pytest.mark.parametrize("phone", ["", "123", "anonymous"])
def test_an_opt_out_without_a_number(site: Double, settings: Settings, phone: str) -> None:
    entry = owed(EntryKind.DNC, DialerCall("", 0), phone=phone, scope="SYSTEM_INTERNAL")
    assert delivered(settings, entry) == [Delivery.PARKED]


def test_a_refusal_that_nobody_has_foreseen_is_not_tried_for_ever(site: Double, settings: Settings) -> None:
    entry = owed(EntryKind.DNC, hung_up(site), phone="4155550001", scope="")
    assert delivered(settings, entry, again(entry, 2)) == [Delivery.LATER, Delivery.PARKED]


def test_an_opt_out_that_may_not_be_written_waits_for_an_operator(site: Double, settings: Settings) -> None:
    site.set_user("apiuser", modify_lists=0)
    entry = owed(EntryKind.DNC, hung_up(site), phone="4155550001", scope="SYSTEM_INTERNAL")

    async def work(dialer: VicidialDialer) -> tuple[Delivered, str]:
        return await dialer.deliver(entry), dialer.health.detail

    what, health = ask(settings, work)
    assert what == Delivered(Delivery.PARKED, "add_dnc_phone: the API user may not use it")
    assert health == "not permitted: add_dnc_phone"


# Callbacks ------------------------------------------------------------------------------------------------------------


def callback(call: DialerCall, **changed: str) -> Entry:
    data = {"at": AT, "status": "CALLBK", "comments": 'after "lunch"', "campaign": "TESTCAMP"}
    return owed(EntryKind.CALLBACK, call, **(data | changed))


def test_a_callback_is_kept_and_read_back(site: Double, settings: Settings) -> None:
    call = ringing(site)
    assert delivered(settings, callback(call), again(callback(call))) == [Delivery.DONE, Delivery.ALREADY]
    kept = site.callbacks(call.lead_id)
    assert [(row["callback_time"], row["recipient"], row["comments"]) for row in kept] == [(AT, "ANYONE", "after lunch")]
    assert site.lead(call.lead_id)["status"] == "CALLBK"
    assert len(site.ledger.of("update_lead")) == 1
    site.customer_hung_up(call.call_id)


@pytest.mark.parametrize("fault", [FaultKind.CUT_AFTER, FaultKind.CUT_BEFORE, FaultKind.TRUNCATED])
def test_a_callback_whose_answer_is_lost_is_booked_once(site: Double, settings: Settings, fault: FaultKind) -> None:
    call = ringing(site)
    site.fault(fault, "update_lead", times=1)
    entry = callback(call)
    first, second = delivered(settings, entry, again(entry))
    assert first is Delivery.LATER
    assert second is (Delivery.ALREADY if fault.writes else Delivery.DONE)
    assert len(site.callbacks(call.lead_id)) == 1
    site.customer_hung_up(call.call_id)


@pytest.mark.parametrize("changed", [{"at": "NOW+2HOURS"}, {"at": "2026-11-25T16:00:00"}, {"status": ""}])
def test_a_callback_that_is_wrong_is_not_sent(site: Double, settings: Settings, changed: dict[str, str]) -> None:
    call = hung_up(site)
    assert delivered(settings, callback(call, **changed)) == [Delivery.PARKED]
    assert site.ledger.writes == []


def test_a_time_that_the_dialer_turns_into_zeros_is_seen(site: Double, settings: Settings) -> None:
    call = hung_up(site)
    entry = callback(call, at="2026-02-30 16:00:00")
    assert delivered(settings, entry) == [Delivery.PARKED]
    assert site.callbacks(call.lead_id)[0]["callback_time"].startswith("0000")


def test_a_callback_for_nobody(site: Double, settings: Settings) -> None:
    assert delivered(settings, callback(DialerCall("V1221347110000999999", 999_999))) == [Delivery.PARKED]


def test_a_campaign_that_the_dialer_has_not(site: Double, settings: Settings) -> None:
    call = hung_up(site)
    entry = callback(call, campaign="NOCAMP")
    assert delivered(settings, entry) == [Delivery.PARKED]
    assert site.callbacks(call.lead_id) == []


def no_callback(call: DialerCall) -> Entry:
    return owed(EntryKind.CALLBACK, call, remove="1")


def test_a_booked_callback_goes_with_an_opt_out(site: Double, settings: Settings) -> None:
    call = hung_up(site)
    what = delivered(settings, callback(call), no_callback(call), settle(call, "DNC"), again(no_callback(call)))
    assert what == [Delivery.DONE, Delivery.DONE, Delivery.DONE, Delivery.ALREADY]
    assert site.callbacks(call.lead_id) == []
    assert site.lead(call.lead_id)["status"] == "DNC"


def test_no_callback_is_removed_where_there_is_none(site: Double, settings: Settings) -> None:
    call = hung_up(site)
    assert delivered(settings, callback(call)) == [Delivery.DONE]
    site.rows("update vicidial_callbacks set status = 'INACTIVE' where lead_id = ?", call.lead_id)
    nobody = DialerCall("V1221347110000999999", 999_999)
    assert delivered(settings, no_callback(call), no_callback(nobody)) == [Delivery.ALREADY] * 2
    assert len(site.ledger.of("update_lead")) == 1


@pytest.mark.parametrize("fault", [FaultKind.CUT_AFTER, FaultKind.CUT_BEFORE, FaultKind.TRUNCATED, FaultKind.EMPTY])
def test_a_removal_whose_answer_is_lost_is_looked_up(site: Double, settings: Settings, fault: FaultKind) -> None:
    call = hung_up(site)
    assert delivered(settings, callback(call)) == [Delivery.DONE]
    site.fault(fault, "update_lead", times=1)
    first, second = delivered(settings, no_callback(call), again(no_callback(call)))
    assert first is Delivery.LATER
    assert second is (Delivery.ALREADY if fault.writes else Delivery.DONE)
    assert site.callbacks(call.lead_id) == []


def test_a_callback_of_a_lead_that_was_deleted(site: Double, settings: Settings) -> None:
    call = hung_up(site)
    assert delivered(settings, callback(call)) == [Delivery.DONE]
    site.rows("delete from vicidial_list where lead_id = ?", call.lead_id)
    assert delivered(settings, no_callback(call)) == [Delivery.PARKED]


def test_a_removal_that_is_only_said() -> None:
    row = f"40|CURRENT|ANYONE|ACTIVE|CALLBK|{AT}|{AT}||101|TESTCAMP||||\n"
    said = "NOTICE: update_lead SCHEDULED CALLBACK DELETED - apiuser|40|0|0\n"
    entry = no_callback(DialerCall("V1221347110000000040", 40))

    async def work() -> list[Delivery]:
        async with Scripted({"lead_callback_info": [row], "update_lead": [said]}) as site:
            dialer = VicidialDialer(site.settings(), lines=2)
            what = [(await dialer.deliver(again(entry, attempts))).what for attempts in (0, 2)]
            await dialer.close()
            return what

    assert run(work()) == [Delivery.LATER, Delivery.PARKED]


# As a whole -----------------------------------------------------------------------------------------------------------


def every_kind(call: DialerCall) -> list[Entry]:
    return [
        settle(call, "NI"),
        owed(EntryKind.LEAD, call, comments="x"),
        owed(EntryKind.DNC, call, phone="4155550001", scope="SYSTEM_INTERNAL"),
        callback(call),
    ]


def test_a_dialer_that_is_down_gets_it_later(site: Double, settings: Settings) -> None:
    call = hung_up(site)
    made = settings()
    site.go_down()

    async def work() -> list[Delivery]:
        dialer = VicidialDialer(made, lines=2)
        what = [(await dialer.deliver(entry)).what for entry in every_kind(call)]
        site.come_up()
        what += [(await dialer.deliver(again(entry))).what for entry in every_kind(call)]
        await dialer.close()
        return what

    assert run(work()) == [Delivery.LATER] * 4 + [Delivery.DONE] * 4


def test_after_a_refused_password_nothing_is_sent(site: Double, settings: Settings) -> None:
    call = hung_up(site)
    assert delivered(settings, *every_kind(call), user="nobody") == [Delivery.LOCKED] * 4
    assert len(site.ledger.requests) == 1


def test_shadow_mode_writes_none_of_it(site: Double, settings: Settings) -> None:
    site.forbid_writes = True
    call = hung_up(site)

    async def work(dialer: VicidialDialer) -> list[Delivery]:
        return [(await dialer.deliver(entry)).what for entry in every_kind(call)]

    assert ask(settings, work, shadow=True) == [Delivery.PARKED] * 4
