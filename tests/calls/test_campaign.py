from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from appliance.calls.campaign import REQUIRED_OUTCOMES, Campaign, clauses
from tests.calls.driver import CAMPAIGN, FOR_A_DIALER

Change = Callable[[dict[str, Any]], object]


def broken(*changes: Change) -> str:
    raw = FOR_A_DIALER.model_dump(mode="json")
    for change in changes:
        change(raw)
    with pytest.raises(ValidationError) as raised:
        Campaign.model_validate(raw)
    return str(raised.value)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda c: c["outcomes"].pop(1), "outcomes: 'dnc' is missing"),
        (lambda c: c["intents"].pop("human"), "intents.human: no wording given"),
        (lambda c: c["questions"][0]["on"].update(yes="nowhere"), "questions.0.on.yes: 'nowhere' is neither"),
        (lambda c: c["questions"][0].update(otherwise="end:nowhere"), "questions.0.otherwise: 'end:nowhere' is neither"),
        (lambda c: c["questions"][1].update(give_up="x"), "questions.1.give_up: 'x' is neither"),
        (lambda c: c["answers"][0].update(then="x"), "answers.0.then: 'x' is neither"),
        (lambda c: c["objections"][1].update(then="end:x"), "objections.1.then: 'end:x' is neither"),
        (lambda c: c["questions"][0].update(slot="choice"), "questions.0.phrases: a choice needs its choices"),
        (lambda c: c["questions"][2].update(digits=None), "questions.2.digits: say how many"),
        (lambda c: c["answers"][0].update(id="owner"), "'owner': the id is used twice"),
        (lambda c: c["answers"][0].update(id="opt_out"), "'opt_out': the id is used twice"),
        (lambda c: c["questions"][1].update(give_up="repeat"), "questions.1.give_up: 'repeat' would ask for ever"),
        (lambda c: c["questions"][0].update(least=1), "questions.0.least: only a number has bounds"),
        (lambda c: c["questions"][2].update(most=9), "questions.2.most: only a number has bounds"),
        (lambda c: c["questions"][1].update(least=2001, most=2000), "questions.1.least: 2001 is above most, 2000"),
        (lambda c: c["questions"][1].update(give_up="year"), "questions.1.give_up: 'year' would ask for ever"),
        (lambda c: c["lines"].update(sorry="Sorry {caller}."), "lines.sorry: '{caller}' is neither {agent} nor {company}"),
        (lambda c: c["lines"]["acknowledge"].append("{}"), "lines.acknowledge.1: '{}' is neither"),
        (lambda c: c["outcomes"][1].update(closing="Bye {agent"), "outcomes.1.closing: '{agent' is neither"),
        (lambda c: c["objections"][0].update(say="agent} here"), "objections.0.say: '}' is neither"),
        (lambda c: c["lines"].update(callback_set="Noted for {hours}."), "lines.callback_set: '{hours}' is neither"),
        (lambda c: c["lines"].update(callback_set="Noted."), "lines.callback_set: {when} is missing"),
        (lambda c: c["lines"].update(callback_hours="Not then."), "lines.callback_hours: {hours} is missing"),
        (lambda c: c["lines"].update(sorry="At {when}?"), "lines.sorry: '{when}' is neither"),
        (lambda c: [q.update(aside=True) for q in c["questions"]], "questions: all are aside"),
        (lambda c: c["questions"][1].update(aside=True), "questions.1.give_up: nothing is next to a question aside"),
        (lambda c: c["questions"][1].update(slot="when"), "questions.1.aside: a callback ends the call"),
        (lambda c: c["outcomes"][1].update(transfer=True), "outcomes.1.transfer: 'dnc' has nobody to hand over"),
        (lambda c: c["outcomes"][8].update(transfer=True), "outcomes.8.transfer: 'callback' has nobody"),
        (lambda c: c.update(agent=7), "agent"),
        (lambda c: c.update(colour="red"), "colour"),
        (lambda c: c["questions"][0].update(id="Not an id"), "questions.0.id"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(change: Change, problem: str) -> None:
    assert problem in broken(change)


def test_all_problems_are_named_at_once() -> None:
    text = broken(lambda c: c["outcomes"].pop(1), lambda c: c["intents"].pop("human"))
    assert "'dnc' is missing" in text
    assert "intents.human" in text


def test_targets_may_be_questions() -> None:
    raw = CAMPAIGN.model_dump(mode="json")
    raw["questions"][0]["on"]["yes"] = "zip"
    assert Campaign.model_validate(raw).question("owner").on["yes"] == "zip"


@pytest.mark.parametrize("bounds", [{"least": 1800}, {"most": 2026}, {"least": 5, "most": 5}])
def test_a_number_may_have_bounds(bounds: dict[str, int]) -> None:
    raw = CAMPAIGN.model_dump(mode="json")
    raw["questions"][1].update(bounds)
    year = Campaign.model_validate(raw).question("year")
    assert (year.least, year.most) == (bounds.get("least"), bounds.get("most"))


def test_the_names_are_put_into_every_text() -> None:
    raw = CAMPAIGN.model_dump(mode="json")
    raw["greeting"]["hello"] = "Hello, {agent} of {company}. {agent}!"
    raw["lines"]["acknowledge"] = ["{company} thanks you."]
    raw["answers"][0].update(say="I am {agent}.", phrases=["is this {company}"])
    raw["outcomes"][0]["closing"] = "{company} will call."
    campaign = Campaign.model_validate(raw)
    assert campaign.greeting.hello == "Hello, Ann of Roof Care. Ann!"
    assert campaign.answers[0].phrases == ["is this roof care"]
    assert {"Roof Care thanks you.", "I am Ann.", "Roof Care will call."} <= set(campaign.verbatim())
    assert raw["greeting"]["hello"].startswith("Hello, {agent}"), "what was given is not changed"
    assert Campaign.model_validate(campaign.model_dump(mode="json")) == campaign


def test_what_is_no_table_is_no_campaign() -> None:
    with pytest.raises(ValidationError):
        Campaign.model_validate(["agent"])


def test_parts_are_found_by_id() -> None:
    assert CAMPAIGN.question("zip").digits == 5
    assert CAMPAIGN.outcome("dnc").closing == "I will remove you. Goodbye."
    reply = CAMPAIGN.reply("busy_now")
    assert reply is not None
    assert reply.say == "It takes one minute."
    assert CAMPAIGN.reply("opt_out") is None
    assert all(CAMPAIGN.outcome(name) for name in REQUIRED_OUTCOMES)


def test_verbatim_has_every_sentence_once() -> None:
    sentences = CAMPAIGN.verbatim()
    assert len(sentences) == len(set(sentences))
    assert "" not in sentences
    for sentence in (
        "Hello this is Ann.",
        "Which year?",
        "I call for Roof Care.",
        "It takes one minute.",
        "All done. Goodbye.",
    ):
        assert sentence in sentences
    lines = CAMPAIGN.lines
    for line in (
        lines.sorry,
        lines.back,
        lines.still_there,
        lines.holding,
        lines.goodbye,
        lines.farewell,
        lines.busy,
        lines.overflow,
        lines.connecting,
        lines.nobody_free,
        *lines.acknowledge,
    ):
        assert line in sentences


def test_what_is_only_known_when_it_is_said_is_not_verbatim() -> None:
    assert not [line for line in CAMPAIGN.verbatim() if "{" in line]


def test_a_callback_may_be_the_last_question_in_line() -> None:
    raw = FOR_A_DIALER.model_dump(mode="json")
    raw["questions"][4].update(aside=False)
    assert Campaign.model_validate(raw).in_line()[-1] == "when"
    assert FOR_A_DIALER.in_line()[-1] == "more"


def test_without_the_outcome_a_callback_may_be_anywhere() -> None:
    raw = CAMPAIGN.model_dump(mode="json")
    raw["questions"][1].update(slot="when")
    campaign = Campaign.model_validate(raw)
    assert not campaign.has_outcome("callback")
    assert FOR_A_DIALER.has_outcome("callback")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        ("   ", []),
        ("One.", ["One."]),
        ("One. Two? Three!", ["One.", "Two?", "Three!"]),
        ("At 3.5 percent, yes", ["At 3.5 percent, yes"]),
    ],
)
def test_clauses(text: str, parts: list[str]) -> None:
    assert clauses(text) == parts
