from __future__ import annotations

import pytest

from appliance.audio.formats import RATE_HZ
from appliance.calls import effects, events
from appliance.calls.agent import TAIL_S, TAKE_BACK_S, Agent
from appliance.calls.effects import Act, ActKind, Prompt, Speaker
from appliance.calls.utterance import Utterance
from tests.calls.driver import CALL, CAMPAIGN, worded

GREET, ASK, CLOSE = Act(ActKind.GREET), Act(ActKind.ASK, "owner"), Act(ActKind.CLOSE, "dnc")
BACK, DISCLOSE, ANSWER = Act(ActKind.BACK), Act(ActKind.DISCLOSE), Act(ActKind.ANSWER, "who")


def saying(*acts: Act, clause_s: float = 1.0) -> tuple[Agent, Utterance]:
    """All of it worded, and voiced with so many seconds a clause."""
    agent = Agent(CALL, CAMPAIGN)
    said = [clause for act in acts for clause in worded(CAMPAIGN, act)]
    agent.utterance = utterance = Utterance(5, 4, agent.owing(acts))
    for number, clause in enumerate(said):
        agent.worded(utterance, clause, number == len(said) - 1)
        agent.voiced(events.Voiced(CALL, 5, number, round(clause_s * RATE_HZ)))
    return agent, utterance


def heard(agent: Agent, utterance: Utterance, seconds: float) -> bool:
    samples = round(seconds * RATE_HZ)
    return agent.left(utterance, events.Played(CALL, utterance.number, samples, False, samples + RATE_HZ))


@pytest.mark.parametrize(
    ("acts", "heard_s", "owed"),
    [
        ((GREET, ASK), 0.0, True),
        ((GREET, ASK), 1.9, True),
        ((GREET, ASK), 2.0, False),
        ((BACK, GREET, ASK), 2.9, True),
        ((BACK, GREET, ASK), 3.0, False),
        ((DISCLOSE, ANSWER, ASK), 0.9, True),
        ((DISCLOSE, ANSWER, ASK), 1.0, False),
        ((ANSWER, ASK), 0.0, False),
    ],
)
def test_a_disclosure_is_owed_until_it_has_left_to_its_last_clause(acts: tuple[Act, ...], heard_s: float, owed: bool) -> None:
    agent, utterance = saying(*acts)
    heard(agent, utterance, heard_s)
    agent.over(cut=True)
    assert agent.owing((CLOSE,)) == (CLOSE,), "not before the last words"
    assert agent.owing((ANSWER, ASK)) == ((DISCLOSE, ANSWER, ASK) if owed else (ANSWER, ASK))
    assert agent.owing((ANSWER, ASK)) == (ANSWER, ASK), "once"


@pytest.mark.parametrize("kind", [ActKind.CLOSE, ActKind.CONNECTING, ActKind.CALLBACK_SET])
def test_last_words_owe_no_disclosure(kind: ActKind) -> None:
    agent, _ = saying(GREET, ASK)
    agent.over(cut=True)
    assert agent.owing((Act(kind),)) == (Act(kind),)
    assert agent.owing((ASK,)) == (DISCLOSE, ASK)


@pytest.mark.parametrize("again", [(GREET, ASK), (BACK, DISCLOSE, ASK)])
def test_what_discloses_anyhow_owes_nothing_more(again: tuple[Act, ...]) -> None:
    agent, _ = saying(GREET, ASK)
    agent.over(cut=True)
    assert agent.owing(again) == again
    assert agent.owing((ASK,)) == (ASK,)


def test_a_greeting_that_was_given_no_words_still_owes_its_disclosure() -> None:
    agent = Agent(CALL, CAMPAIGN)
    agent.utterance = Utterance(1, 2, agent.owing((GREET, ASK)))
    agent.worded(agent.utterance, "", True)
    assert agent.over(cut=False) == []
    assert agent.owing((ASK,)) == (DISCLOSE, ASK)


def test_a_greeting_in_fewer_clauses_than_the_scripts_was_heard_when_it_has_left_to_its_end() -> None:
    agent = Agent(CALL, CAMPAIGN)
    agent.utterance = utterance = Utterance(1, 2, agent.owing((GREET,)))
    agent.worded(utterance, "Hello, I am a machine.", True)
    agent.voiced(events.Voiced(CALL, 1, 0, RATE_HZ))
    heard(agent, utterance, 1.0)
    agent.over(cut=False)
    assert agent.owing((ASK,)) == (ASK,)


def test_a_question_is_nearly_asked_in_its_last_second_but_not_before_it_began() -> None:
    agent, utterance = saying(ASK, clause_s=3.0)
    assert not agent.nearly_asked
    heard(agent, utterance, 3.0 - TAIL_S - 0.02)
    assert not agent.nearly_asked
    heard(agent, utterance, 3.0 - TAIL_S)
    assert agent.nearly_asked
    short, utterance = saying(ASK, clause_s=0.8)
    heard(short, utterance, TAKE_BACK_S - 0.02)
    assert not short.nearly_asked
    heard(short, utterance, TAKE_BACK_S)
    assert short.nearly_asked


def test_what_asks_nothing_or_is_not_there_is_not_nearly_asked() -> None:
    assert not Agent(CALL, CAMPAIGN).nearly_asked
    agent, utterance = saying(ASK, ANSWER)
    heard(agent, utterance, 1.9)
    assert not agent.nearly_asked
    agent, utterance = saying(ANSWER, ASK)
    utterance.worded = False
    heard(agent, utterance, 1.9)
    assert not agent.nearly_asked, "there is more to come"


def test_a_cut_tells_what_was_heard_and_hushes_the_rest_the_daemons_line_first() -> None:
    agent, utterance = saying(ANSWER, ASK)
    assert agent.play(Prompt.HOLDING, 6) == [effects.Play(CALL, 6, Prompt.HOLDING)]
    assert agent.line is not None
    agent.voiced(events.Voiced(CALL, 6, 0, RATE_HZ))
    heard(agent, utterance, 1.0)
    heard(agent, agent.line, 1.0)
    assert agent.cut() == [
        effects.TurnTaken(CALL, Speaker.AGENT, CAMPAIGN.lines.holding, 1.0, 2.0, None, True),
        effects.Hush(CALL, 6),
        effects.TurnTaken(CALL, Speaker.AGENT, "I call for Roof Care.", 1.0, 2.0, None, True),
        effects.Hush(CALL, 5),
    ]
    assert agent.cut() == []


def test_what_left_to_its_end_is_not_hushed() -> None:
    agent, utterance = saying(ANSWER)
    heard(agent, utterance, 1.0)
    assert agent.over(cut=False) == [effects.TurnTaken(CALL, Speaker.AGENT, "I call for Roof Care.", 1.0, 2.0, None, False)]
    agent.play(Prompt.GOODBYE, 6)
    assert agent.line_over(cut=False) == [], "nothing of it was heard"


def test_the_first_sound_after_the_caller_is_the_answer() -> None:
    agent, utterance = saying(ANSWER, ASK)
    agent.replies_to = RATE_HZ // 2
    assert not heard(agent, utterance, 0.0)
    assert heard(agent, utterance, 0.2)
    assert utterance.gap_ms == 500.0
    assert agent.replies_to is None
    assert heard(agent, utterance, 0.4)
    assert utterance.gap_ms == 500.0
    assert not heard(agent, utterance, 0.4)


def test_all_that_is_worded_is_said() -> None:
    agent, utterance = saying(ANSWER, ASK)
    assert agent.say(utterance) == [
        effects.Say(CALL, 5, 0, "I call for Roof Care.", False),
        effects.Say(CALL, 5, 1, "Do you own your home?", True),
    ]
