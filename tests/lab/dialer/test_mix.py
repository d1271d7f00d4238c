from __future__ import annotations

from collections import Counter

import pytest

from tests.lab import persona
from tests.lab.dialer.mix import LEAST, SHARES, UNAMBIGUOUS, apportioned, day


@pytest.mark.parametrize("calls", [LEAST, 20, 40, 200, 513])
def test_everybody_is_called_and_the_number_of_calls_is_as_asked(calls: int) -> None:
    counts = apportioned(calls)
    assert sum(counts.values()) == calls
    assert min(counts.values()) >= 1


@pytest.mark.parametrize("calls", [20, 40, 200])
def test_those_who_are_called_again_count_as_calls(calls: int) -> None:
    plan = day(calls)
    assert len(plan.people) + plan.again == calls
    assert Counter(plan.people) == apportioned(calls - plan.again)


def test_a_day_is_the_same_every_time() -> None:
    assert day(200) == day(200)
    assert day(200, seed=2).people != day(200).people


@pytest.mark.parametrize("calls", [20, 200])
def test_what_goes_wrong_does_so_while_there_are_calls_left(calls: int) -> None:
    plan = day(calls)
    for at in (*plan.burst_at, plan.outage_at, plan.kill_at):
        assert 0 < at <= calls - plan.over
    assert plan.outage_at < plan.kill_at


def test_every_persona_is_one_of_the_labs() -> None:
    assert set(SHARES) <= {*persona.names(), *persona.day_names()}
    for name, outcomes in UNAMBIGUOUS.items():
        assert set(persona.load(name).outcomes) <= set(outcomes)
