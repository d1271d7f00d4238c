from __future__ import annotations

import pytest

from tests.lab.performance import Action, HangUp, Performance, Recognize, Say, State
from tests.lab.persona import Interruption, Persona, Rule

QUESTION = Rule(when="home", say=["Yes."], react_s=0.9)


class Call:
    """Feeds a performance frame by frame and keeps what it did, with times."""

    def __init__(self, **fields: object) -> None:
        base: dict[str, object] = {"name": "x", "about": "", "outcomes": ["completed"], "rules": [QUESTION]}
        self.it = Performance(Persona.model_validate(base | fields))
        self.now = 100.0
        self.did: list[tuple[float, Action]] = []
        self.it.answered(self.now)

    def agent(self, loud: bool, seconds: float) -> None:
        for _ in range(round(seconds / 0.02)):
            self.now += 0.02
            self.it.agent(loud, self.now)
            self.did += [(self.now - 100, action) for action in self.it.step(self.now)]

    def did_at(self, *wanted: tuple[float, Action]) -> bool:
        """Exactly this was done, each within a frame of its time."""
        times, actions = [at for at, _ in self.did], [action for _, action in self.did]
        return actions == [a for _, a in wanted] and times == pytest.approx([t for t, _ in wanted], abs=0.021)


def test_the_agent_is_heard_out_then_answered_in_the_rules_time() -> None:
    call = Call()
    call.agent(True, 1.0)
    call.agent(False, 0.7)
    assert call.did_at((1.6, Recognize()))
    call.it.heard("do you own your home?", call.now)
    call.agent(False, 0.5)
    assert call.did_at((1.6, Recognize()), (1.9, Say("Yes.")))
    assert call.it.state is State.SPEAKING


def test_a_pause_between_two_sentences_is_not_the_end() -> None:
    call = Call()
    call.agent(True, 1.0)
    call.agent(False, 0.5)
    call.agent(True, 1.0)
    assert call.did == []
    assert call.it.agent_turns == 1


def test_an_agent_that_goes_on_makes_the_planned_answer_void() -> None:
    call = Call()
    call.agent(True, 1.0)
    call.agent(False, 0.7)
    call.it.heard("do you own your home?", call.now)
    call.agent(True, 0.5)
    assert call.it.state is State.LISTENING
    call.agent(False, 0.7)
    assert [action for _, action in call.did] == [Recognize(), Recognize()]


def test_what_nobody_asked_is_not_answered() -> None:
    call = Call()
    call.agent(True, 1.0)
    call.agent(False, 0.7)
    call.it.heard("have a good day", call.now)
    call.agent(False, 3.0)
    assert call.did_at((1.6, Recognize()))


def test_an_interruption_comes_once_and_over_the_agent() -> None:
    call = Call(interruptions=[Interruption(turn=1, after_s=0.5, say="Who is this?")])
    call.agent(True, 2.0)
    assert call.did_at((0.5, Say("Who is this?")))
    call.it.spoken(call.now)
    call.agent(True, 1.0)
    assert len(call.did) == 1


def test_hanging_up_in_the_middle_of_a_sentence() -> None:
    call = Call(rules=[Rule(say=["Yes, I think so."], hang_up_after_s=0.5)])
    call.agent(True, 0.5)
    call.agent(False, 0.7)
    call.it.heard("anything", call.now)
    call.agent(False, 1.0)
    assert [action for _, action in call.did] == [Recognize(), Say("Yes, I think so.", 0.5), HangUp("mid-sentence")]
    assert call.it.state is State.GONE


def test_an_opening_line_is_said_at_once() -> None:
    call = Call(opening="Hello?")
    call.agent(False, 0.3)
    assert call.did_at((0.2, Say("Hello?")))


def test_a_customer_gives_up_on_a_dead_line() -> None:
    call = Call(gives_up_s=5.0)
    call.agent(True, 1.0)
    call.agent(False, 6.5)
    assert call.did_at((1.6, Recognize()), (6.0, HangUp("nobody talks")))


def test_a_customer_with_little_time_hangs_up_by_the_clock() -> None:
    call = Call(hang_up_s=2.0)
    call.agent(True, 3.0)
    assert call.did_at((2.0, HangUp("time")))


def test_clicks_are_not_speech() -> None:
    call = Call()
    for _ in range(20):
        call.agent(True, 0.04)
        call.agent(False, 0.1)
    assert call.it.agent_turns == 0
