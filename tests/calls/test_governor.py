from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.calls import governor
from appliance.calls.governor import Governor, Load

WELL = Load(5.0, 0.0, 250.0, 0.3, 8)
SICK = Load(25.0, 0.0, 250.0, 0.3, 8)
BAD = Load(80.0, 0.1, 2000.0, 0.99, 8)
BETWEEN = Load(15.0, 0.0, 250.0, 0.3, 8)
SLOW = Load(5.0, 0.0, 600.0, 0.3, 8)  # the machine is well, the replies are not


def run(g: Governor, seconds: int, load: Load | Callable[[int], Load], start: int = 0) -> list[tuple[int, int]]:
    """(second, lines) of every change."""
    out = []
    for t in range(start, start + seconds):
        lines = g.observe(load if isinstance(load, Load) else load(t), float(t))
        if lines is not None:
            assert lines == g.lines
            out.append((t, lines))
    return out


def with_calls(load: Load, calls: int) -> Load:
    return Load(load.path_p99_ms, load.late_share, load.gap_p95_ms, load.cpu_share, calls)


@pytest.mark.parametrize(
    ("load", "sick", "bad", "well"),
    [
        (WELL, False, False, True),
        (BETWEEN, False, False, False),
        (SICK, True, False, False),
        (BAD, True, True, False),
        (SLOW, True, False, False),
        (Load(5, 0, None, 0.3, 2), False, False, True),
        (Load(5, 0.02, None, 0.3, 2), True, False, False),
        (Load(5, 0.06, None, 0.3, 2), True, True, False),
        (Load(5, 0, None, 0.95, 2), True, False, False),
        (Load(5, 0, None, 0.8, 2), False, False, False),
        (Load(5, 0, 450, 0.3, 2), False, False, False),
        (Load(5, 0, 5000, 0.3, 2), True, False, False),
        (Load(5, 0, 5000, 0.3, 0), False, False, False),
        (Load(5, 0.005, None, 0.3, 2), False, False, False),
        (Load(80, 0.06, None, 0.95, 0), False, True, False),
    ],
)
def test_the_verdict_on_a_second(load: Load, sick: bool, bad: bool, well: bool) -> None:
    assert (load.sick, load.bad, load.well) == (sick, bad, well)


def test_a_healthy_machine_keeps_all_its_lines() -> None:
    g = Governor(1, 10)
    assert run(g, 600, WELL) == []
    assert g.lines == 10


def test_down_one_by_one_while_it_is_too_much() -> None:
    assert run(Governor(7, 10), 60, SICK) == [(2, 9), (12, 8), (22, 7)]


def test_down_to_the_calls_that_are_up_when_it_is_bad() -> None:
    assert run(Governor(1, 10), 15, with_calls(BAD, 4)) == [(2, 4), (12, 3)]


def test_never_below_the_least() -> None:
    g = Governor(3, 10)
    assert run(g, 60, with_calls(BAD, 1)) == [(2, 3)]
    assert Governor(5, 2).lines == 2


def test_what_no_caller_suffers_from_changes_nothing() -> None:
    assert run(Governor(1, 10), 60, with_calls(BAD, 0)) == []


def test_one_bad_second_is_nothing() -> None:
    assert run(Governor(1, 10), 120, lambda t: BAD if t % 5 in (0, 1) else WELL) == []


def test_slow_replies_are_given_the_time_to_leave_the_percentile() -> None:
    assert run(Governor(1, 10), 65, SLOW) == [(2, 9), (32, 8), (62, 7)]


@pytest.mark.parametrize("calls", [1, 3])
def test_with_few_calls_up_fewer_lines_would_not_make_replies_sooner(calls: int) -> None:
    assert run(Governor(1, 8), 300, Load(2.0, 0.0, 5000.0, 0.1, calls)) == []


def test_a_very_slow_reply_takes_one_line_and_not_all_that_are_free() -> None:
    assert run(Governor(1, 8), 30, Load(2.0, 0.0, 5000.0, 0.1, 4)) == [(2, 7)]


def test_a_voice_that_is_as_slow_with_fewer_calls_costs_no_more_lines() -> None:
    g = Governor(1, 8)
    changes = []
    for t in range(900):
        lines = g.observe(Load(2.0, 0.0, 550.0, 0.3, g.lines), float(t))
        changes += [lines] if lines is not None else []
    assert changes == [7]


def test_replies_that_come_sooner_with_fewer_calls_go_on_taking_lines() -> None:
    """100 ms of reply per call, and the dialer always fills the lines."""
    g = Governor(1, 8)
    changes = []
    for t in range(300):
        lines = g.observe(Load(2.0, 0.0, 100.0 * g.lines, 0.3, g.lines), float(t))
        changes += [(t, lines)] if lines is not None else []
    assert changes == [(2, 7), (32, 6), (62, 5)]


def test_slow_replies_wait_for_the_calls_that_are_too_many_to_end() -> None:
    g = Governor(1, 8)
    assert run(g, 120, Load(2.0, 0.0, 800.0, 0.3, 8)) == [(2, 7)]
    assert run(g, 10, Load(2.0, 0.0, 700.0, 0.3, 7), start=120) == [(120, 6)]


def test_after_a_step_for_the_machine_slow_replies_may_still_be_those_of_before() -> None:
    g = Governor(1, 10)
    assert run(g, 3, SICK) == [(2, 9)]
    assert run(g, 60, SLOW, start=3) == [(32, 8), (62, 7)]


@pytest.mark.parametrize("load", [SICK, BAD, SLOW])
def test_from_the_least_the_way_up_is_open_at_once(load: Load) -> None:
    g = Governor(1, 2)
    run(g, 3, with_calls(load, 1))
    assert g.lines == 1
    assert run(g, 40, with_calls(WELL, 0), start=3) == [(33, 2)]


def test_up_one_line_per_half_minute_of_health() -> None:
    g = Governor(1, 10)
    run(g, 23, SICK)
    assert g.lines == 7
    # Seven calls in use prove that many; eight were too much for five minutes from second 22 on.
    assert run(g, 290, with_calls(WELL, 6), start=23) == []
    assert run(g, 120, with_calls(WELL, 6), start=313) == [(322, 8), (353, 9), (384, 10)]


def test_what_went_well_since_is_too_much_no_longer() -> None:
    g = Governor(1, 10)
    run(g, 3, SICK)  # with eight calls
    assert g.lines == 9
    assert run(g, 40, WELL, start=3) == [(33, 10)]  # eight again, and well


def test_only_unbroken_health_counts() -> None:
    g = Governor(1, 10)
    run(g, 3, SICK)
    assert run(g, 300, lambda t: BETWEEN if t % 29 == 0 else WELL, start=3) == []


@pytest.mark.parametrize("period", [2, 3, 4, 7])
def test_flapping_input_does_not_flap_the_output(period: int) -> None:
    changes = run(Governor(1, 10), 600, lambda t: SICK if t % period == 0 else WELL)
    lines = [10, *(n for _, n in changes)]
    assert lines == sorted(lines, reverse=True)


def test_slow_waves_settle_below_what_was_too_much() -> None:
    """Too much from six calls on, and the dialer always fills the lines."""
    g = Governor(1, 10)
    changes = []
    for t in range(1200):
        lines = g.observe(with_calls(SICK if g.lines > 5 else WELL, g.lines), float(t))
        changes += [lines] if lines is not None else []
    assert changes[:5] == [9, 8, 7, 6, 5]
    assert len(changes) <= 5 + 2 * (1200 / governor.REMEMBER_S)


def test_a_silence_proves_nothing() -> None:
    g = Governor(1, 10)
    run(g, 2, BAD)
    assert g.observe(BAD, 60.0) is None  # the two before are long gone
    run(g, 2, BAD, start=61)
    assert g.lines == 8
    run(g, 29, WELL, start=100)
    assert g.observe(WELL, 500.0) is None


def test_what_was_measured_is_kept_by_calls() -> None:
    g = Governor(1, 10)
    run(g, 40, with_calls(WELL, 3))
    run(g, 2, with_calls(SLOW, 5), start=40)
    run(g, 40, Load(6.0, 0.0, None, 0.3, 4), start=42)
    assert (g.measured[3].seconds, g.measured[3].sick_seconds, g.measured[3].gap_p95_ms) == (40, 0, 250.0)
    assert (g.measured[5].seconds, g.measured[5].sick_seconds, g.measured[5].gap_p95_ms) == (2, 2, 600.0)
    assert g.measured[4].path_p99_ms == 6.0


LOADS = st.builds(
    Load,
    st.floats(0, 200),
    st.floats(0, 1),
    st.none() | st.floats(0, 5000),
    st.floats(0, 1),
    st.integers(0, 12),
)


@given(st.lists(st.tuples(LOADS, st.integers(1, 40)), max_size=30), st.integers(1, 10), st.integers(1, 10))
def test_whatever_comes_it_stays_in_bounds_and_asks_rarely(runs: list[tuple[Load, int]], least: int, most: int) -> None:
    g = Governor(least, most)
    asked: list[tuple[int, int]] = []
    at = 0
    for load, seconds in runs:
        asked += run(g, seconds, load, start=at)
        at += seconds
    assert all(min(least, most) <= lines <= most for _, lines in asked)
    moments = [t for t, _ in asked]
    assert all(b - a >= governor.ASK_EVERY_S for a, b in pairwise(moments))
    values = [most, *(lines for _, lines in asked)]
    assert all(a != b for a, b in pairwise(values))
