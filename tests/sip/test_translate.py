from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.sip.translate import MAX_COUNT, MAX_IDS, MAX_NAME, Party, caller, candidate_ids, party, voice_messages


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


@settings(deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert isinstance(party(text), Party)


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=60).map(str.strip))
def test_a_quoted_name_comes_back(name: str) -> None:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    assert party(f'"{quoted}" <sip:1@h>') == Party(name=name, user="1")


ID = "V7152252280000844707"
HEADERS = ("X-VICIdial-Call-Id", "X-VICIDIAL-callerid")


def invite(*headers: str) -> str:
    return "\r\n".join(["INVITE sip:8371@h SIP/2.0", *headers, "Content-Length: 0", "", 'From: "body" <sip:1@h>'])


@pytest.mark.parametrize(
    ("headers", "ids"),
    [
        ([f'From: "{ID}" <sip:4155550023@h>;tag=1'], (ID,)),
        ([f'f: "{ID}" <sip:4155550023@h>'], (ID,)),
        ([f"FROM : {ID} <sip:4155550023@h>"], (ID,)),
        ([f'From:\r\n "{ID}"\r\n\t<sip:4155550023@h>'], (ID,)),
        (["From: <sip:4155550023@h>"], ()),
        (
            [
                "X-VICIDIAL-CallerID: 5",
                'x-vicidial-call-id: "4"',
                'P-Asserted-Identity: "2" <sip:1@h>, "3" <tel:1>',
                'Remote-Party-ID: "1" <sip:1@h>;party=calling',
                'From: "0" <sip:1@h>',
            ],
            ("0", "1", "2", "3", "4", "5"),
        ),
        (['From: "a" <sip:1@h>', 'From: "b" <sip:1@h>', 'Remote-Party-ID: "a" <sip:1@h>'], ("a", "b")),
        (['P-Asserted-Identity: "Doe, Jo" <sip:1@h>', "P-Asserted-Identity: tel:1"], ("Doe, Jo",)),
        (["X-VICIdial-Call-Id:", "X-VICIdial-Call-Id:   "], ()),
        ([f'From: "{"x" * 10_000}" <sip:1@h>'], ("x" * MAX_NAME,)),
        ([f"X-VICIdial-Call-Id: {'y' * 10_000}"], ("y" * MAX_NAME,)),
        (['From: "J\udce9r\udcf4me" <sip:1@h>'], ("J?r?me",)),
        (['From: "a\u2028X-VICIdial-Call-Id: forged" <sip:1@h>'], ("a\u2028X-VICIdial-Call-Id: forged",)),
        (["no header at all", ": nameless", 'From: "a" <sip:1@h>'], ("a",)),
        ([f"X-VICIdial-Call-Id: {n}" for n in range(50)], tuple(map(str, range(MAX_IDS)))),
    ],
)
def test_where_a_dialer_may_have_put_its_id(headers: list[str], ids: tuple[str, ...]) -> None:
    assert candidate_ids(invite(*headers), HEADERS) == ids


def test_a_message_of_spaces_and_brackets_is_read_in_no_time() -> None:
    began = time.process_time()
    for nasty in (" " * 60_000, '"' + "\\" * 60_000, "<" * 60_000, "a, " * 20_000, "\r\n " * 20_000):
        candidate_ids(invite(f"From: {nasty}", f"P-Asserted-Identity: {nasty}"), HEADERS)
    assert time.process_time() - began < 0.5


@settings(deadline=None)
@given(st.text(max_size=200), st.lists(st.text(max_size=200), max_size=4), st.lists(st.text(max_size=20), max_size=3))
def test_ids_are_few_short_and_readable_whatever_came(start: str, values: list[str], names: list[str]) -> None:
    text = start + invite(*(f"{name}: {value}" for name in ("From", "P-Asserted-Identity", *names) for value in values))
    found = candidate_ids(text, names)
    assert len(found) <= MAX_IDS
    for each in found:
        assert 0 < len(each) <= MAX_NAME
        assert each.encode().decode() == each


SUMMARY = "Messages-Waiting: yes\r\nMessage-Account: sip:asterisk@h\r\n"


@pytest.mark.parametrize(
    ("body", "counts"),
    [
        (SUMMARY + "Voice-Message: 2/8 (0/2)\r\n", (2, 8)),
        ("voice-message :3 / 0", (3, 0)),
        ("Messages-Waiting: no\nVoice-Message: 0/0\n", (0, 0)),
        ("Voice-Message: 999999999/1", (MAX_COUNT, 1)),
        (SUMMARY, None),
        ("Voice-Message: -1/0", None),
        ("Voice-Message: 99999999999999999999/0", None),
        ("X-Voice-Message: 1/0", None),
        ("", None),
    ],
)
def test_how_many_messages_wait(body: str, counts: tuple[int, int] | None) -> None:
    assert voice_messages(f"NOTIFY sip:8371@h SIP/2.0\r\nEvent: message-summary\r\n\r\n{body}") == counts


def test_a_notify_without_a_body_says_nothing() -> None:
    assert voice_messages("NOTIFY sip:8371@h SIP/2.0\r\nVoice-Message: 1/0") is None


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_notify_is_read_without_an_error(text: str) -> None:
    assert voice_messages(text) is None or "/" in text


@pytest.mark.parametrize(
    ("header", "who"),
    [
        ('From: "V1221347110000000010" <sip:4155550003@dialer>;tag=1', Party("V1221347110000000010", "4155550003")),
        ("f: <sip:4155550003@dialer>;tag=1", Party("", "4155550003")),
        (f'FROM : "{"x" * 10_000}" <sip:4155550003@dialer>', Party("x" * 128, "4155550003")),
        ("To: <sip:8371@box>", Party("", "")),
    ],
)
def test_the_caller_is_whom_the_from_header_names(header: str, who: Party) -> None:
    assert caller(f"INVITE sip:8371@box SIP/2.0\r\nVia: SIP/2.0/UDP x\r\n{header}\r\n\r\nFrom: <sip:no@body>") == who
