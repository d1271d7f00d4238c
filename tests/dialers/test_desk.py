"""The desk against the double of the dialer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from appliance.calls import effects, events
from appliance.config.settings import Callbacks
from appliance.dialers.messages import Alarm, Correlated
from tests.dialers.box import SLOTS, Box, until
from tests.fakes.vicidial import Double, FaultKind
from tests.fakes.vicidial.plugin import vicidial

__all__ = ["vicidial"]


@pytest.fixture
def box(vicidial: Double, tmp_path: Path) -> Iterator[Box]:
    made = Box(vicidial, tmp_path)
    yield made
    made.stop()


def test_the_lead_is_known_while_the_call_rings(box: Box) -> None:
    call, call_id = box.call()
    known = box.next(Correlated)
    assert (known.call, known.ref.call_id) == (call, call_id)
    assert known.lead is not None
    assert known.lead.lead_id == int(call_id[10:])
    assert known.lead.phone == box.double.lead(known.lead.lead_id)["phone_number"]


def test_a_dialer_that_rewrites_the_name_is_asked_who_is_on_our_lines(box: Box) -> None:
    lead = box.double.lead(8)
    call, call_id = box.call(number=lead["phone_number"], ids=("Jane Doe",))
    known = box.next(Correlated)
    assert (known.call, known.ref.call_id) == (call, call_id)


def test_our_own_end_has_its_status_before_the_line_is_cut(box: Box) -> None:
    call, call_id = box.call()
    box.desk.perform(effects.Release(call, "not_interested"))
    assert box.next(events.Released) == events.Released(call, by_dialer=True)
    assert box.double.log(call_id)["status"] == "NI"
    box.double.leg_ended(call_id)
    box.concluded(call, "not_interested")
    until(lambda: box.desk.health.outbox == 0 and not box.double.unsettled(), "the end is not settled")
    assert box.double.lead(int(call_id[10:]))["status"] == "NI"


def test_a_customer_who_hung_up_at_once_is_no_drop(box: Box) -> None:
    call, call_id = box.call()
    box.double.customer_hung_up(call_id)
    time.sleep(0.02)  # later than the race with the dialer's own log can be won
    box.desk.perform(effects.Release(call, "hung_up", gone=True))
    box.concluded(call, "hung_up")
    until(lambda: box.double.log(call_id)["status"] == "AICU", "the log was not repaired")
    until(lambda: box.double.lead(int(call_id[10:]))["status"] == "AICU", "the lead was not repaired")
    assert box.double.left_as_drop() == []


def test_an_unknown_call_is_never_controlled(box: Box) -> None:
    box.desk.arrived(events.Incoming("c9", "'; drop table", "x", "sip", ("V1' or 1=1;--", "V" + "9" * 500)))
    box.desk.perform(effects.Release("c9", "not_interested"))
    assert box.next(events.Released) == events.Released("c9", by_dialer=False)
    assert not [seen for seen in box.double.ledger.requests if seen.function == "ra_call_control"]


def test_an_opt_out_is_on_the_list_while_the_call_is_still_up(box: Box) -> None:
    call, call_id = box.call()
    box.next(Correlated)
    box.desk.perform(effects.OptOut(call, 3.2))
    phone = box.double.lead(int(call_id[10:]))["phone_number"]
    until(lambda: phone in box.double.dnc(), "the number is not on the do-not-call list")
    box.desk.perform(effects.OptOut(call, 4.0))
    box.desk.perform(effects.Release(call, "dnc"))
    box.next(events.Released)
    assert box.double.log(call_id)["status"] == "DNC"
    assert box.double.delivered_twice() == []


def test_who_opts_out_of_an_unknown_call_is_believed(box: Box) -> None:
    box.desk.arrived(events.Incoming("c9", "", "415-555-0199", "sip", ()))
    box.desk.perform(effects.OptOut("c9", 1.0))
    until(lambda: "4155550199" in box.double.dnc(), "the number is not on the do-not-call list")


def test_a_human_gets_the_caller_with_the_summary(box: Box) -> None:
    call, call_id = box.call()
    box.next(Correlated)
    box.desk.perform(effects.Transfer(call, "completed", SLOTS, "claims"))
    assert box.next(events.Released) == events.Released(call, by_dialer=True)
    until(lambda: bool(box.double.ledger.pops), "no screen has opened")
    (pop,) = box.double.ledger.pops
    assert "1987" in pop.comments
    assert pop.custom["owner_ok"] == "yes"
    assert box.double.log(call_id)["status"] == "XFER"
    box.double.leg_ended(call_id)
    box.concluded(call, "completed", transferred=True)
    until(lambda: box.desk.health.outbox == 0, "the outbox is not empty")


def test_without_a_human_nobody_is_handed_over(box: Box) -> None:
    box.double.log_out("9101")
    call, call_id = box.call()
    box.desk.perform(effects.Transfer(call, "completed", SLOTS, "claims"))
    assert box.next(events.TransferFailed) == events.TransferFailed(call, nobody=True)
    assert box.double.log(call_id)["status"] in ("QUEUE", "XFER")
    assert not box.double.ledger.pops


def test_without_the_summary_on_the_lead_nobody_is_handed_over(box: Box) -> None:
    box.double.fault(FaultKind.STATUS_500, "update_lead", for_s=30)
    call, _ = box.call()
    box.desk.perform(effects.Transfer(call, "completed", SLOTS, "claims"))
    assert box.next(events.TransferFailed) == events.TransferFailed(call, nobody=False)
    assert not [seen for seen in box.double.ledger.requests if seen.function == "ra_call_control"]


def test_a_call_over_capacity_waits_in_the_in_group(vicidial: Double, tmp_path: Path) -> None:
    vicidial.log_out("9101")
    box = Box(vicidial, tmp_path, vicidial={"overflow_to": "SALESLINE"})
    call, call_id = box.call()
    box.desk.perform(effects.Transfer(call, "busy", {}, "", overflow=True))
    assert box.next(events.Released) == events.Released(call, by_dialer=True)
    assert vicidial.log(call_id)["status"] == "XFER"
    box.stop()


def test_a_callback_is_in_the_dialers_book_before_the_caller_is_told(box: Box) -> None:
    call, call_id = box.call()
    box.next(Correlated)
    box.desk.perform(effects.BookCallback(call, "+1d 10:00"))
    said = box.next(events.CallbackSet).said
    assert "ten in the morning" in said
    (row,) = box.double.callbacks(int(call_id[10:]))
    assert row["callback_time"].endswith(":00:00")


def test_a_callback_at_night_is_refused_with_the_hours(vicidial: Double, tmp_path: Path) -> None:
    box = Box(vicidial, tmp_path, callbacks=Callbacks())
    call, call_id = box.call()
    box.desk.perform(effects.BookCallback(call, "+1d 03:00"))
    assert "between nine in the morning" in box.next(events.CallbackRefused).hours
    assert vicidial.callbacks(int(call_id[10:])) == []
    box.stop()


def test_an_api_that_is_away_keeps_nothing_from_being_told_later(box: Box) -> None:
    call, call_id = box.call()
    box.next(Correlated)
    box.double.go_down()
    box.desk.perform(effects.OptOut(call, 3.0))
    began = time.monotonic()
    box.desk.perform(effects.Release(call, "dnc"))
    assert box.next(events.Released) == events.Released(call, by_dialer=False)
    assert time.monotonic() - began < 2.0
    box.double.leg_ended(call_id, by_box=True)
    box.concluded(call, "dnc")
    assert box.next(Alarm).kind == "api_down"
    box.double.come_up()
    until(lambda: box.desk.health.outbox == 0, "the outbox is not empty")
    assert box.double.log(call_id)["status"] == "DNC"
    assert box.double.lead(int(call_id[10:]))["phone_number"] in box.double.dnc()
    assert box.double.delivered_twice() == []
    assert box.double.out_of_order() == []


def test_a_refused_customer_is_taken_out_of_the_mailbox(box: Box) -> None:
    lead = box.double.next_lead()
    assert lead is not None
    call_id = box.double.call_answered(lead, "SIP/carrier-1")
    assert call_id is not None
    box.desk.refused((call_id,))
    assert box.next(Alarm).kind == "rescued"
    until(lambda: bool(box.double.ledger.pops), "nobody has the customer")


def test_who_is_on_our_lines_without_a_leg_is_rescued_and_who_has_one_is_not(box: Box) -> None:
    _, ours = box.call()
    lead = box.double.next_lead()
    assert lead is not None
    theirs = box.double.call_answered(lead, "SIP/carrier-9")
    assert theirs is not None
    box.desk.voicemail(1)
    alarms = [box.next(Alarm), box.next(Alarm)]
    assert [alarm.kind for alarm in alarms] == ["voicemail", "rescued"]
    assert ours in alarms[0].message
    assert theirs in alarms[1].message
    assert box.double.log(ours)["status"] == "QUEUE"


def test_calls_of_a_run_that_died_are_rescued_or_settled(box: Box, tmp_path: Path) -> None:
    """One customer is still there, one is gone; one had been given an outcome that the dialer was not told."""
    _, gone = box.call()
    there, _ = box.call()
    box.stop(0.0)  # dead, as far as the dialer can see
    box.double.customer_hung_up(gone)
    time.sleep(0.05)  # in its first milliseconds the dialer may still take control of a call that is over
    again = Box(box.double, tmp_path)
    refs = [ref for ref in (again.dialer.identify(events.Incoming("", "", "", "", (name,))) for name in (gone,)) if ref]
    again.desk.recover(refs)
    until(lambda: box.double.log(gone)["status"] == "AIFAIL", "the call of the customer who is gone has no outcome")
    until(lambda: bool(box.double.ledger.pops), f"{there}: its customer sits in silence")
    assert again.next(Alarm).kind == "rescued"
    again.stop()


def test_the_dialer_is_asked_for_lines_and_paused(box: Box) -> None:
    box.desk.ask_lines(3)
    until(lambda: box.double.remote_agent()["number_of_lines"] == 3, "the lines were not asked for")
    box.desk.ask_lines(0)
    until(lambda: box.double.remote_agent()["status"] == "INACTIVE", "it was not paused")
    box.desk.ask_lines(2)
    until(lambda: box.double.remote_agent()["number_of_lines"] == 2, "the lines were not asked for")
    assert box.double.remote_agent()["status"] == "INACTIVE"
    box.desk.ask_lines(2, resume=True)
    until(lambda: box.double.remote_agent()["status"] == "ACTIVE", "the pause did not end")


def test_a_wrong_password_is_sent_once_and_waits_for_an_operator(vicidial: Double, tmp_path: Path) -> None:
    vicidial.excuse_bye = True  # with that password nothing can be controlled
    box = Box(vicidial, tmp_path, vicidial={"password": SecretStr("not-the-right-one")})
    call, call_id = box.call()
    box.desk.perform(effects.Release(call, "not_interested"))
    box.next(events.Released)
    assert {box.next(Alarm).kind} == {"locked"}
    vicidial.leg_ended(call_id, by_box=True)
    box.concluded(call, "not_interested")
    time.sleep(0.3)
    assert len([seen for seen in vicidial.ledger.requests if seen.function != "version"]) <= 2
    assert box.desk.health.locked
    vicidial.set_user("apiuser", password="not-the-right-one")
    box.desk.retry()
    until(lambda: vicidial.log(call_id)["status"] == "NI", "nothing was tried again")
    box.stop()


def test_in_shadow_mode_nothing_is_written(vicidial: Double, tmp_path: Path) -> None:
    vicidial.forbid_writes = True
    box = Box(vicidial, tmp_path, shadow=True)
    call, call_id = box.call()
    assert box.next(Correlated).lead is not None
    box.desk.perform(effects.OptOut(call, 1.0))
    box.desk.ask_lines(1)
    box.desk.voicemail(1)
    box.concluded(call, "dnc")
    box.double.customer_hung_up(call_id)
    box.stop()
    assert not box.desk.can_transfer
