from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

from appliance.calls.campaign import Campaign
from tests.lab import persona
from tests.lab.appliance import CAMPAIGN
from tests.lab.faults import LabError
from tests.lab.persona import Persona, Rule
from tests.lab.voices import LEVEL_DBOV, RATE_HZ


@pytest.mark.parametrize("name", persona.names() + persona.day_names())
def test_every_shipped_persona_expects_outcomes_the_campaign_has(name: str) -> None:
    campaign = Campaign.model_validate(tomllib.loads(CAMPAIGN.read_text()))
    loaded = persona.load(name)
    assert set(loaded.outcomes) <= {outcome.id for outcome in campaign.outcomes}
    asked = " ".join(campaign.verbatim()).lower()
    used: dict[int, int] = {}
    for rule in loaded.rules:
        assert loaded.reply(asked, used) is not None, rule.when


def test_what_was_asked_last_is_answered() -> None:
    rules = [Rule(when="home", say=["home"]), Rule(when="year", say=["year"])]
    someone = Persona(name="x", about="", outcomes=["completed"], rules=rules)
    used: dict[int, int] = {}
    found = someone.reply("you own your home. what year was it built?", used)
    assert found is not None
    assert found[1] == "year"
    assert someone.reply("goodbye", used) is None


def test_a_rules_lines_are_used_in_order_and_the_last_again() -> None:
    someone = Persona(name="x", about="", outcomes=["completed"], rules=[Rule(say=["a", "b"])])
    used: dict[int, int] = {}
    assert [found[1] for _ in range(3) if (found := someone.reply("anything", used))] == ["a", "b", "b"]


def test_brackets_are_pauses_and_not_words() -> None:
    assert persona.words("Well [0.8] yes.") == "Well yes."
    pcm, pauses = persona.audio("Well [0.8] yes.", "rms")
    (begin, end) = pauses[0]
    assert end - begin == pytest.approx(0.8)
    assert not pcm[round(begin * RATE_HZ) : round(end * RATE_HZ)].any()
    assert pcm[: round(begin * RATE_HZ)].any()
    assert pcm[round(end * RATE_HZ) :].any()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("about = 'x'", "outcomes"),
        ("about = 'x'\noutcomes = ['dnc']\nvoice = 'nobody'", "voices are"),
        ("about = 'x'\noutcomes = ['dnc']\n[[rules]]\nwhen = '('\nsay = ['a']", "regular expression"),
        ("about = ", "Invalid value"),
    ],
)
def test_a_broken_persona_is_an_error_that_names_the_place(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(text)
    with pytest.raises(LabError, match=says):
        persona.load(str(path))


def test_a_beep_is_a_tone_as_loud_as_the_speech() -> None:
    pcm, _ = persona.audio("[beep]", "rms")
    assert len(pcm) == round(0.4 * RATE_HZ)
    assert 20 * np.log10(np.sqrt(np.mean((pcm / 32768) ** 2))) == pytest.approx(LEVEL_DBOV, abs=0.2)
    assert np.argmax(np.abs(np.fft.rfft(pcm))) * RATE_HZ / len(pcm) == pytest.approx(1000, abs=3)


def test_an_unknown_persona_is_answered_with_the_known_ones() -> None:
    with pytest.raises(LabError) as raised:
        persona.load("nobody")
    assert "interested" in raised.value.hint
