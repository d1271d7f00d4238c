"""What the human who takes over, or calls back, must know: one line for the lead's comments, and the captured fields.

VICIdial drops `"`, `#`, `;` and a backslash from a text, makes a space of `+` and `!N` of a line's end, cuts at 255, and
takes `--BLANK--` for an order; a `|` breaks its own rows apart. So none of them is ever in what is made here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping

from appliance.calls.campaign import Campaign, SlotKind

MOST_BYTES = 255  # of UTF-8: whether the dialer cuts at characters or at bytes, nothing is lost

# How each outcome of the product is said; one of the campaign's own by its id.
_SAID = {
    "completed": "qualified",
    "dnc": "wants no more calls",
    "wants_human": "wants to talk to a person",
    "callback": "wants a call back",
    "no_input": "gave no answer",
    "technical": "ended by a technical problem",
    "busy": "came when all lines were busy, nobody has talked to them",
    "cut_short": "ended before it was decided",
}
_FREE = frozenset((SlotKind.OPEN, SlotKind.NAME))
_TAKEN_OUT = str.maketrans(dict.fromkeys('"#;\\|+', " "))


def summary(campaign: Campaign, outcome: str, slots: Mapping[str, str], where: str, lead_name: str = "") -> str:
    """At most `MOST_BYTES` bytes: "AI: qualified. owner yes, year built 1987. At: last question."

    `slots` are the captured values by question id, `where` is the question that was reached ("" where none). Only what is
    given is said, and nothing is cut: what does not fit is left out whole, free text first, then the name, the place in the
    script and the last of the other values. A time to call back is no part of it: the dialer's own callback has it.
    """
    head = f"AI: {_SAID.get(outcome, _words(outcome))}"
    values = {key: f"{_words(key)} {said}" for key, value in slots.items() if (said := clean(value))}
    kinds = {q.id: q.slot for q in campaign.questions}
    values = {key: said for key, said in values.items() if kinds.get(key) is not SlotKind.WHEN}
    name, place = clean(lead_name), _place(campaign, where)
    kept: set[str] = set()
    for part in (
        *(key for key in values if kinds.get(key) not in _FREE),
        "At:",
        "AI:",
        *(key for key in values if kinds.get(key) in _FREE),
    ):
        if _size(_line(head, kept | {part}, values, name, place)) <= MOST_BYTES:
            kept.add(part)
    return _line(head, kept, values, name, place)


def _line(head: str, kept: set[str], values: Mapping[str, str], name: str, place: str) -> str:
    """`kept` holds question ids, and "AI:" and "At:" for the name and the place: no id has a colon."""
    who = head.replace("AI: ", f"AI: {name}, ", 1) if name and "AI:" in kept else head
    said = ", ".join(value for key, value in values.items() if key in kept)
    at = f"At: {place}" if place and "At:" in kept else ""
    return ". ".join(part for part in (who, said, at) if part) + "."


def _place(campaign: Campaign, where: str) -> str:
    return "last question" if where == campaign.in_line()[-1] else _words(where)


def fields(slots: Mapping[str, str], mapping: Mapping[str, str]) -> dict[str, str]:
    """The captured values by the lead's own fields. `mapping` is question id -> field; what was not captured is not there."""
    return dict(_fields(slots, mapping))


def _fields(slots: Mapping[str, str], mapping: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for question, field in mapping.items():
        value = clean(slots.get(question, ""))
        while _size(value) > MOST_BYTES:
            value = value.rpartition(" ")[0]
        if value:  # an empty one would blank what the lead has
            yield field, value


def clean(text: str) -> str:
    """`text` in one line, without anything that VICIdial loses, misreads or can not store (utf8 of three bytes)."""
    plain = unicodedata.normalize("NFC", text).translate(_TAKEN_OUT)
    kept = "".join(c if c <= "\uffff" and unicodedata.category(c)[0] not in "CZ" else " " for c in plain)
    while "--" in kept:
        kept = kept.replace("--", "-")
    return " ".join(kept.split())


def _words(name: str) -> str:
    return name.replace("_", " ")


def _size(text: str) -> int:
    return len(text.encode())
