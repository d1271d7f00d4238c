from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.sip.refer import MAX_CONTEXT_BYTES, Referred, refer_target

REGISTRAR = "10.0.0.5:5060"


@pytest.mark.parametrize(
    ("to", "target"),
    [
        ("8379", "<sip:8379@10.0.0.5:5060>"),
        ("*65", "<sip:*65@10.0.0.5:5060>"),
        ("+14155550100", "<sip:+14155550100@10.0.0.5:5060>"),
        ("90009#1", "<sip:90009%231@10.0.0.5:5060>"),
        ("sales.team", "<sip:sales.team@10.0.0.5:5060>"),
        ("sip:8379@10.0.0.9", "<sip:8379@10.0.0.9>"),
        ("SIPS:sales@example.org;transport=tls", "<SIPS:sales@example.org;transport=tls>"),
        ("", None),
        ("two words", None),
        ("sip:", None),
        ("sip:a@b?Replaces=c", None),
        ("sip:a@b>,<sip:c@d", None),
        ("sip:a@b\r\nX: y", None),
        ("8379\n", None),
        ("tel:+14155550100", None),
        ("9" * 65, None),
    ],
)
def test_where_a_refer_goes(to: str, target: str | None) -> None:
    assert refer_target(to, REGISTRAR) == target


def told(target: str) -> str:
    """The context as RFC 7433 section 4.1 has it read."""
    found = re.fullmatch(r"<sip:8379@10\.0\.0\.5:5060\?User-to-User=([^>]*)>", target)
    assert found is not None
    value, _, encoding = unquote(found[1]).partition(";")
    assert encoding == "encoding=hex"
    return bytes.fromhex(value).decode()


@settings(deadline=None)
@given(st.text(min_size=1, max_size=400))
def test_the_context_arrives_cut_at_a_whole_character(context: str) -> None:
    target = refer_target("8379", REGISTRAR, context)
    assert target is not None
    heard = told(target)
    readable = context.encode("utf-8", "replace").decode()
    assert readable.startswith(heard)
    assert len(heard.encode()) <= MAX_CONTEXT_BYTES
    assert heard == readable or len(heard.encode()) > MAX_CONTEXT_BYTES - 4
    assert len(target) < 600


@pytest.mark.parametrize(
    ("code", "final", "done"),
    [(100, False, False), (180, False, False), (200, True, True), (486, True, False), (100, True, False)],
)
def test_only_a_final_success_is_one(code: int, final: bool, done: bool) -> None:
    assert Referred("c", code, final).done is done
