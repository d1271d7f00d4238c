"""SIP header text -> plain fields. Pure."""

from __future__ import annotations

import re
from urllib.parse import unquote

import msgspec

MAX_NAME = 128
"""A display name is cut here: nobody's real one is longer, and it ends up in the journal."""

_NAME_ADDR = re.compile(r'^\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<token>[^<"]*?))\s*<(?P<uri>[^>]*)>', re.DOTALL)
_USER = re.compile(r"^\s*(?:sips?:(?P<sip>[^@]*)@|tel:(?P<tel>[^;>]*))", re.IGNORECASE)


class Party(msgspec.Struct, frozen=True):
    """Who a From, To or similar header names: VICIdial puts its call id in `name` and the customer's phone in `user`."""

    name: str
    user: str


def party(header: str) -> Party:
    """A name-addr or addr-spec (RFC 3261 section 20.10) -> its parts; "" for a part that is missing or unreadable."""
    match = _NAME_ADDR.match(header)
    if match is None:
        bracketed = re.search("<([^>]*)>", header)
        return Party(name="", user=_user(header if bracketed is None else bracketed[1]))
    quoted = match["quoted"]
    name = match["token"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
    return Party(name=name.strip()[:MAX_NAME], user=_user(match["uri"]))


def _user(uri: str) -> str:
    """The user part without password and parameters (`;phone-context=`), unescaped."""
    match = _USER.match(uri)
    if match is None:
        return ""
    user = match["sip"] if match["sip"] is not None else match["tel"]
    return unquote(re.split("[;:]", user, maxsplit=1)[0]).strip()[:MAX_NAME]
