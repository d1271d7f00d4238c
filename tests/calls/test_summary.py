from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.calls.campaign import REQUIRED_OUTCOMES, Campaign
from appliance.calls.summary import MOST_BYTES, clean, fields, summary
from tests.calls.driver import CAMPAIGN as ROOFS

DATA = ROOFS.model_dump(mode="json")
DATA["questions"].append(
    {"id": "call_at", "ask": "When?", "reask": "When?", "slot": "when", "aside": True, "give_up": "end:completed"}
)
CAMPAIGN = Campaign.model_validate(DATA)
SLOTS = {"owner": "yes", "year": "1987", "zip": "94110"}
LOST = '"#;\\|+\n\r\t\x00\ud800\N{PILE OF POO}\u2028'


def test_what_they_want_what_was_captured_and_where() -> None:
    said = summary(CAMPAIGN, "wants_human", SLOTS, "zip", "Ann Lee")
    assert said == "AI: Ann Lee, wants to talk to a person. owner yes, year 1987, zip 94110. At: zip."


def test_the_last_question_is_the_last_that_is_asked_in_line() -> None:
    assert summary(CAMPAIGN, "completed", {}, "more") == "AI: qualified. At: last question."
    assert summary(CAMPAIGN, "callback", {}, "call_at") == "AI: wants a call back. At: call at."


def test_nothing_is_claimed_that_was_not_captured() -> None:
    assert summary(CAMPAIGN, "hung_up", {}, "") == "AI: hung up."
    assert summary(CAMPAIGN, "hung_up", {"owner": "|"}, "owner", '"') == "AI: hung up. At: owner."


def test_a_time_to_call_back_is_the_callbacks_own() -> None:
    assert summary(CAMPAIGN, "callback", {"call_at": "+1d 10:00~", "owner": "no"}, "") == "AI: wants a call back. owner no."


def test_an_outcome_of_the_campaigns_own_is_said_by_its_id() -> None:
    assert summary(CAMPAIGN, "not_qualified", {}, "") == "AI: not qualified."


def test_free_text_goes_first_and_whole() -> None:
    slots = {"more": "the roof leaks " * 12, **SLOTS}
    assert "roof" in summary(CAMPAIGN, "completed", slots, "")
    said = summary(CAMPAIGN, "completed", slots, "more", "Ann Lee")
    assert said == "AI: Ann Lee, qualified. owner yes, year 1987, zip 94110. At: last question."


def test_then_the_name_then_the_place_then_the_last_values() -> None:
    assert summary(CAMPAIGN, "completed", SLOTS, "more", "A" * 240) == summary(CAMPAIGN, "completed", SLOTS, "more")
    slots = {"owner": "yes", "year": "y" * 215}
    assert summary(CAMPAIGN, "completed", slots, "more", "A" * 20) == f"AI: qualified. owner yes, year {'y' * 215}."
    assert summary(CAMPAIGN, "completed", {"owner": "y" * 220, "year": "y" * 220}, "zip").endswith(
        f"owner {'y' * 220}. At: zip."
    )


def test_bytes_count() -> None:
    """A dialer that cuts at bytes must not cut in the middle of a letter."""
    said = summary(CAMPAIGN, "completed", {"year": "é" * 120}, "")
    assert len(said.encode()) <= MOST_BYTES
    assert "é" * 120 not in summary(CAMPAIGN, "completed", {"year": "é" * 125}, "")


TEXT = st.text(max_size=300) | st.text(alphabet=f"ab -{LOST}", max_size=300)


@given(
    st.sampled_from([*REQUIRED_OUTCOMES, "callback", "busy", "cut_short"]),
    st.dictionaries(st.sampled_from([q.id for q in CAMPAIGN.questions] + ["gone"]), TEXT),
    st.sampled_from(["", *(q.id for q in CAMPAIGN.questions)]),
    TEXT,
)
def test_it_always_fits_and_every_value_is_whole(outcome: str, slots: dict[str, str], where: str, name: str) -> None:
    said = summary(CAMPAIGN, outcome, slots, where, name)
    assert said.startswith("AI: ")
    assert len(said.encode()) <= MOST_BYTES
    assert said == clean(said)  # nothing in it that the dialer would change
    for question, value in slots.items():
        words = question.replace("_", " ")
        assert f", {words} " not in said or f"{words} {clean(value)}" in said


@pytest.mark.parametrize("lost", [*LOST, "--BLANK--"])
def test_what_the_dialer_loses_or_misreads_is_taken_out(lost: str) -> None:
    assert lost not in clean(f"a {lost} b")


def test_what_it_keeps_is_kept() -> None:
    assert clean("  O'Neil & Söhne, 100 % (no. 5) ") == "O'Neil & Söhne, 100 % (no. 5)"
    assert clean("Jose\N{COMBINING ACUTE ACCENT}") == unicodedata.normalize("NFC", "José")
    assert clean("a---b") == "a-b"


def test_captured_values_by_the_leads_fields() -> None:
    mapping = {"owner": "owner_yn", "year": "built", "zip": "postal_code"}
    assert fields({"owner": "yes", "zip": "94;110", "more": "leaks"}, mapping) == {"owner_yn": "yes", "postal_code": "94 110"}


def test_a_field_is_never_blanked_and_never_too_long() -> None:
    found = fields(
        {"owner": " ; ", "year": "word " * 100, "zip": "--BLANK--", "more": "x" * 300}, {q: q for q in SLOTS} | {"more": "m"}
    )
    assert found == {"year": ("word " * 51).strip(), "zip": "-BLANK-"}
