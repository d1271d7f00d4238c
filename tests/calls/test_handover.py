from __future__ import annotations

import pytest

from appliance.calls import effects
from appliance.calls.events import CallbackRefused, CallbackSet
from appliance.calls.handover import Handover

CALL = "c1"
SET, REFUSED = CallbackSet(CALL, "on Monday"), CallbackRefused(CALL, "at noon")


def transferring() -> Handover:
    handover = Handover(CALL)
    asked = handover.transfer("wants_human", {"a": "1"}, "zip", overflow=False)
    assert asked == [effects.Transfer(CALL, "wants_human", {"a": "1"}, "zip")]
    return handover


@pytest.mark.parametrize("gone", [False, True])
def test_the_dialer_is_told_of_the_end_once(gone: bool) -> None:
    handover = Handover(CALL)
    assert handover.release("dnc", gone=gone) == [effects.Release(CALL, "dnc", gone)]
    assert handover.release("dnc") == handover.release("hung_up", gone=True) == []


def test_a_transfer_under_way_comes_first_unless_the_caller_is_gone() -> None:
    assert transferring().release("wants_human") == []
    assert transferring().release("wants_human", gone=True) == [effects.Release(CALL, "wants_human", gone=True)]


def test_who_was_transferred_is_not_released() -> None:
    handover = transferring()
    assert handover.owed
    assert handover.transfer_answered(well=True)
    assert (handover.transferred, handover.transferring, handover.owed, handover.tried) == (True, False, False, True)
    assert handover.release("wants_human") == handover.release("wants_human", gone=True) == []


def test_who_was_not_is() -> None:
    handover = transferring()
    assert handover.transfer_answered(well=False)
    assert (handover.transferred, handover.tried) == (False, True)
    assert not handover.transfer_answered(well=True), "one answer"
    assert len(handover.release("wants_human")) == 1


def test_a_late_transfer_counts_till_the_call_is_released() -> None:
    handover = transferring()
    assert handover.transfer_late()
    assert not handover.transfer_late()
    assert not handover.owed
    assert handover.transfer_answered(well=True)
    assert handover.transferred
    handover = transferring()
    handover.transfer_late()
    handover.release("wants_human")
    assert not handover.transfer_answered(well=True), "this is the answer to the release"
    assert not handover.transferred


def test_an_answer_without_a_transfer_is_none() -> None:
    handover = Handover(CALL)
    assert not handover.transfer_answered(well=True)
    assert (handover.transferred, handover.tried, handover.transfer_late()) == (False, False, False)


def test_an_opt_out_is_told_once() -> None:
    handover = Handover(CALL)
    assert handover.opt_out(1.5) == [effects.OptOut(CALL, 1.5)]
    assert handover.opt_out(2.5) == []


def test_a_time_is_booked_once_and_its_answer_kept() -> None:
    handover = Handover(CALL)
    assert handover.book("monday") == [effects.BookCallback(CALL, "monday")]
    assert (handover.booked, handover.owed) == (None, True)
    assert handover.book("monday") == []
    handover.book_answered(SET)
    assert (handover.booked, handover.has_booked, handover.owed) == (SET, True, False)
    assert handover.book("monday") == []
    assert handover.booked == SET


def test_only_the_answer_to_the_newest_counts() -> None:
    handover = Handover(CALL)
    handover.book("monday")
    handover.book("tuesday")
    handover.book_answered(SET)
    assert (handover.booked, handover.has_booked, handover.owed) == (None, False, True)
    handover.book_answered(REFUSED)
    assert (handover.booked, handover.has_booked) == (REFUSED, False)
    assert handover.book("monday") == [effects.BookCallback(CALL, "monday")], "tuesday took its place"


def test_an_answer_to_nothing_is_nothing() -> None:
    handover = Handover(CALL)
    handover.book_answered(SET)
    assert handover.booked is None
