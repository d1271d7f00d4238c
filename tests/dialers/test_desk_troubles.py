"""What goes wrong at the worst moment: nobody is torn away, nothing is promised that nobody keeps, no status is false."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.calls import effects, events
from appliance.dialers.messages import Alarm, Correlated, LinesTold
from appliance.dialers.protocol import DialerCall
from appliance.dialers.vicidial.dialer import VicidialDialer
from appliance.store import outbox as outbox_module
from tests.dialers.box import SLOTS, Box, until
from tests.fakes.vicidial import Double, FaultKind
from tests.fakes.vicidial.plugin import vicidial

__all__ = ["vicidial"]


@pytest.fixture
def box(vicidial: Double, tmp_path: Path) -> Iterator[Box]:
    made = Box(vicidial, tmp_path)
    yield made
    made.stop()


def ref_of(call_id: str) -> DialerCall:
    return DialerCall(call_id, int(call_id[10:]))


def controls(box: Box) -> int:
    return sum(seen.function == "ra_call_control" for seen in box.double.ledger.requests)


def test_a_call_of_ours_whose_id_we_do_not_know_is_not_taken_for_a_stranded_one(box: Box) -> None:
    box.call(number="anonymous", ids=("Jane Doe",))
    box.desk.voicemail(1)
    assert box.next(Alarm).kind == "voicemail"
    time.sleep(0.4)
    assert controls(box) == 0


def test_what_the_dialer_is_asked_for_is_repeated_till_it_has_it(box: Box) -> None:
    box.desk.ask_lines(0)
    assert box.next(LinesTold) == LinesTold(0, taken=True)
    box.double.fault(FaultKind.STATUS_500, "update_remote_agent", times=1)
    box.desk.ask_lines(2, resume=True)
    box.desk.ask_lines(1)  # a newer wish does not forget that the pause was to end
    assert box.next(LinesTold) == LinesTold(1, taken=True)
    assert box.double.remote_agent()["status"] == "ACTIVE"
    assert box.double.remote_agent()["number_of_lines"] == 1


def test_whoever_the_guard_has_sent_to_a_human_is_not_booked_as_a_failure(box: Box, tmp_path: Path) -> None:
    _, there = box.call()
    box.next(Correlated)
    box.stop(0.0)

    async def guard() -> None:
        dialer = VicidialDialer(box.site, lines=2)
        await dialer.rescue(ref_of(there), "XFER")
        await dialer.close()

    asyncio.run(guard())
    again = Box(box.double, tmp_path, by_guard=lambda: frozenset({there}))
    again.desk.recover([ref_of(there)])
    until(lambda: again.settled(there) is not None and again.desk.health.outbox == 0, "it was not settled")
    assert box.double.log(there)["status"] == "XFER"
    again.stop()


def test_a_call_that_is_found_only_after_its_end_is_settled(box: Box) -> None:
    box.double.fault(FaultKind.SLOW, "logged_in_agents", times=1, delay_s=0.6)
    call, call_id = box.call(number=box.double.lead(8)["phone_number"], ids=("Jane Doe",))
    box.double.customer_hung_up(call_id)
    box.desk.perform(effects.OptOut(call, 0.1))
    box.desk.perform(effects.Release(call, "hung_up", gone=True))
    box.concluded(call, "dnc")
    until(lambda: box.double.log(call_id)["status"] == "DNC", "the log was not repaired")
    until(lambda: box.double.lead(8)["status"] == "DNC", "the lead was not repaired")


def test_a_callback_that_nobody_will_keep_is_not_promised(vicidial: Double, tmp_path: Path) -> None:
    box = Box(vicidial, tmp_path, vicidial={"campaign": "NOCAMP"})
    known, _ = box.call()
    box.next(Correlated)
    box.desk.perform(effects.BookCallback(known, "+1d 10:00"))
    assert box.next(events.CallbackLost) == events.CallbackLost(known)
    box.desk.arrived(events.Incoming("c9", "Jane", "anonymous", "sip", ("Jane",)))
    box.desk.perform(effects.BookCallback("c9", "+1d 10:00"))
    assert box.next(events.CallbackLost) == events.CallbackLost("c9")
    box.stop()


def test_the_callers_own_zone_is_asked_for_again_before_a_time_is_booked(box: Box) -> None:
    box.double.fault(FaultKind.STATUS_500, "lead_all_info", for_s=1.5)
    call, call_id = box.call()
    assert box.next(Correlated).lead is None
    box.double.clear_faults()
    box.desk.perform(effects.BookCallback(call, "+1d 10:00"))
    box.next(events.CallbackSet)
    lead = box.double.lead(ref_of(call_id).lead_id)
    assert lead["gmt_offset_now"] == -5.0
    assert box.double.callbacks(lead["lead_id"])[0]["callback_time"].endswith("15:00:00")


def test_who_opts_out_after_booking_is_not_called_back(box: Box) -> None:
    call, call_id = box.call()
    box.next(Correlated)
    box.desk.perform(effects.BookCallback(call, "+1d 10:00"))
    box.next(events.CallbackSet)
    box.desk.perform(effects.OptOut(call, 5.0))
    until(lambda: not box.double.callbacks(ref_of(call_id).lead_id), "the callback is still in the book")


def test_an_opt_out_whose_agent_died_is_not_put_through_to_anybody(box: Box, tmp_path: Path) -> None:
    call, call_id = box.call()
    box.next(Correlated)
    box.desk.perform(effects.OptOut(call, 3.0))
    until(lambda: bool(box.double.dnc()), "not on the list")
    box.stop(0.0)
    again = Box(box.double, tmp_path)
    again.desk.recover([ref_of(call_id)])
    until(lambda: box.double.lead(ref_of(call_id).lead_id)["status"] == "DNC", "the lead is not DNC")
    assert box.double.log(call_id)["status"] == "DNC"
    assert not box.double.ledger.pops
    again.stop()


def test_a_customer_whose_rescue_fails_at_first_is_tried_again(box: Box, tmp_path: Path) -> None:
    _, call_id = box.call()
    box.next(Correlated)
    box.stop(0.0)
    box.double.fault(FaultKind.STATUS_500, "ra_call_control", for_s=1.0)
    again = Box(box.double, tmp_path)
    again.desk.recover([ref_of(call_id)])
    until(lambda: bool(box.double.ledger.pops), "the customer still sits in silence")
    assert box.double.log(call_id)["status"] == "XFER"
    again.stop()


def test_where_there_is_nobody_to_be_had_silence_is_ended(vicidial: Double, tmp_path: Path) -> None:
    box = Box(vicidial, tmp_path, vicidial={"transfer_to": "OFFLINE"})
    lead = vicidial.next_lead()
    assert lead is not None
    call_id = vicidial.call_answered(lead, "SIP/carrier-1")
    assert call_id is not None
    box.desk.refused((call_id,))
    until(lambda: vicidial.log(call_id)["status"] == "AIFAIL", "the customer is still in the mailbox", within_s=20)
    assert [message.kind for message in box.all(Alarm)] == ["stranded"]
    box.stop()


def test_a_transfer_whose_answer_was_lost_is_booked_as_one_when_the_leg_ends(box: Box) -> None:
    call, call_id = box.call()
    box.next(Correlated)
    box.double.fault(FaultKind.CUT_AFTER, "ra_call_control", times=1)
    box.double.fault(FaultKind.STATUS_500, "ra_call_control", for_s=3)
    box.desk.perform(effects.Transfer(call, "wants_human", SLOTS, "claims"))
    box.next(events.TransferFailed)
    box.double.leg_ended(call_id)
    box.desk.perform(effects.Release(call, "wants_human", gone=True))
    box.concluded(call, "wants_human")
    until(lambda: box.settled(call_id) is not None, "nothing is owed")
    until(lambda: box.desk.health.outbox == 0, "the outbox is not empty")
    assert box.double.log(call_id)["status"] == "XFER"


def test_in_shadow_mode_what_an_earlier_run_owes_waits(vicidial: Double, tmp_path: Path) -> None:
    box = Box(vicidial, tmp_path)
    call, _ = box.call()
    box.next(Correlated)
    vicidial.go_down()
    box.desk.perform(effects.OptOut(call, 1.0))
    box.stop(0.0)
    vicidial.come_up()
    shadow = Box(vicidial, tmp_path, shadow=True)
    time.sleep(0.3)
    assert [entry.parked for entry in shadow.outbox.pending()] == [False]
    shadow.stop()
    again = Box(vicidial, tmp_path)
    until(lambda: bool(vicidial.dnc()), "it was not delivered")
    again.stop()


def test_what_neither_disk_nor_memory_could_keep_is_counted(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "MAX_UNWRITTEN", 1)
    calls = [box.call()[0] for _ in range(2)]
    for _ in calls:
        box.next(Correlated)
    box.outbox._db.execute("PRAGMA query_only = 1")  # the disk takes nothing any more: SQLite itself says so
    box.double.go_down()
    for call in calls:
        box.desk.perform(effects.OptOut(call, 1.0))
    until(lambda: box.desk.health.outbox_lost > 0, "nothing was counted")
    box.outbox._db.execute("PRAGMA query_only = 0")
