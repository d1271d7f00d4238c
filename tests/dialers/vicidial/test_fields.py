"""What may be written, and in the form in which VICIdial gives it back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.dialers.vicidial.fields import LeadChange, Status, clean, lead_change


@pytest.mark.parametrize("name", ["", "TOOLONG", "N I", "N|I", "NI\n", "ÄH"])
def test_a_status_that_the_dialer_would_cut_or_blank(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 6"):
        Status(name)


@pytest.mark.parametrize(
    ("said", "stored"),
    [
        ("plain, it's 100 % & more", "plain, it's 100 % & more"),
        ('a "quoted" #1; back\\slash', "a quoted 1 backslash"),
        ("one\ntwo\r\nthree\tfour", "one two three four"),
        ("1|2|3 +49", "123 49"),
        ("  many   spaces ", "many spaces"),
        ("x" * 300, "x" * 255),
        ("ü" * 200, "ü" * 127),
        ("bad \ud800 \x00 bytes", "bad bytes"),
    ],
)
def test_clean(said: str, stored: str) -> None:
    assert clean(said) == stored


@given(st.text(max_size=400), st.integers(1, 300))
def test_what_is_clean_stays_as_it_is(text: str, width: int) -> None:
    once = clean(text, width)
    assert clean(once, width) == once
    assert len(once.encode()) <= width
    assert not set('"#;\\|+\n') & set(once)


def test_list_fields_and_custom_ones_are_kept_apart_and_empty_ones_left_out() -> None:
    data = {"custom:goal": "to sell", "first_name": "J" * 40, "email": "", "custom:when": " "}
    assert lead_change(data) == LeadChange({"first_name": "J" * 30}, {"goal": "to sell"})


@pytest.mark.parametrize(
    "name", ["pass", "status", "function", "custom:pass", "custom:lead_id", "custom:a b", "custom:", "x&y"]
)
def test_a_name_that_would_change_the_request_is_no_field(name: str) -> None:
    with pytest.raises(ValueError, match="field"):
        lead_change({name: "x"})
