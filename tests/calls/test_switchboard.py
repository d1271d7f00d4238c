from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.calls import effects, events
from appliance.calls.effects import AnyEffect, Prompt
from appliance.calls.events import Engine
from appliance.calls.states import State
from appliance.calls.switchboard import LEAVING, Switchboard
from appliance.calls.timers import MEDIA_S
from tests.calls.driver import CAMPAIGN


class Board(Switchboard):
    """Two lines; calls by a letter."""

    def __init__(self, lines: int = 2, *, can_transfer: bool = False) -> None:
        super().__init__(CAMPAIGN, lines=lines, longest_call_s=100.0, can_transfer=can_transfer)

    def ring(self, *calls: str, now: float = 0.0) -> list[AnyEffect]:
        return [e for call in calls for e in self.handle(events.Incoming(call, "", "", ""), now)]

    def start(self, *calls: str, now: float = 1.0) -> list[AnyEffect]:
        return [e for call in calls for e in self.handle(events.MediaStarted(call), now)]

    def end(self, call: str, now: float = 2.0) -> list[AnyEffect]:
        return self.handle(events.HungUp(call, 200, "", False), now)


def plays(out: list[AnyEffect]) -> list[tuple[str, Prompt]]:
    return [(e.call, e.prompt) for e in out if isinstance(e, effects.Play)]


def outcomes(out: list[AnyEffect]) -> list[tuple[str, str]]:
    return [(e.call, e.outcome) for e in out if isinstance(e, effects.Concluded)]


def test_calls_are_answered_routed_and_forgotten() -> None:
    board = Board()
    out = board.ring("a", "b")
    assert [e.call for e in out if isinstance(e, effects.Answer)] == ["a", "b"]
    assert {e.call for e in board.start("a")} <= {"a"}
    assert board.active == {"a": State.PHRASING, "b": State.RINGING}
    assert outcomes(board.end("a")) == [("a", "hung_up")]
    assert set(board.active) == {"b"}
    assert board.end("a") == []
    assert board.start("nobody") == []


def test_the_deadline_is_the_earliest_of_all_calls() -> None:
    board = Board()
    assert board.deadline is None
    board.ring("a", now=5.0)
    board.ring("b", now=3.0)
    assert board.deadline == 3.0 + MEDIA_S
    out = board.handle_timer(3.0 + MEDIA_S)
    assert [e for e in out if isinstance(e, effects.Release)] == [effects.Release("b", "technical")]
    assert board.active == {"a": State.RINGING, "b": State.RELEASING}
    assert board.handle(events.Released("b", False), 13.5)[1:] == [effects.HangUp("b")]
    assert outcomes(board.handle_timer(60.0)) == [("b", "technical")]


def test_one_leg_more_than_lines_is_talked_to_and_the_next_is_told_that_all_are_busy() -> None:
    board = Board(lines=2)
    board.ring("a", "b", "c")
    out = board.ring("d")
    assert [type(e) for e in out] == [effects.Answer]
    assert board.over_capacity == 1
    out = board.start("d")
    assert plays(out) == [("d", Prompt.BUSY)]
    played = board.handle(events.Played("d", 1, 8000, True, 8000), 2.0)
    assert [e.text for e in played if isinstance(e, effects.TurnTaken)] == [CAMPAIGN.lines.busy]
    assert played[-1] == effects.Release("d", "busy")
    assert board.handle(events.Released("d", False), 2.0)[-1] == effects.HangUp("d")
    assert outcomes(board.handle(events.HungUp("d", 200, "", True), 2.1)) == [("d", "busy")]
    board.end("a")
    assert board.ring("e")[0] == effects.Answer("e")
    assert plays(board.start("e")) == []


def speak(board: Board, call: str, now: float = 2.0) -> None:
    for frame in range(40):
        board.handle(events.Heard(call, round(8000 * now) + 160 * frame, 0.99, -20.0, -70.0, "i was about to"), now)


def gone_in_mid_sentence(board: Board, *calls: str) -> None:
    """Their last words are still being understood."""
    for call in calls:
        speak(board, call)
        board.end(call)
        assert board.active[call] is State.LAST_WORDS


def test_a_call_whose_caller_is_gone_takes_no_line() -> None:
    board = Board(lines=2)
    board.ring("a", "b")
    board.start("a", "b")
    gone_in_mid_sentence(board, "a", "b")
    board.ring("c", "d")
    assert plays(board.start("c", "d")) == []
    assert board.over_capacity == 0
    assert len(board.active) == 4


def test_a_leg_that_is_ending_takes_no_line() -> None:
    board = Board(lines=2)
    board.ring("a", "b", "c")
    board.handle_timer(MEDIA_S)
    assert set(board.active.values()) == {State.RELEASING}
    board.ring("d", now=MEDIA_S)
    board.handle(events.Released("b", False), MEDIA_S)
    assert board.active["b"] is State.HANGING_UP
    board.ring("e", now=MEDIA_S)
    assert plays(board.start("d", "e", now=MEDIA_S)) == []


def test_what_is_ending_has_its_bound_too() -> None:
    board = Board(lines=2)
    board.ring("a", "b", "c")
    board.start("a", "b", "c")
    gone_in_mid_sentence(board, "a", "b", "c")
    board.ring("d", "e", "f")
    assert plays(board.start("d", "e", "f")) == [("f", Prompt.BUSY)]


STEPS = st.lists(
    st.tuples(st.sampled_from(["ring", "ring", "start", "start", "speak", "leave", "end", "wait"]), st.integers(0, 3)),
    max_size=40,
)


@given(STEPS, st.integers(0, 3))
def test_whoever_comes_is_talked_to_where_there_is_room_and_nowhere_else(steps: list[tuple[str, int]], lines: int) -> None:
    board = Board(lines=lines)
    now, rung = 0.0, 0
    taken: set[str] = set()  # those that were not told that all lines are busy
    for what, which in steps:
        call = str(max(0, rung - 1 - which))
        now += 0.5
        match what:
            case "ring":
                up, refused = board.active, board.over_capacity
                board.ring(str(rung), now=now)
                callers = sum(state not in LEAVING for state in up.values())
                if board.over_capacity == refused:
                    taken.add(str(rung))
                else:
                    assert callers > lines or len(up) > 2 * lines, "turned away though there was room"
                rung += 1
            case "start" if board.active.get(call) is State.RINGING:
                board.start(call, now=now)
            case "speak" if call in board.active and board.active[call] not in (State.RINGING, *LEAVING):
                speak(board, call, now)
            case "leave" if board.active.get(call) not in (None, State.RINGING, *LEAVING):
                speak(board, call, now)
                board.end(call, now=now)
            case "end":
                board.end(call, now=now)
            case "wait":
                now += 4.0
                board.handle_timer(now)
            case _:
                pass
        talked_to = {up: state for up, state in board.active.items() if up in taken}
        assert len(talked_to) <= 2 * lines + 1
        assert sum(state not in LEAVING for state in talked_to.values()) <= lines + 1


def test_the_number_of_lines_may_change_while_calls_are_up() -> None:
    board = Board(lines=2)
    board.ring("a", "b", "c")
    board.set_lines(3)
    board.ring("d")
    board.set_lines(1)
    board.end("a")
    board.ring("e")
    assert plays(board.start("d", "e")) == [("e", Prompt.BUSY)]
    assert set(board.active) == {"b", "c", "d", "e"}


def test_callers_over_capacity_go_to_humans_where_there_are_some() -> None:
    board = Board(lines=0, can_transfer=True)
    board.ring("a", "b")
    assert board.can_transfer
    assert plays(board.start("b")) == [("b", Prompt.OVERFLOW)]
    board.can_transfer = False
    board.ring("c")
    assert plays(board.start("c")) == [("c", Prompt.BUSY)]


def test_calls_that_are_up_hear_that_there_are_humans() -> None:
    board = Board(lines=0)
    board.ring("a", "b")
    board.can_transfer = True
    assert plays(board.start("b")) == [("b", Prompt.OVERFLOW)]


def test_draining_lets_calls_go_on_and_new_ones_hear_that_all_lines_are_busy() -> None:
    board = Board()
    board.ring("a")
    before = board.draining
    board.drain()
    assert (before, board.draining) == (False, True)
    board.ring("b")
    assert plays(board.start("a", "b")) == [("b", Prompt.BUSY)]
    assert board.active["a"] is State.PHRASING


def test_a_stop_ends_every_call() -> None:
    board = Board()
    board.ring("a", "b", "c")
    board.start("a", "b")
    out = board.stop(3.0)
    assert plays(out) == [("a", Prompt.FAREWELL), ("b", Prompt.FAREWELL)]
    assert [e.call for e in out if isinstance(e, effects.Release)] == ["c"]


def test_engines_are_lost_and_back_for_every_call_and_those_to_come() -> None:
    board = Board()
    board.ring("a")
    board.start("a")
    assert plays(board.engine_lost(Engine.SPEECH, 2.0)) == [("a", Prompt.HOLDING)]
    board.ring("b", now=2.0)
    assert plays(board.start("b", now=2.1)) == [("b", Prompt.HOLDING)]
    assert board.active == {"a": State.HOLDING, "b": State.HOLDING}
    board.engine_back(Engine.SPEECH, 3.0)
    board.ring("c", now=3.0)
    assert plays(board.start("c", now=3.1)) == []


def test_a_mind_that_is_gone_before_the_call_is_asked_when_it_is_back() -> None:
    board = Board()
    board.engine_lost(Engine.MIND, 0.0)
    assert not [e for e in board.ring("a") if isinstance(e, effects.Phrase)]
    board.start("a")
    assert [type(e) for e in board.engine_back(Engine.MIND, 1.5)] == [effects.Note, effects.Phrase]


def test_an_impossible_event_ends_that_call_only() -> None:
    board = Board()
    board.ring("a", "b")
    board.start("a", "b")
    out = board.ring("a", now=2.0)
    note = out[0]
    assert isinstance(note, effects.Note)
    assert (note.kind, note.data) == ("impossible_event", {"event": "Incoming", "state": "phrasing"})
    assert plays(out) == [("a", Prompt.GOODBYE)]
    assert board.active == {"a": State.ENDING, "b": State.PHRASING}
    assert board.over_capacity == 0


def test_an_impossible_event_of_a_busy_board_does_not_count_as_a_call() -> None:
    board = Board(lines=0)
    board.ring("a")
    board.drain()
    board.ring("a", now=1.0)
    assert board.over_capacity == 0


# A bug in one call ---------------------------------------------------------------------------------------------------


class Bugs:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def __call__(self, call: str, bug: Exception) -> None:
        self.seen.append((call, type(bug).__name__))


def without(part: str, on_bug: Callable[[str, Exception], None] | None = None) -> Switchboard:
    """No campaign that passes its validation lacks a part: what trips over it is a bug."""
    campaign = CAMPAIGN.model_copy(update={part: None})
    board = Switchboard(campaign, lines=2, longest_call_s=100.0)
    if on_bug is not None:
        board = Switchboard(campaign, lines=2, longest_call_s=100.0, on_bug=on_bug)
    for call in "ab":
        board.handle(events.Incoming(call, "", "", ""), 0.0)
    board.handle(events.MediaStarted("a"), 0.5)
    return board


def test_a_bug_ends_its_call_politely_and_the_others_do_not_hear_of_it() -> None:
    bugs = Bugs()
    board = without("greeting", bugs)
    out = board.engine_lost(Engine.SPEECH, 1.0)
    assert bugs.seen == [("a", "AttributeError")]
    assert out[0] == effects.Note("a", "bug", {"error": "AttributeError", "state": "phrasing"})
    assert plays(out) == [("a", Prompt.GOODBYE)]
    assert board.active == {"a": State.ENDING, "b": State.RINGING}


def test_a_call_that_can_not_even_say_goodbye_is_hung_up_on() -> None:
    bugs = Bugs()
    board = without("lines", bugs)
    out = board.engine_lost(Engine.SPEECH, 1.0)
    assert bugs.seen == [("a", "AttributeError")] * 2
    ended = [type(effect) for effect in out if effect.call == "a"]
    assert ended == [effects.Note, effects.Release, effects.HangUp, effects.Concluded]
    assert outcomes(out) == [("a", "technical")]
    assert board.active == {"b": State.RINGING}
    assert board.handle(events.HungUp("a", 200, "", True), 1.1) == []


def test_where_nobody_takes_bugs_they_are_raised() -> None:
    with pytest.raises(AttributeError):
        without("greeting").engine_lost(Engine.SPEECH, 1.0)


def test_what_cannot_be_done_for_a_call_ends_it_politely() -> None:
    board = Board()
    board.ring("a", "b")
    board.start("a", "b")
    assert plays(board.abandon("a", 2.0)) == [("a", Prompt.GOODBYE)]
    assert board.active == {"a": State.ENDING, "b": State.PHRASING}
    assert board.abandon("nobody", 2.0) == []


def test_in_shadow_every_call_is_only_listened_to() -> None:
    board = Switchboard(CAMPAIGN, lines=1, longest_call_s=100.0, shadow=True)
    out: list[AnyEffect] = []
    for call in "abc":  # also over capacity: nobody waits for us
        out += board.handle(events.Incoming(call, "", "", ""), 0.0)
        out += board.handle(events.MediaStarted(call), 1.0)
    assert [e.call for e in out if isinstance(e, effects.Answer)] == ["a", "b", "c"]
    assert not [e for e in out if isinstance(e, effects.Play | effects.Say | effects.Phrase)]
    board.can_transfer = True
    assert outcomes(board.handle(events.HungUp("a", 200, "", False), 2.0)) == [("a", "hung_up")]
