from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.sip.translate import MAX_NAME, Party, party


@pytest.mark.parametrize(
    ("header", "name", "user"),
    [
        ('"V7152252280000844707" <sip:4155550023@10.0.0.5>', "V7152252280000844707", "4155550023"),
        ('"V7152252280000844707" <sip:4155550023@10.0.0.5:5060>;tag=as1', "V7152252280000844707", "4155550023"),
        ("V7152252280000844707 <sip:4155550023@10.0.0.5>", "V7152252280000844707", "4155550023"),
        ("<sip:4155550023@10.0.0.5>", "", "4155550023"),
        ("sip:4155550023@10.0.0.5;tag=x", "", "4155550023"),
        ("tel:+14155550023;phone-context=x", "", "+14155550023"),
        ('"Bo \\"Red\\" <x>" <sips:bo:secret@h>', 'Bo "Red" <x>', "bo"),
        ("Anonymous <sip:anonymous@anonymous.invalid>", "Anonymous", "anonymous"),
        ("<sip:%2B14155550023;npdi@h>", "", "+14155550023"),
        ('"" <sip:10.0.0.5>', "", ""),
        ('"unclosed <sip:1@h>', "", "1"),
        ("http://x@y", "", ""),
        ("", "", ""),
    ],
)
def test_who_a_header_names(header: str, name: str, user: str) -> None:
    assert party(header) == Party(name=name, user=user)


def test_a_name_is_cut() -> None:
    assert party(f'"{"x" * 5000}" <sip:1@h>').name == "x" * MAX_NAME


@given(st.text(max_size=80))
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert isinstance(party(text), Party)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=60).map(str.strip))
def test_a_quoted_name_comes_back(name: str) -> None:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    assert party(f'"{quoted}" <sip:1@h>') == Party(name=name, user="1")
