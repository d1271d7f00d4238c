from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.lab.kills import MOMENTS, Aftermath, Kill, Sentence, aftermath, hit
from tests.lab.meter import Report, silences

UNTIL_S = 60.0
Stretches = Sequence[tuple[float, float]]


def report(agent: Stretches, caller: Stretches) -> Report:
    return Report(agent_speech=list(agent), caller_speech=list(caller), silences=silences(caller, agent, 0.0, UNTIL_S))


def after(agent: Stretches, caller: Stretches, *sentences: Sentence, back_at_s: float | None = 12.0) -> Aftermath:
    kill = Kill(MOMENTS[0].name, "1", 10.0, back_at_s)
    return aftermath(kill, "1", report(agent, caller), UNTIL_S, sentences)


def test_the_silence_after_the_sentence_that_the_kill_fell_into_counts() -> None:
    found = after([(9.0, 11.0), (14.5, 60.0)], [])
    assert found.silence.seconds == pytest.approx(3.5)
    assert found.wait_s == pytest.approx(3.5)
    assert found.problems()[0].endswith("3.5 s of silence, limit 2 s")


def test_while_the_worker_is_away_a_caller_who_speaks_up_is_no_excuse() -> None:
    found = after([(9.0, 11.0), (15.0, 60.0)], [(13.5, 14.5)])
    assert found.silence.seconds == pytest.approx(2.5)


def test_a_pause_of_the_caller_before_the_kill_is_not_the_kills() -> None:
    found = after([(3.0, 5.0), (11.0, 60.0)], [])
    assert found.silence.seconds == pytest.approx(1.0)


def test_what_the_caller_waited_before_the_kill_is() -> None:
    found = after([(11.0, 60.0)], [(5.0, 8.0)])
    assert found.silence.seconds == pytest.approx(3.0)


def test_later_a_question_leaves_the_turn_to_the_caller_and_half_of_one_does_not() -> None:
    agent = [(9.0, 13.0), (13.2, 15.0), (21.0, 60.0)]
    asked, cut = Sentence(13.2, 15.0, asks=True), Sentence(13.2, 15.0, asks=False)
    assert after(agent, [], asked).silence.seconds == 0
    assert after(agent, [], cut).silence.seconds == pytest.approx(6.0)


def test_a_sentence_is_new_when_it_began_after_the_return_and_is_on_the_wire() -> None:
    agent = [(9.0, 15.0), (20.0, 60.0)]
    old, merged, unheard = Sentence(9.0, 12.0, False), Sentence(12.5, 15.0, False), Sentence(16.0, 18.0, False)
    found = after(agent, [], old, merged, unheard)
    assert found.new_s == pytest.approx(0.5)
    assert found.turns == 1


def test_a_call_that_does_not_go_on_is_a_problem() -> None:
    talks_on = [(9.0, 60.0)]
    assert after(talks_on, []).problems() == [
        "kill while 'agent in a sentence', caller 1: no new sentence of the agent after the worker was back"
    ]
    assert after(talks_on, [], back_at_s=None).problems() == [
        "kill while 'agent in a sentence', caller 1: the worker did not come back"
    ]


@pytest.mark.parametrize(
    ("agent", "caller", "hits"),
    [
        ([(9.0, 11.0)], [], [True, False, False]),
        ([], [(9.0, 11.0)], [False, True, False]),
        ([(1.0, 2.0)], [(9.0, 9.8)], [False, False, True]),
        ([(9.85, 9.95)], [(9.0, 9.8)], [False, False, False]),
        ([(9.0, 9.8)], [(1.0, 2.0)], [False, False, False]),
    ],
)
def test_a_kill_fell_into_its_moment_or_not(agent: Stretches, caller: Stretches, hits: list[bool]) -> None:
    assert [hit(Kill(moment.name, "1", 10.0, 12.0), report(agent, caller)) for moment in MOMENTS] == hits
