"""What is owed to the dialer, against the double: once, in the end, and never over what somebody else has set."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.dialers.protocol import Delivered, Delivery, DialerCall, Entry, EntryKind
from appliance.dialers.vicidial.dialer import VicidialDialer
from tests.dialers.vicidial.conftest import Settings
from tests.dialers.vicidial.scripted import run
from tests.dialers.vicidial.test_dialer import ask, ringing
from tests.fakes.vicidial import Double, FaultKind

AT = "2026-11-25 16:00:00"


def owed(kind: EntryKind, call: DialerCall, **data: str) -> Entry:
    return Entry(1, kind, call.call_id, call.lead_id, data, created_at=0.0)


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


# Opt-outs -------------------------------------------------------------------------------------------------------------


def test_an_opt_out(site: Double, settings: Settings) -> None:
    call = hung_up(site)
    entry = owed(EntryKind.DNC, call, phone="4155550001", scope="SYSTEM_INTERNAL")
    assert delivered(settings, entry, again(entry)) == [Delivery.DONE, Delivery.ALREADY]
    assert site.dnc() == {"4155550001"}
    assert delivered(settings, owed(EntryKind.DNC, call, phone="4155550001", scope="TESTCAMP")) == [Delivery.DONE]


@pytest.mark.parametrize("phone", ["", "123", "anonymous"])
def test_an_opt_out_without_a_number(site: Double, settings: Settings, phone: str) -> None:
    entry = owed(EntryKind.DNC, hung_up(site), phone=phone, scope="SYSTEM_INTERNAL")
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
