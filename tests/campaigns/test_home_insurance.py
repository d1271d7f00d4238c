"""The shipped campaign keeps the rules that its own head states."""

from __future__ import annotations

import re

import pytest

from appliance.calls.campaign import SlotKind, clauses
from appliance.engines.voices.flite import make
from tests.engines.telephone import home_insurance

CAMPAIGN = home_insurance()
# What would be a lie in the agent's mouth: these happen after the call, or elsewhere, or not at all.
CLAIMED_ACTION = re.compile(
    r"\b(have|has|had|am|are|is) (?:now |just )?(booked|transferr|transferring|removed|scheduled|sent|emailed|connect)"
)


def test_it_is_a_valid_campaign_with_all_that_the_lab_needs() -> None:
    assert {"not_qualified", "callback", "wrong_number"} <= {o.id for o in CAMPAIGN.outcomes}
    assert CAMPAIGN.question("phone").digits == 10


def test_the_disclosure_says_machine_and_recorded() -> None:
    assert "automated" in CAMPAIGN.greeting.disclosure
    assert "recorded" in CAMPAIGN.greeting.disclosure


def test_callers_can_be_handed_over_and_called_back() -> None:
    assert {o.id for o in CAMPAIGN.outcomes if o.transfer} == {"completed", "wants_human"}
    asked = CAMPAIGN.question("callback_time")
    assert asked.slot is SlotKind.WHEN
    assert asked.id not in CAMPAIGN.in_line()
    objection = CAMPAIGN.reply("callback")
    assert objection is not None
    assert objection.then == asked.id


@pytest.mark.parametrize("line", [*CAMPAIGN.verbatim(), CAMPAIGN.lines.callback_set, CAMPAIGN.lines.callback_hours])
def test_every_line_is_ascii_and_claims_nothing(line: str) -> None:
    assert line.isascii()
    assert not CLAIMED_ACTION.search(line.lower())
    assert "$" not in line


@pytest.mark.parametrize("line", [*CAMPAIGN.verbatim(), CAMPAIGN.lines.callback_set, CAMPAIGN.lines.callback_hours])
def test_first_clauses_are_short(line: str) -> None:
    assert len(clauses(line)[0].split()) <= 13


def test_questions_take_under_four_seconds() -> None:
    voice = make("")
    lengths_s = {q.id: sum(map(len, voice.synthesize(q.ask))) / 16000 for q in CAMPAIGN.questions}
    assert max(lengths_s.values()) < 4.0, lengths_s
