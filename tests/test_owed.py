from __future__ import annotations

from appliance.owed import Owed


def test_nothing_is_waited_for_while_nothing_is_owed() -> None:
    owed = Owed()
    assert owed.waiting_s(100.0) == 0.0
    owed.asked("a", 1, 100.0)
    assert owed.waiting_s(103.0) == 3.0
    owed.answered("a", 1, 103.0)
    assert owed.waiting_s(110.0) == 0.0


def test_any_answer_shows_life_and_only_the_last_settles() -> None:
    owed = Owed()
    owed.asked("a", 1, 0.0)
    owed.asked("b", 1, 1.0)
    assert owed.waiting_s(2.0) == 2.0
    owed.answered("b", 1, 2.0, last=False)
    assert owed.waiting_s(5.0) == 3.0
    owed.answered("b", 1, 5.0)
    assert owed.waiting_s(6.0) == 1.0
    owed.answered("a", 1, 6.0)
    assert owed.waiting_s(9.0) == 0.0


def test_what_was_taken_back_is_not_owed() -> None:
    owed = Owed()
    for call, request in (("a", 1), ("a", 2), ("a", 3), ("b", 1)):
        owed.asked(call, request, 0.0)
    owed.forget("a", 2)
    owed.forget("a")
    owed.forget("nobody")
    assert owed.waiting_s(1.0) == 1.0
    owed.forget("b", 1)
    assert owed.waiting_s(1.0) == 0.0
    owed.asked("c", 1, 5.0)
    owed.clear()
    assert owed.waiting_s(6.0) == 0.0
