"""What a caller may say, as weighted sentences: the material of the recognizer's bias. Pure."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator

from appliance.calls.campaign import Builtin, Campaign, Question, SlotKind

Sentence = tuple[tuple[str, ...], float]

_YES = "yes|yeah|yep|sure|yes i do|yes it is|yes we do|i do|we do|correct|that's right|of course|absolutely|yes i am|okay|right|uh yes"
_NO = "no|nope|nah|no i don't|i don't|no we don't|we don't|no it's not|no it isn't|it's not|not really|no i'm not|no not really|no i do not"
_LEADS = ("", "", "well", "yes", "no", "okay", "please", "i think", "um", "uh")
_TAILS = ("", "", "", "", "please", "thanks", "thank you", "right now", "i think", "i believe")
_MONTHS = "january february march april may june july august september october november december"
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


def sentences(campaign: Campaign, question: str | None, focus: float = 0.5) -> list[Sentence]:
    """What may be said after `question`: its answers with `focus` of the weight, what every call understands with the rest.

    The weights add up to 1000 times their share. None, or an unknown question: nothing in particular is expected.
    """
    asked = next((q for q in campaign.questions if q.id == question), None)
    groups: list[tuple[list[Sentence], float]] = [(list(_everywhere(campaign)), 1.0 - focus if asked else 0.7)]
    others = [s for q in campaign.questions if q is not asked for s in _answers(q)]
    groups.append((others, 0.05 if asked else 0.3))
    if asked:
        groups.append((list(_answers(asked)), focus))
    return [(words, weight * share * 1000 / total) for group, share in groups if (total := sum(w for _, w in group)) for words, weight in group]


def _everywhere(campaign: Campaign) -> Iterator[Sentence]:
    for builtin in Builtin:
        wordings = campaign.intents.get(builtin, [])
        yield from _spread(wordings, 8.0)
    for group, weight in ((campaign.objections, 10.0), (campaign.answers, 10.0)):
        wordings = [p for reply in group for p in reply.phrases]
        yield from _spread(wordings, weight)
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
            yield from _spread(own, 100.0)
        case SlotKind.NUMBER:
            yield from _spread(_years(), 85.0, leads=("", "", "", "it was built in", "about", "around", "in", "i think", "it's"))
            yield from _spread(own, 15.0)
        case SlotKind.DIGITS:
            yield from _digit_sentences(question.digits or 10, 90.0)
            yield from _spread(own, 10.0)
        case SlotKind.DATE:
            yield from _spread(_dates(), 95.0)
            yield from _spread(own, 5.0)
        case SlotKind.NAME | SlotKind.OPEN:
            yield from _spread([*own, "my name is", "this is", "it is"], 100.0)


def _spread(wordings: Iterable[str], total: float, leads: tuple[str, ...] = _LEADS) -> Iterator[Sentence]:
    """`total` over all wordings, each plain and contracted, with what people put before and after."""
    kept = list(dict.fromkeys(wordings))
    for wording in kept:
        spoken = {wording, _contracted(wording)}
        for text in sorted(spoken):
            each = total / len(kept) / len(spoken)
            yield words(text), each * 0.6
            for lead in leads:
                yield words(f"{lead} {text}"), each * 0.2 / len(leads)
            for tail in _TAILS:
                yield words(f"{text} {tail}"), each * 0.2 / len(_TAILS)


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
    yield from (f"{lead}{day}" for lead in ("", "next ", "on ") for day in "monday tuesday wednesday thursday friday saturday sunday".split())
    yield from ("today", "tomorrow", "next week", "next month")


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
