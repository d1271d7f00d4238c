from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audio.formats import RATE_HZ
from appliance.calls.utterance import Utterance

ONE_S = RATE_HZ


def utterance(*clauses: str, voiced: tuple[int, ...] = ()) -> Utterance:
    made = Utterance(7, 3)
    made.clauses.extend(clauses)
    for clause, samples in enumerate(voiced):
        made.voiced(clause, samples)
    return made


def test_nothing_heard() -> None:
    u = utterance("One two three.", voiced=(ONE_S,))
    assert not u.started
    assert u.heard_text() == ""
    assert u.text() == "One two three."


def test_whole_clauses_and_the_share_of_the_cut_one() -> None:
    u = utterance("One two three.", "Four five six seven.", voiced=(ONE_S, 2 * ONE_S))
    u.played(ONE_S, ONE_S)
    assert u.heard_text() == "One two three."
    u.played(2 * ONE_S, 2 * ONE_S)
    assert u.heard_text() == "One two three. Four five"
    u.played(3 * ONE_S, 3 * ONE_S)
    assert u.heard_text() == u.text()


def test_a_clause_of_unknown_length_is_taken_for_ordinary_speech() -> None:
    u = utterance("One two three four five six seven eight nine ten.")
    u.played(ONE_S, ONE_S)
    assert u.heard_text() == "One two three four"
    u.played(100 * ONE_S, 100 * ONE_S)
    assert u.heard_text() == u.text()


def test_a_clause_without_sound_was_not_heard() -> None:
    u = utterance("One two.", "Three four.", "Five six.", voiced=(ONE_S, 0, ONE_S))
    u.played(2 * ONE_S, 2 * ONE_S)
    assert u.heard_text() == u.text() == "One two. Five six."


def test_times_hold_through_a_pause() -> None:
    u = utterance("One two.", voiced=(2 * ONE_S,))
    u.played(160, 8160)
    u.played(ONE_S, 20000)
    assert u.started_s == 1.0
    assert u.ended_s == 2.5


def test_all_voiced_needs_the_last_clause_and_every_sound() -> None:
    def all_voiced(*voiced: int, worded: bool = True) -> bool:
        u = utterance("One.", "Two.")
        u.worded = worded
        for clause in voiced:
            u.voiced(clause, 100)
        return u.all_voiced

    assert all_voiced(0, 1)
    assert not all_voiced(0)
    assert not all_voiced(0, 5), "a clause that was not asked for"
    assert not all_voiced(0, 1, worded=False)


def test_only_the_first_length_of_a_clause_counts() -> None:
    u = utterance("One two.", voiced=(ONE_S,))
    u.voiced(0, 0)
    assert u.text() == "One two."


@pytest.mark.parametrize(("played", "rest"), [(0, ["A b.", "C d.", "E."]), (12000, ["C d.", "E."]), (16000, ["E."])])
def test_the_rest_begins_with_the_clause_that_was_cut(played: int, rest: list[str]) -> None:
    u = utterance("A b.", "C d.", "E.", voiced=(ONE_S, ONE_S))
    u.worded = True
    u.played(played, played)
    after = u.rest(9)
    assert (after.number, after.request, after.clauses, after.worded, after.started) == (9, 3, rest, True, False)


CLAUSES = st.lists(
    st.tuples(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=5), st.integers(0, 9000)), max_size=5
)


@given(CLAUSES, st.integers(0, 50000))
def test_what_was_heard_is_the_beginning_of_what_was_said(clauses: list[tuple[list[str], int]], played: int) -> None:
    u = utterance(*(" ".join(words) for words, _ in clauses), voiced=tuple(n for _, n in clauses))
    u.played(played, played)
    heard = u.heard_text()
    assert u.text().startswith(heard)
    if played >= sum(n for _, n in clauses):
        assert heard == u.text()
