"""What the two APIs of VICIdial answer, read without trust: pure.

Every answer has HTTP status 200, so the text alone says what happened: `RESULT: function reason - a|b|c` lines, with
`: ` or `: |` before the data in most errors of the non-agent API, bare rows, nothing at all, or the web server's page.
"""

from __future__ import annotations

import enum
import html
import re
from collections.abc import Collection
from urllib.parse import quote, quote_plus

import msgspec

_LINE = re.compile(r"(SUCCESS|NOTICE|ERROR):[ \t]*(.*)")
_REASON = re.compile(r"(.*?)(?:[ \t]+-(?:[ \t]+|$)|:[ \t]*\|?|$)(.*)")
_ECHO = re.compile(r"((?:Invalid Username/Password|Login incorrect[^|:\n-]*)[ \t]*[:-])[^\n]*", re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>([^<]*)", re.IGNORECASE)
_FILTERED = (re.compile(r"[^-_0-9A-Za-z]"), re.compile(r"['\"\\; ]"))
_PERCENT = re.compile(r"%[0-9A-F]{2}")
_MASKS = ("***", "___", "...")
_LEAST_DERIVED = 4  # a shorter remainder of a filtered password is in half of all words
_LONGEST_REASON = 120


class Word(enum.Enum):
    SUCCESS = "SUCCESS"
    NOTICE = "NOTICE"
    ERROR = "ERROR"


class Shape(enum.Enum):
    LINES = "lines"  # at least one begins with a result word
    ROWS = "rows"  # data alone
    EMPTY = "empty"  # a failure: an unknown function, or nothing to change
    PAGE = "page"  # the web server speaks, not the API


class Refusal(enum.Enum):
    """Why the API as such said no, whatever was asked."""

    PASSWORD = "password"
    LOCKED = "locked"
    PERMISSION = "permission"
    NOT_ACTIVE = "not active"
    SOURCE = "source"
    ADDRESS = "address"
    UNKNOWN_FUNCTION = "unknown function"


class Line(msgspec.Struct, frozen=True):
    """`reason` is without the function's name and the data; `fields` are the data, none where a password is in them."""

    word: Word
    reason: str
    fields: tuple[str, ...] = ()


class Reply(msgspec.Struct, frozen=True):
    """One answer. `rows` are the data's lines split at "|"; `told` is short, fit for an operator, without secrets."""

    shape: Shape
    told: str
    lines: tuple[Line, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()

    def line(self, word: Word, *phrases: str) -> Line | None:
        """The first line with this word whose reason has one of `phrases` in it, in either case."""
        for line in self.lines:
            if line.word is word and (not phrases or any(phrase.lower() in line.reason.lower() for phrase in phrases)):
                return line
        return None

    @property
    def refusal(self) -> Refusal | None:
        for line in self.lines:
            if line.word is Word.ERROR and (refusal := _refusal(line)) is not None:
                return refusal
        return None


def parse(text: str, function: str, secrets: Collection[str] = ()) -> Reply:
    """Read the answer to `function`. Never raises; what cannot be understood is rows that fit nothing."""
    body = text.replace("\r", "").replace("\x00", "").strip()
    if not body:
        return Reply(Shape.EMPTY, "an empty answer")
    lines = tuple(_line(found[1], found[2], function, secrets) for row in body.split("\n") if (found := _LINE.match(row)))
    if lines:
        told = "; ".join(dict.fromkeys(line.reason for line in lines))[: 2 * _LONGEST_REASON]
        return Reply(Shape.LINES, redacted(told, secrets), lines)
    if body.startswith("<") or re.search(r"<(html|body|br)\b", body, re.IGNORECASE):
        title = _TITLE.search(body)
        return Reply(Shape.PAGE, f"a web page: {_readable(title[1], secrets)}" if title else "a web page")
    return Reply(Shape.ROWS, "data", rows=tuple(tuple(row.split("|")) for row in body.split("\n") if row.strip()))


def redacted(text: str, secrets: Collection[str]) -> str:
    """`text` without `secrets` in any form that VICIdial or a URL gives them, nor the line in which it echoes a login."""
    forms = {form for secret in secrets if secret for form in _forms(secret)}
    used = set("".join(forms))
    mask = next((mask for mask in _MASKS if used.isdisjoint(mask)), "")
    text = _ECHO.sub(rf"\1 {mask}", text)
    if not forms:
        return text
    anywhere = re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)))
    while anywhere.search(text):  # once, but where the mask is empty: what is left may close up to another one
        text = anywhere.sub(mask, text)
    return text


def _forms(secret: str) -> set[str]:
    escaped = {quote(secret, safe=""), quote(secret), quote_plus(secret)}
    escaped |= {_PERCENT.sub(lambda code: code[0].lower(), form) for form in escaped}
    # It drops characters from a password before it looks it up, and echoes what is left.
    filtered = {form for drop in _FILTERED if len(form := drop.sub("", secret)) >= _LEAST_DERIVED}
    return {secret, html.escape(secret), *escaped, *filtered}


def _line(word: str, rest: str, function: str, secrets: Collection[str]) -> Line:
    found = _REASON.fullmatch(rest)
    reason, data = (found[1], found[2]) if found else (rest, "")
    fields = tuple(data.split("|")) if data else ()
    if _ECHO.match(rest):
        # Agent API: user, password, result, result, code; non-agent API: user, password, code.
        fields = tuple(code for code in fields[2:] if code in ("GOOD", "BAD", "LOCK"))[:1]
    reason = reason.strip().removeprefix(f"{function} ")
    return Line(Word(word), _readable(reason, secrets), fields)


def _refusal(line: Line) -> Refusal | None:
    reason = line.reason.lower()
    if reason.startswith(("invalid user", "login inc")):  # cut off, too: it must not be tried again
        code = line.fields[0] if line.fields else "BAD"
        # GOOD: the password is right, the user is not allowed to use this API.
        return {"GOOD": Refusal.PERMISSION, "LOCK": Refusal.LOCKED}.get(code, Refusal.PASSWORD)
    for phrase, refusal in _PHRASES.items():
        if phrase in reason:
            return refusal
    return None


_PHRASES = {
    "too many login attempts": Refusal.LOCKED,
    "does not have permission": Refusal.PERMISSION,
    "user is not allowed": Refusal.PERMISSION,
    "api not active": Refusal.NOT_ACTIVE,
    "invalid source": Refusal.SOURCE,
    "ip address is not allowed": Refusal.ADDRESS,
    "no function specified": Refusal.UNKNOWN_FUNCTION,
}


def _readable(text: str, secrets: Collection[str]) -> str:
    """One short line for a log: no control characters, no secret."""
    plain = "".join(c if c.isprintable() else " " for c in redacted(text, secrets))
    return redacted(" ".join(plain.split())[:_LONGEST_REASON], secrets)
