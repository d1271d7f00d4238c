from __future__ import annotations

from appliance.calls.timers import GIVE_UP_S, SLOW_S, Timer, Timers


def test_the_deadline_is_the_earliest() -> None:
    assert Timers().deadline is None
    assert not Timers()
    timers = Timers()
    timers.arm(Timer.FINAL, 3.0)
    timers.arm(Timer.SLOW, 2.0)
    assert (timers.deadline, len(timers)) == (2.0, 2)
    timers.arm(Timer.SLOW, 4.0)
    timers.keep(Timer.FINAL, 9.0)
    assert timers.deadline == 3.0


def test_what_is_due_is_given_once() -> None:
    timers = Timers()
    timers.arm(Timer.FINAL, 1.0)
    timers.arm(Timer.SLOW, 2.0)
    assert list(timers.due(0.9)) == []
    assert list(timers.due(1.0)) == [Timer.FINAL]
    assert list(timers.due(1.0)) == []
    assert timers.deadline == 2.0


def test_one_may_stop_those_after_it_or_arm_them_anew() -> None:
    timers = Timers()
    for timer in (Timer.MEDIA, Timer.SLOW, Timer.GIVE_UP):
        timers.arm(timer, 1.0)
    seen = []
    for timer in timers.due(5.0):
        seen.append(timer)
        timers.stop(Timer.SLOW)
        timers.arm(Timer.GIVE_UP, 6.0)
    assert seen == [Timer.MEDIA]
    assert timers.deadline == 6.0


def test_stop_says_whether_one_ran() -> None:
    timers = Timers()
    timers.arm(Timer.MEDIA, 1.0)
    assert timers.stop(Timer.SLOW, Timer.MEDIA)
    assert not timers.stop(Timer.SLOW, Timer.MEDIA)


def test_a_wait_counts_from_its_beginning() -> None:
    timers = Timers()
    timers.wait(1.0)
    timers.wait(1.5)
    assert timers.deadline == 1.0 + SLOW_S
    timers.stop(Timer.SLOW)
    assert timers.deadline == 1.0 + GIVE_UP_S
    timers.stop_waiting()
    assert timers.deadline is None


def test_all_but_one() -> None:
    timers = Timers()
    timers.wait(1.0)
    timers.arm(Timer.MAX_CALL, 90.0)
    timers.all_but(Timer.MAX_CALL)
    assert (timers.deadline, len(timers)) == (90.0, 1)
    timers.all_but(Timer.FINAL)
    assert not timers


def test_only_and_clear() -> None:
    timers = Timers()
    timers.wait(1.0)
    timers.only(Timer.HANG_UP, 7.0)
    assert (timers.deadline, len(timers)) == (7.0, 1)
    timers.clear()
    assert timers.deadline is None
