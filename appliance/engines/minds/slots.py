"""The value of a question's slot in what was said. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from appliance.calls.campaign import Question, SlotKind
from appliance.engines.minds.matching import Match, Phrase, best_match
from appliance.engines.minds.numbers import ORDINALS, UNITS, digit_string, spoken_number
from appliance.engines.minds.when import MONTHS, when
from appliance.engines.minds.words import PADDING, tokens

YES_WORDS = ("yes", "yeah", "yep", "yup", "yah", "aye", "correct", "absolutely", "definitely", "certainly", "affirmative")
NO_WORDS = ("no", "nope", "nah", "negative", "never")
_YES_PHRASES = (
    "i do", "we do", "i am", "we are", "i have", "we have", "i did", "we did", "it is", "it was", "it does", "they are", "sure",
    "of course", "i believe so", "so", "i do think so", "exactly", "you bet", "that is right", "that is correct", "right",
    "indeed", "true", "that is true", "for sure", "okay", "sure do", "sure is", "you got it", "all right", "alright",
    "i guess so", "i hope so", "i suppose so",
)  # fmt: skip
_NO_PHRASES = (
    "i do not", "we do not", "i am not", "we are not", "i have not", "we have not", "i did not", "we did not", "it is not",
    "it was not", "it does not", "they are not", "not", "not really", "i do not think so", "not at all", "of course not",
    "absolutely not", "not yet", "not any more", "not anymore", "no way", "not me", "i do not believe so", "not so far",
    "i am afraid not", "afraid not",
)  # fmt: skip
# How many other telling words an awaited answer of one word bears: "sometime at the end of June".
_AROUND = {SlotKind.CHOICE: 4, SlotKind.YES_NO: 2}
_GENERIC = {tokens(p): "yes" for p in _YES_PHRASES} | {tokens(p): "no" for p in _NO_PHRASES}
_DAYS = frozenset("monday tuesday wednesday thursday friday saturday sunday today tomorrow tonight".split())
_NAME_LEADS = tuple(
    tokens(lead)
    for lead in (
        "my name is",
        "the name is",
        "this is",
        "it is",
        "i am",
        "you can call me",
        "call me",
        "speaking with",
        "that is",
    )
)
_NOT_NAMES = PADDING | frozenset("yes no yeah not a the is speaking here my name".split())


class Value(msgspec.Struct, frozen=True):
    """A slot's value and the words it was read from, to weigh it against an intent read from the same words."""

    text: str
    at: frozenset[int]


def phrases_of(question: Question) -> list[Phrase]:
    """The wordings that the campaign gives for this question's values."""
    return [Phrase.of(value, wording) for value, wordings in question.phrases.items() for wording in wordings]


def slot_value(question: Question, phrases: Sequence[Phrase], heard: Sequence[str]) -> Value | None:
    """The answer to `question` in `heard`; None when there is none. `phrases` is `phrases_of(question)`."""
    everything = frozenset(range(len(heard)))
    match question.slot:
        case SlotKind.YES_NO:
            return _yes_no(phrases, heard)
        case SlotKind.NUMBER:
            number = spoken_number(heard, question.least, question.most)
            if number is not None:
                return Value(str(number), everything)
        case SlotKind.DIGITS:
            digits = digit_string(heard, question.digits)
            if len(digits) == (question.digits or 0) + 1 and digits.startswith("1"):
                digits = digits[1:]  # the North American trunk prefix
            if len(digits) == question.digits:
                return Value(digits, everything)
        case SlotKind.DATE:
            date = _date(heard)
            if date:
                return Value(date, everything)
        case SlotKind.NAME:
            name = _name(heard)
            if name and not best_match(heard, phrases):
                return Value(name, frozenset(i for i, w in enumerate(heard) if w in name.split()))
        case SlotKind.OPEN:
            if heard and not best_match(heard, phrases):
                return Value(" ".join(heard), frozenset())
        case SlotKind.WHEN:
            time = when(heard)
            if time:
                return Value(*time)
        case SlotKind.CHOICE:
            pass
    return _of_match(best_match(heard, phrases, around=_AROUND.get(question.slot, 0)))


def _of_match(match: Match | None) -> Value | None:
    return Value(match.label, match.at) if match else None


def _yes_no(phrases: Sequence[Phrase], heard: Sequence[str]) -> Value | None:
    """The question's own wordings tell most, then a plain yes or no (the last one said), then "I do", "not really"."""
    particles = [i for i, w in enumerate(heard) if w in YES_WORDS or w in NO_WORDS]
    specific = best_match(heard, phrases, around=_AROUND[SlotKind.YES_NO])
    if specific:
        return Value(specific.label, specific.at | frozenset(particles))
    if particles:
        last = particles[-1]
        return Value("yes" if heard[last] in YES_WORDS else "no", frozenset(particles))
    kept = tuple((i, w) for i, w in enumerate(heard) if w not in PADDING)
    value = _GENERIC.get(tuple(w for _, w in kept)) or _GENERIC.get(tuple(heard))
    return Value(value, frozenset(range(len(heard)))) if value else None


def _date(heard: Sequence[str]) -> str:
    """ "03" for March, "03-21" for March twenty first, else a weekday or "tomorrow" as said."""
    for i, word in enumerate(heard):
        if word in MONTHS:
            day = _day_near(heard, i)
            return f"{MONTHS[word]:02d}-{day:02d}" if day else f"{MONTHS[word]:02d}"
    for i, word in enumerate(heard):
        if word in _DAYS:
            return f"next {word}" if "next" in heard[max(0, i - 1) : i] else word
    text = " ".join(heard)
    return next((span for span in ("next week", "next month", "next year", "this week", "this month") if span in text), "")


def _day_near(heard: Sequence[str], month_at: int) -> int:
    """The day of the month said after ("march third") or before ("the third of march") the month's name."""
    for window in (heard[month_at + 1 : month_at + 4], heard[max(0, month_at - 4) : month_at]):
        words = [w for w in window if w not in ("the", "of", "on")]
        for i, word in enumerate(words):
            if word in ("twenty", "thirty") and i + 1 < len(words):
                unit = ORDINALS.get(words[i + 1], UNITS.get(words[i + 1], 0))
                if 1 <= unit <= 9:
                    return min(31, (20 if word == "twenty" else 30) + unit)
            if word in ORDINALS:
                return ORDINALS[word]
        number = spoken_number(words)
        if number is not None and 1 <= number <= 31:
            return number
    return 0


def _name(heard: Sequence[str]) -> str:
    words = list(heard)
    for lead in _NAME_LEADS:
        for i in range(len(words) - len(lead)):
            if tuple(words[i : i + len(lead)]) == lead:
                words = words[i + len(lead) :]
                break
    words = [w for w in words if w not in _NOT_NAMES]
    return " ".join(words) if 1 <= len(words) <= 4 else ""
