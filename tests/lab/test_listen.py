from __future__ import annotations

import tomllib

import numpy as np
import pytest

from appliance.calls.campaign import Campaign, clauses
from tests.lab.appliance import CAMPAIGN
from tests.lab.listen import Ear, bigrams, sentences_of, tokens, understand
from tests.lab.voices import spoken

SENTENCES = ["Thank you.", "Do you own your home?", "Is your home insured right now?", "Goodbye."]


@pytest.mark.parametrize(
    ("heard", "said"),
    [
        ("do you own your home", [SENTENCES[1]]),
        ("do on your home", [SENTENCES[1]]),
        ("the on your home", [SENTENCES[1]]),
        ("thank you is your home insured now", [SENTENCES[0], SENTENCES[2]]),
        ("about your home you own your home", [SENTENCES[1]]),
        ("goodbye thank you", [SENTENCES[3], SENTENCES[0]]),
        ("", []),
        ("four one five", []),
    ],
)
def test_words_are_held_against_the_closed_set(heard: str, said: list[str]) -> None:
    assert understand(heard, SENTENCES) == said


def test_the_bigram_model_is_a_distribution() -> None:
    text = bigrams([tokens(s) for s in SENTENCES])
    rows = [line.split("\t") if "\t" in line else line.split() for line in text.splitlines()]
    after_your = [10 ** float(row[0]) for row in rows if len(row) == 3 and row[1] == "your"]
    weight = next(float(row[2]) for row in rows if len(row) == 3 and row[1] == "your" and row[2][0] in "-0123456789")
    mass = sum(10 ** float(row[0]) for row in rows if len(row) == 3 and row[1] == "your" and row[2] == "home")
    assert mass + 10**weight == pytest.approx(1, abs=0.01)
    assert after_your


def test_the_questions_of_the_shipped_campaign_are_understood() -> None:
    """What every persona hangs on, said by the appliance's default voice."""
    campaign = Campaign.model_validate(tomllib.loads(CAMPAIGN.read_text()))
    ear = Ear(sentences_of(campaign))
    missed = []
    for question in campaign.questions:
        pieces = [part for clause in clauses(question.ask) for part in (spoken(clause, "slt"), np.zeros(1600, np.int16))]
        raw, said = ear.hear(np.concatenate(pieces).tobytes())
        if question.ask not in said:
            missed.append((question.ask, raw))
    assert missed == []


def test_a_sentence_that_begins_with_the_last_words_of_another_is_understood() -> None:
    """The recognizer swallows a word between the two."""
    two = ["I have a few short questions about your home.", "Do you own your home?"]
    assert understand("i have a few short questions about your home you own your home", two) == two
