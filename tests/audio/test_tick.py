from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audio.tick import Grid, Lateness, TickClock

PERIOD_S = 0.02


def test_an_empty_histogram() -> None:
    report = Lateness().report()
    assert (report.count, report.p50_ms, report.p99_ms, report.max_ms) == (0, 0.0, 0.0, 0.0)
    assert report.buckets == {"1": 0, "2": 0, "5": 0, "10": 0, "20": 0, "50": 0, ">50": 0}


def test_buckets_take_their_upper_bound() -> None:
    lateness = Lateness()
    for late_ms in (-1, 0, 1, 1.05, 2, 5, 5.05, 10, 20, 50, 50.05, 900):
        lateness.add(late_ms / 1000)
    report = lateness.report()
    assert report.buckets == {"1": 3, "2": 2, "5": 1, "10": 2, "20": 1, "50": 1, ">50": 2}
    assert report.count == 12
    assert report.max_ms == 900


def test_percentiles() -> None:
    lateness = Lateness()
    for late_ms in range(1, 41):
        lateness.add(late_ms / 1000)
    lateness.add(0.3)
    report = lateness.report()
    assert (report.p50_ms, report.p95_ms, report.p99_ms, report.max_ms) == (21.0, 39.0, 300.0, 300.0)


@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=50))
def test_percentiles_never_understate(late: list[float]) -> None:
    lateness = Lateness()
    for late_s in late:
        lateness.add(late_s)
    report = lateness.report()
    assert sum(report.buckets.values()) == report.count == len(late)
    assert report.p50_ms <= report.p95_ms <= report.p99_ms <= report.max_ms
    ordered = sorted(late)
    assert report.p50_ms >= ordered[(len(late) + 1) // 2 - 1] * 1000 - 0.0011


def test_a_punctual_grid_is_never_late() -> None:
    grid = Grid()
    assert max(grid.beat(100 + n * PERIOD_S) for n in range(1000)) < 1e-9


def test_one_late_beat_is_late_and_the_next_is_not() -> None:
    grid = Grid()
    late = [grid.beat(n * PERIOD_S + (0.007 if n == 5 else 0)) for n in range(10)]
    assert late[5] == pytest.approx(0.007, abs=1e-4)
    assert max(late[:5] + late[6:]) < 1e-4


def test_a_stalled_clock_that_catches_up_in_a_burst_is_late_for_each_beat() -> None:
    grid = Grid()
    for n in range(5):
        grid.beat(n * PERIOD_S)
    late = [grid.beat(0.2) for _ in range(5, 11)]
    assert late == pytest.approx([0.1, 0.08, 0.06, 0.04, 0.02, 0.0], abs=1e-4)


def test_a_clock_that_starts_anew_is_late_once() -> None:
    grid = Grid()
    grid.beat(0.0)
    assert grid.beat(1.02) == pytest.approx(1.0)
    assert grid.skipped == 50
    assert grid.beat(1.04) == pytest.approx(0.0, abs=1e-9)


def test_the_grid_forgets_one_early_beat() -> None:
    grid = Grid()
    late = [grid.beat(n * PERIOD_S - (0.0005 if n == 1 else 0)) for n in range(1000)]
    assert late[2] == pytest.approx(0.0005, abs=1e-5)
    assert late[-1] < 1e-5


def run(clock: TickClock, beats_from: float, seconds: float, late: random.Random | None = None) -> list[float]:
    """Wake at each deadline (a little late where asked) beside a media clock that beats from `beats_from` on."""
    begins: list[float] = []
    now = clock.deadline
    while now < seconds:
        begins.append(now)
        beat_at = beats_from + ((now - beats_from) // PERIOD_S) * PERIOD_S
        clock.tick(now, beat_at)
        now = clock.deadline + (late.expovariate(1000) if late else 0.0)
    return begins


@given(st.floats(0, PERIOD_S))
def test_locks_3_ms_after_the_beat_from_any_phase(phase_s: float) -> None:
    clock = TickClock(0.0)
    begins = run(clock, phase_s, 4.0)
    after_beat_s = (begins[-1] - phase_s) % PERIOD_S
    assert after_beat_s == pytest.approx(0.003, abs=2e-4)
    assert all(0.0189 < b - a < 0.0211 for a, b in itertools.pairwise(begins))
    assert clock.missed == 0


def test_never_drifts_though_it_wakes_late() -> None:
    clock = TickClock(0.0)
    begins = run(clock, 0.011, 60.0, random.Random(7))
    assert clock.ticks == len(begins) == pytest.approx(3000, abs=2)
    assert clock.lateness.report().p50_ms < 1.5


def test_keeps_its_own_pace_without_a_beat() -> None:
    clock = TickClock(5.0)
    for n in range(1, 100):
        assert clock.deadline == pytest.approx(5.0 + n * PERIOD_S)
        clock.tick(clock.deadline, None if n % 2 else 0.0)


def test_missed_ticks_are_skipped_not_made_up() -> None:
    clock = TickClock(0.0)
    assert clock.tick(0.021, None) == 0
    assert clock.tick(0.145, None) == 5
    assert clock.deadline == pytest.approx(0.16)
    assert (clock.ticks, clock.missed) == (2, 5)
    assert clock.lateness.report().buckets[">50"] == 1


def test_a_deadline_nudged_back_past_now_is_skipped() -> None:
    clock = TickClock(0.0)
    now = 0.0399
    assert clock.tick(now, 0.029) == 1
    assert clock.deadline > now
