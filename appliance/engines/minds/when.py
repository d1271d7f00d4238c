"""A spoken time to call back, as a value of a question of the kind `when` (the grammar: `calls.callbacks`). Pure.

The wording is read here and not by a library of dates, because a caller's words come without digits, and because the value
must stay free of zone and clock and keep what was not said. parsedatetime 2.6, which reads written dates well, makes
"Monday at ten" Monday at the present hour, "the day after tomorrow" tomorrow, "half an hour" an hour, "the fifth of
December" the first, "I may be home" the first of May, asks the machine's clock for "this evening", and answers with an
instant in which a guessed half of the day looks like a said one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from appliance.engines.minds.numbers import ORDINALS, TEENS, TENS, UNITS
from appliance.engines.minds.words import PADDING

MONTHS = {
    m: i + 1
    for i, m in enumerate("january february march april may june july august september october november december".split())
}
_WEEKDAYS = {d: d[:3] for d in "monday tuesday wednesday thursday friday saturday sunday".split()}
_BELOW_60 = (
    {w: n for w, n in (UNITS | TEENS).items() if n}
    | {w: n for w, n in TENS.items() if n < 60}
    | {f"{ten} {unit}": n + k for ten, n in TENS.items() if n < 60 for unit, k in UNITS.items() if k}
)
_HOURS = {w: n for w, n in _BELOW_60.items() if n <= 12} | {str(n): n for n in range(24)}
_MINUTES = (
    {w: n for w, n in _BELOW_60.items() if n >= 10}
    | {f"{oh} {w}": n for oh in ("oh", "o", "zero") for w, n in UNITS.items() if n}
    | {f"{n:02d}": n for n in range(60)}
)
_AMOUNTS = _BELOW_60 | {str(n): n for n in range(1, 100)} | {"a": 1, "a couple of": 2, "a couple": 2, "a few": 3, "several": 3}
_DAYS_OF_MONTH = (
    ORDINALS
    | {w: n for w, n in _BELOW_60.items() if n <= 31}
    | {f"{ten} {w}": n + k for ten, n in (("twenty", 20), ("thirty", 30)) for w, k in ORDINALS.items() if k < 10 and n + k < 32}
    | {f"{n}{suffix}": n for n in range(1, 32) for suffix in ("", " st", " nd", " rd", " th")}
)
_UNIT_DAYS = {"day": 1, "week": 7, "month": 30}
AFTER_MIN = 15  # "after five"
BEFORE_MIN = 30  # "before ten"
_A_FEW_MIN = 15
MAX_WORDS = 80  # more than is said in the longest turn
_FEW = ("a few", "several")
# With minutes behind it a number over twelve is a year's more often than an hour's.
_UNSURE_HOURS = frozenset(str(n) for n in range(13, 24))


def _one_of(words: Iterable[str]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


_HOUR, _MINUTE = _one_of(_HOURS), _one_of(_MINUTES)
_HALF = "(?P<half>[ap] ?m)"

# Tried in this order at every word: what is longer and more certain comes first.
_PATTERNS = [
    (kind, re.compile(f"(?:{pattern})(?= |$)"))
    for kind, pattern in (
        (
            "ahead",
            r"(?P<lead>(?:in|within|after|for|give me)(?: about| around| maybe| like| another)* )?(?:"
            rf"(?P<part>(?:a )?half(?: a)?|(?:a )?quarter of a|three quarters of a) hour|(?P<amount>{_one_of(_AMOUNTS)})"
            r"(?P<before> and a half)?"
            rf"(?: (?:or|to) (?:{_one_of(_AMOUNTS)}))?(?: more)? "
            r"(?P<unit>minute|hour|day|week|month)s?(?P<behind> and a half)?)"
            r"(?P<tail> from now| later)?(?! (?:ago|past|after|to|till?|before|of|from)\b)",
        ),
        ("unclear", r"(?:a|one|two|three) weeks? (?:from|after|on)"),
        ("noon", r"(?:(?:at|around|about) )?(?:twelve |12 )?(?P<noon>noon|midday|mid day|midnight)"),
        (
            "date",
            rf"(?:on )?(?:(?P<month>{_one_of(MONTHS)}) (?:the )?(?P<day>{_one_of(_DAYS_OF_MONTH)})|"
            rf"(?:the )?(?P<day2>{_one_of(_DAYS_OF_MONTH)})(?: of)? (?P<month2>{_one_of(MONTHS)}))",
        ),
        (
            "sum",
            r"(?P<lead>(?:at|around|about) )?(?:(?:a )?(?P<quarter>quarter|half)|"
            rf"(?P<minute>{_one_of(_BELOW_60 | _MINUTES)})(?P<unit> minutes?)?) (?P<how>past|after|to|till?|before|of) "
            rf"(?P<hour>{_HOUR})(?: o ?clock)?(?: {_HALF})?",
        ),
        (
            "clock",
            r"(?P<lead>(?:(?:at|around|about|by|before|after|past|from|between|until|till|say) )+)?"
            rf"(?P<hour>{_HOUR})(?: (?P<minute>{_MINUTE}))?(?P<oclock> o ?clock)?"
            rf"(?: (?:to|and|or|till|until) (?P<end>{_HOUR})(?: (?:{_MINUTE}))?(?: o ?clock)?)?(?: {_HALF})?",
        ),
        (
            "of_month",
            rf"(?:on the (?P<day>{_one_of(_DAYS_OF_MONTH)})|the (?P<day2>{_one_of(_DAYS_OF_MONTH)})"
            r"(?=$| (?:at|in|of|after|around|before|please)))(?: of (?:this|the) month)?(?! (?:time|one|thing|floor|question))",
        ),
        ("day", rf"(?:the )?(?:on |by |until )?(?:(?P<next>next) |this |coming |a )?(?P<name>{_one_of(_WEEKDAYS)})s?"),
        (
            "span",
            r"(?:the )?day after tomorrow|(?:later |for )?today|tomorrow|"
            r"(?:(?:the |at the )?(?:end|beginning|start|middle|early|late) (?:of |in )?(?:the |this |next )?|next )week|"
            r"next month|(?:on )?(?:the |this |next |over the )?weekend|"
            r"(?:on )?(?:a )?(?:next )?(?:week|work|working|business) ?days?|"
            r"during the week",
        ),
        ("any", r"any ?time|any day|when ?ever|(?:it |that )?does not matter"),
        (
            "part",
            r"(?P<this>this )?(?:in the |at |over |during |on )?(?:"
            r"(?P<first_thing>first thing(?: in the morning)?|early(?: in the)? mornings?)|"
            r"(?P<late_morning>later? (?:in the )?mornings?)|(?P<before_lunch>before (?:lunch|noon))|"
            r"(?P<after_lunch>after (?:my )?lunch(?: ?time)?)|(?P<lunch>(?:my )?lunch(?: ?time| break| hour)?)|"
            r"(?P<early_afternoon>early(?: in the)? after ?noons?)|"
            r"(?P<late_afternoon>later? (?:in the )?after ?noons?|(?:the )?end of (?:the|my) day)|"
            r"(?P<after_work>after (?:my )?(?:work|school|hours)|early evenings?)|"
            r"(?P<after_dinner>after (?:my )?(?:dinner|supper)|late evenings?)|"
            r"(?P<morning>mornings?)|(?P<afternoon>after ?noons?)|(?P<evening>evenings?)|(?P<tonight>tonight)|"
            r"(?P<night>nights?))",
        ),
    )
]  # fmt: skip

_IN_THE_MORNING = frozenset(("first_thing", "morning", "late_morning", "before_lunch"))
_CORRECTIONS = frozenset(("no", "sorry", "wait", "actually", "rather", "mean"))
_DENIED_BEFORE = re.compile(r"(?:(?<!why )\b(?:not|never|except)(?: [a-z]+)?|any ?(?:time|day) but(?: not)?) $")
_AFTER_NOT = re.compile(r"\bnot(?: [a-z]+)? $")
_BOUND = re.compile(r"(?:until|till|before)\b")
_DENIED_AFTER = re.compile(r"(?: (?:i|we|it|that))? (?:is|am|are|was|do|does|will|would|can) not\b")
# What stands around a bare number that is an hour all the same.
_AROUND = PADDING | frozenset("maybe perhaps say make it is on let us yes yeah possibly probably".split())
# Reasons and goodbyes that a caller puts around a time: with the time they are one answer.
_OF_THE_ANSWER = frozenset(
    "call me back again later ring phone try reach you can could would please maybe this is not a good bad better best "
    "time now right the moment another some sometime i am have do busy driving working in at work meeting dinner will be home "
    "free to go got bye goodbye thanks thank okay".split()
)


class _Piece(msgspec.Struct, frozen=True):
    """One thing read and its span in characters. `bare`: a number that may be anything; `today`: "this evening"."""

    kind: str
    value: str
    start: int
    end: int
    bare: bool = False
    today: bool = False


def when(heard: Sequence[str]) -> tuple[str, frozenset[int]] | None:
    """The time said in `heard` (`words.tokens`), and the positions of the words that belong to it; None where none was said.

    After a correction ("no, wait") what follows counts, and what it leaves open stays as it was.
    """
    heard = heard[:MAX_WORDS]
    text = " ".join(heard)
    pieces = [p for p in _pieces(text) if not _denied(text, p)]
    pieces = [p for p in pieces if not p.bare or _is_a_time(text, p, pieces)]
    if not pieces or any(p.kind == "unclear" for p in pieces):
        return None
    starts = [sum(len(word) + 1 for word in heard[:n]) for n in range(len(heard))]
    read = {n for n, at in enumerate(starts) if any(p.start <= at < p.end for p in pieces)}
    return _together(_corrected(text, _of_next_week(pieces))), frozenset(
        read | {n for n, word in enumerate(heard) if word in _OF_THE_ANSWER}
    )


def _pieces(text: str) -> Iterator[_Piece]:
    at = 0
    while at < len(text):
        for kind, known in _PATTERNS:
            match = known.match(text, at)
            piece = _piece(kind, match) if match else None
            if piece:
                yield piece
                at = piece.end
                break
        at = text.find(" ", at) + 1 or len(text)


def _piece(kind: str, match: re.Match[str]) -> _Piece | None:
    """None where the pattern fits and it is no time all the same."""
    found = {name: said.strip() for name, said in match.groupdict().items() if said}
    span = (match.start(), match.end())
    match kind:
        case "ahead":
            return _ahead(found, span)
        case "noon":
            return _Piece("clock", "00:00" if found["noon"] == "midnight" else "12:00", *span)
        case "sum":
            return _sum(found, span)
        case "clock":
            return _clock(found, span, after_not=bool(_AFTER_NOT.search(match.string[: match.start()])))
        case "date":
            day, month = found.get("day") or found["day2"], found.get("month") or found["month2"]
            return _Piece("date", f"{MONTHS[month or '']:02d}-{_DAYS_OF_MONTH[day]:02d}", *span)
        case "of_month":
            return _Piece("date", f"day-{_DAYS_OF_MONTH[found.get('day') or found['day2']]:02d}", *span)
        case "day":
            return _Piece("day", f"{'next-' if 'next' in found else ''}{_WEEKDAYS[found['name']]}", *span)
        case "span":
            return _Piece("day", _span(match[0]), *span)
        case "part":
            greeting = match.string[: match.start()].endswith("good ")
            name = next(name for name in found if name != "this")
            part = "night" if name == "tonight" else name
            return None if greeting else _Piece("part", part, *span, today="this" in found or name == "tonight")
        case _:
            return _Piece(kind, kind, *span)


def _ahead(found: Mapping[str, str], span: tuple[int, int]) -> _Piece | None:
    """So much from now. "Two minutes" may be how long something takes, and "a day" is one of many."""
    bare = not {"lead", "tail"} & found.keys()
    if "part" in found:
        part = found["part"]
        return _Piece("ahead", f"+{45 if part.startswith('three') else 15 if 'quarter' in part else 30}m", *span, bare=bare)
    said, unit = found["amount"], found["unit"]
    amount = _AMOUNTS[said]
    if unit in _UNIT_DAYS:
        return None if bare else _Piece("day", f"+{amount * _UNIT_DAYS[unit]}d", *span)
    if unit == "minute":
        if bare and said == "a":
            return None
        return _Piece("ahead", f"+{_A_FEW_MIN if said in _FEW else amount}m", *span, bare=bare)
    half = {"before", "behind"} & found.keys()
    return _Piece("ahead", f"+{amount * 60 + 30}m" if half else f"+{amount}h", *span, bare=bare)


def _sum(found: Mapping[str, str], span: tuple[int, int]) -> _Piece | None:
    """ "Half past four", "ten minutes to nine". "Ten to twelve" is from ten on, unless it is "at"."""
    minutes = {"quarter": 15, "half": 30}.get(found.get("quarter", ""))
    to = found["how"] not in ("past", "after")
    if minutes is None:
        minutes = _BELOW_60.get(found["minute"], _MINUTES.get(found["minute"], 0))
        if to and minutes <= 12 and not {"unit", "lead"} & found.keys():
            return None
    at = _HOURS[found["hour"]] * 60 + (-minutes if to else minutes)
    return _Piece("clock", _clock_text(at, _HOURS[found["hour"]], found.get("half", "")), *span)


def _clock(found: Mapping[str, str], span: tuple[int, int], *, after_not: bool) -> _Piece | None:
    hour, minute = _HOURS[found["hour"]], _MINUTES.get(found.get("minute", ""), 0)
    lead = found.get("lead", "").split()
    half = found.get("half", "")
    if "end" in found and hour % 12 > _HOURS[found["end"]] % 12:
        half = ""  # "from ten to two p m"
    at = hour * 60 + minute
    if {"after", "past", "until", "till"} & set(lead):
        at += AFTER_MIN
    elif {"by", "before"} & set(lead) and not after_not:
        at -= BEFORE_MIN
    sure = bool(lead) or "oclock" in found or "half" in found or ("minute" in found and found["hour"] not in _UNSURE_HOURS)
    return _Piece("clock", _clock_text(at, hour, half), *span, bare=not sure)


def _clock_text(at_min: int, hour: int, half: str) -> str:
    """`hour` is the one that was said: over 12, or with its half of the day, it leaves nothing open."""
    if half or not 1 <= hour <= 12:
        day_min = at_min + (720 if half.startswith("p") else 0) - (720 if half and hour == 12 else 0)
        return f"{day_min // 60 % 24:02d}:{day_min % 60:02d}"
    return f"{(at_min // 60 - 1) % 12 + 1:02d}:{at_min % 60:02d}~"


def _span(said: str) -> str:
    words = said.split()
    following = "next-" if "next" in words else ""
    if "tomorrow" in words:
        return "+2d" if "after" in words else "+1d"
    if "today" in words:
        return "+0d"
    if "month" in words:
        return "next-month"
    if "weekend" in words:
        return f"{following}weekend"
    if words[-1] == "week" and "during" not in words:
        if {"end", "late"} & set(words):
            return f"{following}fri"
        return f"{following}wed" if "middle" in words else "next-week" if following else "any"
    return "weekday"


def _denied(text: str, piece: _Piece) -> bool:
    if piece.kind == "clock" and _BOUND.match(text, piece.start):
        return False  # "not before ten" is a time
    return bool(_DENIED_BEFORE.search(text[: piece.start]) or _DENIED_AFTER.match(text, piece.end))


def _is_a_time(text: str, bare: _Piece, pieces: Sequence[_Piece]) -> bool:
    """Next to a day, a part of one or an hour, or all that was said."""
    others = [p for p in pieces if p.kind in ("day", "date", "part") or (p.kind == "clock" and not p.bare)]
    between = [text[p.end : bare.start] if p.end <= bare.start else text[bare.end : p.start] for p in others]
    if any((_AROUND | _CORRECTIONS).issuperset(gap.split()) for gap in between):
        return True
    rest = f"{text[: bare.start]} {text[bare.end :]}".split()
    return (_AROUND if bare.kind == "clock" else _AROUND | _OF_THE_ANSWER).issuperset(rest)


def _of_next_week(pieces: Sequence[_Piece]) -> list[_Piece]:
    """ "Next week" and "Tuesday", wherever in the sentence, are one day."""
    named = [p for p in pieces if p.value in _WEEKDAYS.values()]
    if not named or all(p.value != "next-week" for p in pieces):
        return list(pieces)
    return [msgspec.structs.replace(p, value=f"next-{p.value}") if p in named else p for p in pieces if p.value != "next-week"]


def _corrected(text: str, pieces: Sequence[_Piece]) -> dict[str, _Piece]:
    """Of each kind the first one said, but after a correction that one."""
    out: dict[str, _Piece] = {}
    since = 0
    for piece in pieces:
        if not _CORRECTIONS.isdisjoint(text[since : piece.start].split()):
            if piece.kind in ("day", "date", "ahead"):
                out = {kind: p for kind, p in out.items() if kind not in ("day", "date", "ahead")}
            out.pop(piece.kind, None)
            out.pop("ahead", None)
        since = piece.end
        out.setdefault(piece.kind, piece)
    return out


def _together(said: Mapping[str, _Piece]) -> str:
    ahead, clock, part = said.get("ahead"), said.get("clock"), said.get("part")
    if ahead:
        return ahead.value
    day = said.get("date") or said.get("day")
    day_text = day.value if day else "+0d" if part and part.today else ""
    if not clock:
        return " ".join(x for x in (day_text, part.value if part else "") if x) or "any"
    return f"{day_text} {_in_part(clock.value, part.value if part else '')}".strip()


def _in_part(clock: str, part: str) -> str:
    """The part of the day says which half of it the hour is in."""
    hour, minute = int(clock[:2]), clock[3:5]
    if not clock.endswith("~") or not part:
        return clock
    if part in _IN_THE_MORNING:
        return f"{hour:02d}:{minute}" if 6 <= hour < 12 else clock
    return f"{hour % 12 + 12:02d}:{minute}"
