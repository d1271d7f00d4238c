from __future__ import annotations

import pytest

from appliance.calls.campaign import Builtin, clauses
from appliance.calls.effects import Act, ActKind
from appliance.calls.events import Understanding
from appliance.engines.minds.scripted import Reader, make
from appliance.engines.wire import Clause
from tests.engines.minds.ordinary import MISSED, ORDINARY
from tests.engines.minds.understandings import TABLE
from tests.engines.telephone import home_insurance

CAMPAIGN = home_insurance()
READER = Reader(CAMPAIGN)


def said(mind_call: str, *acts: Act) -> list[str]:
    mind = make(CAMPAIGN)
    mind.phrase(mind_call, 1, acts)
    return [c.text for c in mind.step() if isinstance(c, Clause)]


EVERY_ROW = [*TABLE, *ORDINARY, *(pytest.param(*row, marks=pytest.mark.xfail(strict=True)) for row in MISSED)]


@pytest.mark.parametrize(("question", "text", "intent", "slot"), EVERY_ROW)
def test_understands(question: str | None, text: str, intent: str | None, slot: str | None) -> None:
    assert READER.understand(question, text) == Understanding(intent, slot)


@pytest.mark.parametrize("builtin", list(Builtin))
def test_every_wording_of_a_builtin_means_it(builtin: Builtin) -> None:
    """Without a question nothing may outrank the campaign's own words, but a longer phrase that contains them."""
    wrong = [w for w in CAMPAIGN.intents[builtin] if READER.understand(None, w).intent != builtin]
    assert wrong == []


def test_every_wording_of_a_reply_means_it() -> None:
    replies = [*CAMPAIGN.answers, *CAMPAIGN.objections]
    wrong = [(r.id, w, found) for r in replies for w in r.phrases if (found := READER.understand(None, w).intent) != r.id]
    assert wrong == []


def test_every_wording_of_a_slot_value_means_it() -> None:
    wrong = [
        (q.id, w, found)
        for q in CAMPAIGN.questions
        for value, wordings in q.phrases.items()
        for w in wordings
        if (found := READER.understand(q.id, w)).slot != value
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "text", ["x" * 5000, "no " * 500, "\x00\ud800", "take me off " * 100, "1" * 400, "'''", "\N{PILE OF POO}"]
)
def test_hostile_text_is_read_without_harm(text: str) -> None:
    for question in (None, *(q.id for q in CAMPAIGN.questions)):
        meant = READER.understand(question, text)
        assert meant.slot is None or len(meant.slot) < 100


def test_phrases_are_the_campaigns_words_in_clauses() -> None:
    greeting = CAMPAIGN.greeting
    assert said("a", Act(ActKind.GREET)) == [*clauses(greeting.hello), *clauses(greeting.disclosure)]
    assert said("a", Act(ActKind.DISCLOSE)) == clauses(greeting.disclosure)
    assert said("a", Act(ActKind.BACK), Act(ActKind.ASK, "owner")) == [CAMPAIGN.lines.back, "Do you own your home?"]
    assert said("a", Act(ActKind.CLOSE, "dnc")) == clauses(CAMPAIGN.outcome("dnc").closing)


def test_a_value_goes_into_its_place() -> None:
    assert said("a", Act(ActKind.CALLBACK_SET, value="Monday at ten in the morning")) == [
        "Thank you.",
        "I have noted that we call you Monday at ten in the morning.",
        "Goodbye.",
    ]
    hours = "between nine in the morning and eight in the evening"
    assert said("a", Act(ActKind.CALLBACK_HOURS, value=hours))[-1] == f"We may only call {hours}."


def test_a_hand_over_is_announced_and_its_failure_too() -> None:
    assert said("a", Act(ActKind.CONNECTING)) == clauses(CAMPAIGN.lines.connecting)
    assert said("a", Act(ActKind.NOBODY_FREE), Act(ActKind.ASK, "callback_time")) == [
        *clauses(CAMPAIGN.lines.nobody_free),
        "When is a good time to call you back?",
    ]


def test_only_the_last_clause_is_marked() -> None:
    mind = make(CAMPAIGN)
    mind.phrase("a", 7, (Act(ActKind.ANSWER, "robot"), Act(ActKind.REASK, "owner")))
    out = [c for c in mind.step() if isinstance(c, Clause)]
    assert [c.last for c in out] == [False] * (len(out) - 1) + [True]


def test_acknowledgements_rotate_per_call() -> None:
    mind = make(CAMPAIGN)
    heard: dict[str, list[str]] = {"a": [], "b": []}
    for request, call in enumerate("aabab"):
        mind.phrase(call, request, (Act(ActKind.ACKNOWLEDGE),))
        heard[call] += [c.text for c in mind.step() if isinstance(c, Clause)]
    first = [line for text in CAMPAIGN.lines.acknowledge for line in [text]]
    assert heard == {"a": first[:3], "b": first[:2]}


@pytest.mark.parametrize("kind", [ActKind.ASK, ActKind.REASK, ActKind.ANSWER, ActKind.OBJECTION, ActKind.CLOSE])
def test_an_unknown_reference_says_nothing_but_answers(kind: ActKind) -> None:
    assert said("a", Act(kind, "nowhere")) == [""]
