from __future__ import annotations

import numpy as np
import pytest

from tests.lab.calls import BEGAN_AT_S, speech, stream, turn
from tests.lab.meter import Report, Silence, lateness, measure, percentiles, silences
from tests.lab.voices import RATE_HZ

YES = speech("Yes, I do.", "rms")
NUMBER = speech("Nineteen eighty seven.", "awb")
AGENT = speech("Is your home insured right now?", "slt")
LONG = speech("Is your home insured right now? About what year was it built?", "slt")


def seconds(piece: np.ndarray[tuple[int], np.dtype[np.int16]]) -> float:
    return len(piece) / RATE_HZ


@pytest.mark.parametrize("gap_s", [0.06, 0.2, 0.5, 1.3])
def test_the_gap_is_from_the_callers_last_packet_to_the_agents_first(gap_s: float) -> None:
    end_s = 1 + seconds(YES)
    report = measure(stream([(1, YES)], 8), stream([(end_s + gap_s, AGENT)], 8), [turn(1, YES)])
    assert [round(g.gap_ms) for g in report.gaps] == pytest.approx([gap_s * 1000], abs=20)
    assert report.discarded == []
    assert (report.cut_offs, report.judged) == ([], 1)


def test_an_agent_that_starts_in_a_turn_cuts_it_off() -> None:
    paused = np.concatenate((YES, np.zeros(round(0.8 * RATE_HZ), np.int16), NUMBER))
    start_s = 1 + seconds(YES) + 0.4
    report = measure(stream([(1, paused)], 9), stream([(start_s, AGENT)], 9), [turn(1, paused)])
    assert report.gaps == []
    assert len(report.cut_offs) == 1
    assert report.cut_offs[0].before_end_ms == pytest.approx((0.4 + seconds(NUMBER)) * 1000, abs=40)
    assert report.judged == 1


def test_an_agent_that_waits_through_a_pause_does_not() -> None:
    paused = np.concatenate((YES, np.zeros(round(0.8 * RATE_HZ), np.int16), NUMBER))
    end_s = 1 + seconds(paused)
    report = measure(stream([(1, paused)], 9), stream([(end_s + 0.3, AGENT)], 9), [turn(1, paused)])
    assert report.cut_offs == []
    assert [round(g.gap_ms) for g in report.gaps] == pytest.approx([300], abs=20)


def test_talking_over_the_agent_is_a_barge_in_and_no_cut_off() -> None:
    """The agent is one second into its sentence, stops 100 ms after the caller began, and answers later."""
    cut = LONG[: round(1.1 * RATE_HZ)]
    end_s = 2 + seconds(NUMBER)
    agent = stream([(1, cut), (end_s + 0.4, AGENT)], 10)
    report = measure(stream([(2, NUMBER)], 10), agent, [turn(2, NUMBER)])
    assert report.judged == 0
    assert report.cut_offs == []
    assert [b.stop_ms for b in report.barge_ins] == pytest.approx([100], abs=40)
    assert [g.gap_ms for g in report.gaps] == pytest.approx([400], abs=30)


@pytest.mark.parametrize(
    ("agent_at_s", "complete", "reason"),
    [
        (None, True, "no answer"),
        (1.05, True, "both began at once"),
        (3.0, False, "the caller hung up in it"),
    ],
)
def test_a_turn_without_a_gap_has_a_reason(agent_at_s: float | None, complete: bool, reason: str) -> None:
    agent = stream([(agent_at_s, AGENT)] if agent_at_s else [], 8)
    report = measure(stream([(1, YES)], 8), agent, [turn(1, YES, complete=complete)])
    assert [d.reason for d in report.discarded] == [reason]
    assert report.gaps == []


def test_an_agent_that_talks_on_through_a_turn_answers_nobody() -> None:
    report = measure(stream([(2, YES)], 9), stream([(1, LONG)], 9), [turn(2, YES)])
    assert [d.reason for d in report.discarded] == ["the agent was talking"]


def test_a_turn_that_is_not_on_the_wire_is_said_so() -> None:
    report = measure(stream([], 5), stream([], 5), [turn(1, YES)])
    assert [d.reason for d in report.discarded] == ["not found on the wire"]


def test_an_answer_to_the_next_turn_is_not_an_answer_to_this_one() -> None:
    second_s = 1 + seconds(YES) + 2
    agent_s = second_s + seconds(NUMBER) + 0.25
    caller = stream([(1, YES), (second_s, NUMBER)], 14)
    report = measure(caller, stream([(agent_s, AGENT)], 14), [turn(1, YES), turn(second_s, NUMBER)])
    assert [(d.turn, d.reason) for d in report.discarded] == [(0, "no answer")]
    assert [g.turn for g in report.gaps] == [1]
    assert report.gaps[0].gap_ms == pytest.approx(250, abs=20)


def test_lost_packets_do_not_move_the_edges_and_are_counted() -> None:
    end_s = 1 + seconds(YES)
    agent = stream([(end_s + 0.3, AGENT)], 8, lost=[10, 11, 300])
    report = measure(stream([(1, YES)], 8), agent, [turn(1, YES)])
    assert [g.gap_ms for g in report.gaps] == pytest.approx([300], abs=20)
    assert report.lateness.lost == 3


def test_punctual_packets_are_not_late() -> None:
    found = lateness(stream([], 4))
    assert (found.packets, found.over_20_ms) == (200, 0)
    assert found.max_ms < 1


def test_silences_are_bounded_by_the_call() -> None:
    agent = [(11.0, 12.0), (13.5, 14.0)]
    assert silences([], agent, 10.0, 15.0) == [
        Silence(1.0, 10.0, "", "agent"),
        Silence(1.5, 12.0, "agent", "agent"),
        Silence(1.0, 14.0, "agent", ""),
    ]
    assert silences([], [], 10.0, 12.0) == [Silence(2.0, 10.0)]
    assert silences([], [(9.0, 20.0)], 10.0, 12.0) == []


def test_a_silence_before_the_callers_answer_is_not_the_agents() -> None:
    found = Report(silences=silences([(3.0, 4.0)], [(0.0, 1.0), (5.5, 6.0)], 0.0, 6.0))
    assert [(s.seconds, s.agents) for s in found.silences] == [(2.0, False), (1.5, True)]
    assert found.wait == Silence(1.5, 4.0, "caller", "agent")


def test_a_click_breaks_no_silence() -> None:
    assert silences([], [(0.0, 1.0), (2.0, 2.1), (4.0, 5.0)], 0.0, 5.0) == [Silence(3.0, 1.0, "agent", "agent")]


def test_silence_counts_while_neither_side_speaks() -> None:
    end_s = 1 + seconds(YES)
    caller, agent = stream([(1, YES)], 9), stream([(end_s + 2.5, AGENT)], 9)
    until_s = BEGAN_AT_S + end_s + 2.5 + seconds(AGENT)
    report = measure(caller, agent, [turn(1, YES)], since_s=BEGAN_AT_S + 0.9, until_s=until_s)
    assert report.wait.seconds == pytest.approx(2.5, abs=0.05)


def test_percentiles_of_nothing_are_not_zero() -> None:
    assert percentiles([]) == {"p50": None, "p95": None, "max": None, "n": 0}
    assert percentiles([100, 200, 300]) == {"p50": 200, "p95": 290, "max": 300, "n": 3}
