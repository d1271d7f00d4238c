"""What a caller may say, as weighted sentences: the material of the recognizer's bias. Pure."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator

from appliance.calls.campaign import Builtin, Campaign, Question, SlotKind

Sentence = tuple[tuple[str, ...], float]

EVERYWHERE = ""  # no question has this id

_YES = "yes|yeah|yep|sure|yes i do|yes it is|yes we do|i do|we do|correct|that's right|of course|absolutely|yes i am|okay|right"
_NO = "no|nope|nah|no i don't|i don't|no we don't|we don't|no it's not|no it isn't|it's not|not really|no i'm not|no not really"
_LEADS = ("", "", "well", "yes", "no", "okay", "please", "i think", "um", "uh")
_TAILS = ("", "", "", "", "please", "thanks", "thank you", "right now", "i think", "i believe")
_MONTHS = "january february march april may june july august september october november december"
_WEEKDAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_DIGITS = "zero one two three four five six seven eight nine".split()
_UNITS = _DIGITS[1:]
_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
# People contract; a campaign's author may or may not. Both ways are expected.
_CONTRACT = [
    (re.compile(rf"\b{full}\b"), short)
    for full, short in (
        ("i am", "i'm"), ("i have got", "i've got"), ("you have got", "you've got"), ("it is", "it's"), ("that is", "that's"),
        ("what is", "what's"), ("who is", "who's"), ("where is", "where's"), ("there is", "there's"), ("we are", "we're"),
        ("you are", "you're"), ("they are", "they're"), ("do not", "don't"), ("does not", "doesn't"), ("did not", "didn't"),
        ("can not", "can't"), ("is not", "isn't"), ("are not", "aren't"), ("will not", "won't"), ("would not", "wouldn't"),
        ("have not", "haven't"), ("i will", "i'll"), ("i would", "i'd"), ("could not", "couldn't"), ("i have", "i've"),
    )
]  # fmt: skip
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")


# The asked question's share; what can be said at any time keeps nearly all the rest. Strings of digits need the most:
# every word of the string is a new chance to be taken for talk.
_FOCUS = {SlotKind.DIGITS: 0.9, SlotKind.NUMBER: 0.7}
_FOCUS_OTHERWISE = 0.5
# How much of the single words is left to talk that no sentence foresees; measured on digits and on talk that is neither.
_FILLER_SHARE = {SlotKind.DIGITS: 0.002, SlotKind.NUMBER: 0.05}
_FILLER_SHARE_OTHERWISE = 0.15
_STRAY = 0.05  # answers to other questions: callers answer early and late


def shares(campaign: Campaign, question: str | None) -> dict[str, float]:
    """How much of what is said after `question` belongs to each group of `groups`. Adds up to 1.

    None, or an unknown question: nothing in particular is expected.
    """
    ids = [q.id for q in campaign.questions]
    if question is None or question not in ids:
        return {EVERYWHERE: 0.7} | {i: 0.3 / len(ids) for i in ids}
    focus = _FOCUS.get(campaign.question(question).slot, _FOCUS_OTHERWISE)
    others = [i for i in ids if i != question]
    return {EVERYWHERE: 1 - focus - _STRAY, question: focus} | {i: _STRAY / len(others) for i in others}


def filler_share(campaign: Campaign, question: str | None) -> float:
    """The share of unforeseen words after `question`, 0 to 1."""
    slots = {q.id: q.slot for q in campaign.questions}
    slot = slots.get(question) if question is not None else None
    return _FILLER_SHARE.get(slot, _FILLER_SHARE_OTHERWISE) if slot is not None else _FILLER_SHARE_OTHERWISE


def groups(campaign: Campaign) -> dict[str, list[Sentence]]:
    """EVERYWHERE: what every call understands; and each question's answers. Every group's weights add up to 1000."""
    found = {EVERYWHERE: list(_everywhere(campaign))} | {q.id: list(_answers(q)) for q in campaign.questions}
    return {name: _scaled(group) for name, group in found.items()}


def _scaled(group: list[Sentence]) -> list[Sentence]:
    total = sum(weight for _, weight in group)
    return [(said, weight * 1000 / total) for said, weight in group]


def _everywhere(campaign: Campaign) -> Iterator[Sentence]:
    for builtin in Builtin:
        yield from _spread(campaign.intents.get(builtin, []), 8.0)
    for replies in (campaign.objections, campaign.answers):
        yield from _spread([p for reply in replies for p in reply.phrases], 10.0)
    yield from _spread(f"{_YES}|{_NO}".split("|"), 10.0)


def _answers(question: Question) -> Iterator[Sentence]:
    """Answers to one question; every kind's weights add up to about 100."""
    own = [p for wordings in question.phrases.values() for p in wordings]
    match question.slot:
        case SlotKind.YES_NO:
            yield from _spread(_YES.split("|"), 35.0)
            yield from _spread(_NO.split("|"), 35.0)
            yield from _spread(own, 30.0)
        case SlotKind.CHOICE:
            months = frozenset(_MONTHS.split()) <= frozenset(own)
            yield from _spread(own, 70.0 if months else 100.0)
            if months:
                yield from _spread(_dates(), 30.0, leads=("", "it's", "on", "around", "sometime in", "at the end of"))
        case SlotKind.NUMBER:
            yield from _spread(
                _years(), 85.0, leads=("", "", "", "it was built in", "about", "around", "in", "i think", "it's")
            )
            yield from _spread(own, 15.0)
        case SlotKind.DIGITS:
            yield from _digit_sentences(question.digits or 10, 90.0)
            yield from _spread(own, 10.0)
        case SlotKind.DATE:
            yield from _spread(_dates(), 95.0)
            yield from _spread(own, 5.0)
        case SlotKind.WHEN:
            yield from _spread(_times_to_call(), 90.0, leads=("", "", "call me", "maybe", "you can call me", "how about"))
            yield from _spread(own, 10.0)
        case SlotKind.NAME | SlotKind.OPEN:
            yield from _spread([*own, "my name is", "this is", "it is"], 100.0)


def _spread(wordings: Iterable[str], total: float, leads: tuple[str, ...] = _LEADS) -> Iterator[Sentence]:
    """`total` over all wordings, each plain and contracted, with what people put before and after."""
    kept = list(dict.fromkeys(wordings))
    for n, wording in enumerate(kept):
        spoken = {wording, _contracted(wording)}
        for text in sorted(spoken):
            each = total / len(kept) / len(spoken)
            yield words(text), each * 0.6
            yield words(f"{leads[n % len(leads)]} {text}"), each * 0.2
            yield words(f"{text} {_TAILS[n % len(_TAILS)]}"), each * 0.2


def _contracted(text: str) -> str:
    for full, short in _CONTRACT:
        text = full.sub(short, text)
    return text


def words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text.lower()))


def _below_hundred() -> list[str]:
    return [*_TEENS, *(t for ten in _TENS for t in (ten, *(f"{ten} {u}" for u in _UNITS)))]


def _years() -> Iterator[str]:
    for rest in _below_hundred():
        yield f"nineteen {rest}"
    for unit in _UNITS:
        yield f"nineteen oh {unit}"
        yield f"two thousand {unit}"
        yield f"two thousand and {unit}"
        yield f"eighteen ninety {unit}"
    for rest in (*_TEENS, "twenty", *(f"twenty {u}" for u in _UNITS)):
        yield f"twenty {rest}"
        yield f"two thousand {rest}"
    yield "two thousand"
    yield "nineteen hundred"


def _dates() -> Iterator[str]:
    ordinals = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth".split()
    ordinals += "fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth thirtieth".split()
    for month in _MONTHS.split():
        yield month
        for day in ordinals:
            yield f"{month} {day}"
            yield f"the {day} of {month}"
        yield f"{month} twenty first"
    yield from (f"{lead}{day}" for lead in ("", "next ", "on ") for day in _WEEKDAYS)
    yield from ("today", "tomorrow", "next week", "next month")


def _times_to_call() -> Iterator[str]:
    """When people say that they can be called: days, parts of days and hours, alone and together; a fixed sample."""
    days = [
        "today",
        "tomorrow",
        "the day after tomorrow",
        "next week",
        "on the weekend",
        *(f"{lead}{day}" for lead in ("", "on ", "next ") for day in _WEEKDAYS),
    ]
    parts = (
        "in the morning|in the afternoon|in the evening|after lunch|before lunch|at noon|around noon|after work|after dinner|"
        "at night|late in the afternoon|early in the morning|first thing in the morning|at lunch time|any time"
    ).split("|")
    hours = [*_UNITS, *_TEENS[:3]]
    clocks = [
        *hours,
        *(f"{hour} {rest}" for hour in hours for rest in ("thirty", "fifteen", "forty five", "o'clock", "a m", "p m")),
        *(f"{lead} {hour}" for hour in hours for lead in ("half past", "quarter past", "quarter to")),
    ]
    at = [f"{lead} {clock}" for n, clock in enumerate(clocks) for lead in ("at", ("around", "after", "before", "about")[n % 4])]
    yield from days
    yield from (f"call me {day}" for day in days)
    yield from parts
    yield from ("this morning", "this afternoon", "this evening", "tonight", "later today", "any time", "whenever", "any day")
    yield from at
    draw = random.Random(0)
    for day in days:
        yield from (f"{day} {part}" for part in parts)
        for clock in draw.sample(at, 24):
            yield f"{day} {clock}"
            yield f"{clock} {day.removeprefix('on ')}"
    for clock in draw.sample(at, 40):
        yield f"{clock} {draw.choice(parts[:3])}"
    for unit, amounts in (
        ("minutes", ("five", "ten", "fifteen", "twenty", "thirty", "forty five")),
        ("hours", ("two", "three", "four", "five", "a couple of")),
        ("days", ("two", "three", "a few")),
        ("weeks", ("two", "three")),
    ):
        yield from (f"in {amount} {unit}" for amount in amounts)
    yield from (
        "in half an hour",
        "in an hour",
        "in an hour or two",
        "in about an hour",
        "in an hour and a half",
        "in a few minutes",
        "in a week",
    )


def _digit_sentences(count: int, total: float) -> Iterator[Sentence]:
    """Strings of `count` digits in which every pair is about as likely as any other; a fixed sample, so loads repeat."""
    draw = random.Random(count)
    samples = 400
    for n in range(samples):
        said = [draw.choice([*_DIGITS, "oh"]) for _ in range(count if n % 4 else max(1, count // 3))]
        if n % 10 == 0:
            at = draw.randrange(len(said))
            said[at : at + 1] = [draw.choice(("double", "triple")), said[at]]
        if n % 16 == 1:
            said = ["it's", *said]
        if n % 16 == 2:
            said = ["sure", "it's", *said]
        if n % 16 == 3:
            said[len(said) // 2 : len(said) // 2] = [draw.choice(_TENS)]
        yield tuple(said), total / samples
