from __future__ import annotations

import pytest

from appliance.calls.campaign import Campaign
from appliance.engines.minds.when import when
from appliance.engines.minds.words import tokens
from appliance.engines.recognizers import expected
from tests.engines.telephone import home_insurance

CAMPAIGN = home_insurance()
GROUPS = expected.groups(CAMPAIGN)


@pytest.mark.parametrize("question", [None, "no_such_question", *(q.id for q in CAMPAIGN.questions)])
def test_shares_add_up_and_name_groups(question: str | None) -> None:
    shares = expected.shares(CAMPAIGN, question)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert set(shares) == set(GROUPS)


def test_the_asked_question_has_the_largest_share() -> None:
    for question in CAMPAIGN.questions:
        shares = expected.shares(CAMPAIGN, question.id)
        assert max(shares, key=shares.__getitem__) == question.id


def test_every_group_weighs_the_same() -> None:
    for group in GROUPS.values():
        assert sum(weight for _, weight in group) == pytest.approx(1000)


def test_both_the_written_and_the_contracted_form_are_expected() -> None:
    said = {words for words, _ in GROUPS[expected.EVERYWHERE]}
    assert {("i", "am", "not", "interested"), ("i'm", "not", "interested")} <= said


def test_years_and_digits_are_expected_where_they_are_asked() -> None:
    assert ("nineteen", "eighty", "seven") in {words for words, _ in GROUPS["year_built"]}
    assert any(len(words) == 10 and "double" not in words for words, _ in GROUPS["phone"])


def test_a_load_repeats_itself() -> None:
    assert expected.groups(CAMPAIGN) == GROUPS


def test_every_wording_of_the_campaign_is_expected() -> None:
    everywhere = {words for words, _ in GROUPS[expected.EVERYWHERE]}
    replies = [w for reply in (*CAMPAIGN.answers, *CAMPAIGN.objections) for w in reply.phrases]
    intents = [w for wordings in CAMPAIGN.intents.values() for w in wordings]
    assert [w for w in (*replies, *intents) if expected.words(w) not in everywhere] == []
    for question in CAMPAIGN.questions:
        said = {words for words, _ in GROUPS[question.id]}
        assert [w for own in question.phrases.values() for w in own if expected.words(w) not in said] == []


def test_a_choice_of_months_expects_dates() -> None:
    said = {words for words, _ in GROUPS["renewal"]}
    assert {("march", "third"), ("the", "first", "of", "may"), ("next", "month")} <= said


def test_times_to_call_are_expected_and_are_times() -> None:
    data = CAMPAIGN.model_dump(mode="json")
    data["questions"].append(
        {"id": "call_at", "ask": "When?", "reask": "When?", "slot": "when", "aside": True, "give_up": "end:callback"}
    )
    said = {words for words, _ in expected.groups(Campaign.model_validate(data))["call_at"]}
    assert {
        ("tomorrow", "after", "lunch"),
        ("call", "me", "tomorrow"),
        ("in", "half", "an", "hour"),
        ("at", "three", "p", "m"),
    } <= said
    silent = [words for words in said if when(tokens(" ".join(words))) is None]
    assert silent == []
