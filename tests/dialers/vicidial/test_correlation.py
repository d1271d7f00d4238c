"""Which text is a call id, and which only looks like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.dialers.protocol import DialerCall
from appliance.dialers.vicidial.correlation import dialer_call

CALL = "V1221347110000000010"


@pytest.mark.parametrize("prefix", "VYJM")
def test_every_kind_of_call_that_a_remote_agent_gets(prefix: str) -> None:
    assert dialer_call([prefix + CALL[1:]]) == DialerCall(prefix + CALL[1:], 10)


def test_the_first_that_fits_is_the_one() -> None:
    other = "Y1221401470000000036"
    assert dialer_call(["Jane Roe", "", f" {CALL}\r\n", other]) == DialerCall(CALL, 10)


def test_the_longest_lead() -> None:
    assert dialer_call(["V1221347119999999999"]) == DialerCall("V1221347119999999999", 9_999_999_999)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "V122134711000000001",
        "V12213471100000000100",
        "v1221347110000000010",
        "X1221347110000000010",
        "V1221347110000000000",
        "V122134711000000001O",
        "V12213471100000000٣٤",  # digits, but not ours
        "V1221347110000000010|9001",
        "V1221347110000000010' OR '1'='1",
        "V1221347110000000010\r\nX-Admin: 1",
        '"V1221347110000000010"',
        "V" * 10_000,
        "V" + "1" * 10_000,
        "\ud800V1221347110000000010",
        "\x00V1221347110000000010",
    ],
)
def test_hostile_texts_are_nobody(text: str) -> None:
    assert dialer_call([text]) is None


@given(st.lists(st.text(max_size=40)))
def test_never_raises_and_never_invents(texts: list[str]) -> None:
    call = dialer_call(texts)
    assert call is None or any(call.call_id in text for text in texts)
