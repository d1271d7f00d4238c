"""SIP message text -> plain fields. Pure, and bounded: a message is whatever the network sent."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from urllib.parse import unquote

import msgspec

MAX_NAME = 128
"""A display name is cut here: nobody's real one is longer, and it ends up in the journal."""
MAX_IDS = 8
"""So many texts in which a dialer may have put its id of the call are looked at."""
MAX_PARTIES = 4
"""So many names in one header are read: P-Asserted-Identity has two at most (RFC 3325 section 9.1)."""
MAX_COUNT = 999_999

_NAME_ADDR = re.compile(r'(?:"(?P<quoted>(?:[^"\\]|\\.)*)"\s*|(?P<token>[^<"]*))<(?P<uri>[^>]*)>', re.DOTALL)
_USER = re.compile(r"^\s*(?:sips?:(?P<sip>[^@]*)@|tel:(?P<tel>[^;>]*))", re.IGNORECASE)
_NEXT_PARTY = re.compile(r"[^,]*,\s*")
_FOLD = re.compile(r"\r?\n[ \t]+")
_LINE_END = re.compile(r"\r?\n")
_HEAD_END = re.compile(r"\r?\n\r?\n")
_NAMING = ("from", "remote-party-id", "p-asserted-identity")  # the most trusted first
_COMPACT = {"f": "from"}
_VOICE_MESSAGES = re.compile(r"^voice-message\s*:\s*([0-9]{1,9})\s*/\s*([0-9]{1,9})", re.IGNORECASE | re.MULTILINE)


class Party(msgspec.Struct, frozen=True):
    """Who a From, To or similar header names: VICIdial puts its call id in `name` and the customer's phone in `user`."""

    name: str
    user: str


def party(header: str) -> Party:
    """A name-addr or addr-spec (RFC 3261 section 20.10) -> its parts; "" for a part that is missing or unreadable."""
    return next(_parties(header), None) or Party(name="", user=_user(_bracketed(header)))


def caller(whole_msg: str) -> Party:
    """Whom the From header of a message names. pj's own text of it is empty where the header is long."""
    return next((party(value) for name, value in _headers(whole_msg) if _COMPACT.get(name, name) == "from"), Party("", ""))


def candidate_ids(whole_msg: str, id_headers: Sequence[str]) -> tuple[str, ...]:
    """The texts of an INVITE in which a dialer may have put its own id of the call, as `events.Incoming.ids` has them.

    At most MAX_IDS of MAX_NAME characters, each once, none empty. Bytes that are no UTF-8 are replaced.
    """
    found: dict[str, list[str]] = {}
    for name, value in _headers(whole_msg):
        found.setdefault(_COMPACT.get(name, name), []).append(value)
    texts = [each.name for header in _NAMING for value in found.get(header, ()) for each in _parties(value)]
    texts += [value.strip().strip('"').strip()[:MAX_NAME] for header in id_headers for value in found.get(header.lower(), ())]
    return tuple(islice(dict.fromkeys(text for text in texts if text), MAX_IDS))


def voice_messages(whole_msg: str) -> tuple[int, int] | None:
    """New and old messages of a NOTIFY's message-summary (RFC 3842 section 5.2); None when it does not say."""
    found = _VOICE_MESSAGES.search(_body(whole_msg))
    return None if found is None else (min(int(found[1]), MAX_COUNT), min(int(found[2]), MAX_COUNT))


def _headers(whole_msg: str) -> Iterator[tuple[str, str]]:
    """Name in lower case and value, in their order, folded lines (RFC 3261 section 7.3.1) joined."""
    head = _HEAD_END.split(whole_msg, maxsplit=1)[0]
    for line in _LINE_END.split(_FOLD.sub(" ", _clean(head))):
        name, colon, value = line.partition(":")
        if colon:
            yield name.strip().lower(), value.strip()


def _body(whole_msg: str) -> str:
    return _clean("".join(_HEAD_END.split(whole_msg, maxsplit=1)[1:]))


def _clean(text: str) -> str:
    """Bytes that were no UTF-8 come from pj's bindings as halves of surrogate pairs, which no encoder takes."""
    return text.encode("utf-8", "replace").decode()


def _parties(header: str) -> Iterator[Party]:
    """Every name-addr of a header's list."""
    text, at = header.lstrip(), 0
    for _ in range(MAX_PARTIES):
        match = _NAME_ADDR.match(text, at)
        if match is None:
            return
        quoted = match["quoted"]
        name = match["token"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
        yield Party(name=name.strip()[:MAX_NAME], user=_user(match["uri"]))
        gap = _NEXT_PARTY.match(text, match.end())
        if gap is None:
            return
        at = gap.end()


def _bracketed(header: str) -> str:
    """What stands in the first angle brackets; all of it when there are none."""
    found = re.search("<([^>]*)>", header)
    return header if found is None else found[1]


def _user(uri: str) -> str:
    """The user part without password and parameters (`;phone-context=`), unescaped."""
    match = _USER.match(uri)
    if match is None:
        return ""
    user = match["sip"] if match["sip"] is not None else match["tel"]
    return unquote(re.split("[;:]", user, maxsplit=1)[0]).strip()[:MAX_NAME]
