"""Spoken numbers and digit strings. Pure."""

from __future__ import annotations

from collections.abc import Sequence

UNITS = {w: i for i, w in enumerate("zero one two three four five six seven eight nine".split())}
TEENS = {
    w: i + 10 for i, w in enumerate("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split())
}
TENS = {w: (i + 2) * 10 for i, w in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split())}
DECADES = {
    w: (i + 2) * 10 for i, w in enumerate("twenties thirties forties fifties sixties seventies eighties nineties".split())
}
ORDINALS = {
    w: i + 1
    for i, w in enumerate(
        "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth "
        "sixteenth seventeenth eighteenth nineteenth twentieth".split()
    )
} | {"thirtieth": 30}
REPEATS = {"double": 2, "triple": 3, "treble": 3}
# What a recognizer writes for a digit; only believed among digits.
_SOUND_ALIKES = {"oh": 0, "o": 0, "owe": 0, "won": 1, "to": 2, "too": 2, "for": 4, "fore": 4, "ate": 8, "niner": 9}
_CORRECTIONS = frozenset(("no", "sorry", "wait", "actually", "mean", "correction"))


def digit_string(words: Sequence[str], count: int | None = None) -> str:
    """All digits said, in order. "double five" is 55, "twenty one" 21, "eight hundred" 800, "oh" 0.

    After a correction ("no, wait") only what follows counts, if it is a complete answer of `count` digits by itself.
    """
    for i in reversed([i for i, w in enumerate(words) if w in _CORRECTIONS]):
        after = _digits(words[i + 1 :])
        if count is not None and len(after) == count:
            return after
    return _digits(words)


def _digits(words: Sequence[str]) -> str:
    out: list[str] = []
    i = 0
    while i < len(words):
        text, used = _digit_group(words, i)
        if used:
            out.append(text)
        i += used or 1
    return "".join(out)


def _digit_group(words: Sequence[str], i: int) -> tuple[str, int]:
    word = words[i]
    following = words[i + 1] if i + 1 < len(words) else ""
    if word.isdigit():
        return word, 1
    if word in REPEATS:
        digit = _single(words, i + 1)
        return (digit * REPEATS[word], 2) if digit else ("", 0)
    if word in TENS:
        unit = UNITS.get(following, 0)
        return (str(TENS[word] + unit), 2) if unit else (str(TENS[word]), 1)
    if word in TEENS:
        return str(TEENS[word]), 1
    digit = _single(words, i)
    if digit and following in ("hundred", "thousand"):
        return digit + ("00" if following == "hundred" else "000"), 2
    return digit, 1 if digit else 0


def _single(words: Sequence[str], i: int) -> str:
    if i >= len(words):
        return ""
    word = words[i]
    if word in UNITS:
        return str(UNITS[word])
    if word in _SOUND_ALIKES and any(_is_digit(words, k) for k in (i - 1, i + 1)):
        return str(_SOUND_ALIKES[word])
    return ""


def _is_digit(words: Sequence[str], i: int) -> bool:
    if not 0 <= i < len(words):
        return False
    word = words[i]
    return word in UNITS or word in TEENS or word in TENS or word in REPEATS or word in ("oh", "o") or word.isdigit()


def spoken_number(words: Sequence[str], least: int | None = None, most: int | None = None) -> int | None:
    """The number said; of several the first, or the one after a correction. Years as people say them: "nineteen oh five".

    Numbers below `least` or above `most` are talk about something else ("I have three kids"). None when no number was
    said or when it is an age ("thirty years old"): that is not the number asked for.
    """
    found: list[tuple[int, int]] = []
    i = 0
    while i < len(words):
        value, used = _number_at(words, i)
        if used and value is not None and _within(value, least, most) and "years" not in words[i + used : i + used + 2]:
            found.append((i, value))
        i += used or 1
    if not found:
        return None
    corrected = [at for at, w in enumerate(words) if w in _CORRECTIONS and at > found[0][0]]
    later = [value for at, value in found if corrected and at > corrected[-1]]
    return later[0] if later else found[0][1]


def _within(value: int, least: int | None, most: int | None) -> bool:
    return (least is None or value >= least) and (most is None or value <= most)


def _number_at(words: Sequence[str], i: int) -> tuple[int | None, int]:
    """The longest number starting at `i`, and how many words it takes."""
    if words[i].isdigit():
        return int(words[i]), 1
    first, used = _below_hundred(words, i)
    if used == 0:
        return None, 0
    rest = words[i + used] if i + used < len(words) else ""
    if words[i + used - 1] in DECADES:
        return (first if first >= 100 else 1900 + first), used
    if rest in ("hundred", "hundreds"):
        more, extra = _tail(words, i + used + 1, 100)
        return first * 100 + more, used + 1 + extra
    if rest in ("thousand", "thousands"):
        hundreds, extra = _number_tail(words, i + used + 1)
        return first * 1000 + hundreds, used + 1 + extra
    if 10 <= first <= 20:  # a century, as in "nineteen eighty seven"
        if rest in ("oh", "o", "zero"):
            unit = UNITS.get(words[i + used + 1], 0) if i + used + 1 < len(words) else 0
            if unit:
                return first * 100 + unit, used + 2
        second, extra = _below_hundred(words, i + used)
        if extra and second >= 10:
            return first * 100 + second, used + extra
    return first, used


def _below_hundred(words: Sequence[str], i: int) -> tuple[int, int]:
    if i >= len(words):
        return 0, 0
    word = words[i]
    if word in TENS:
        unit = UNITS.get(words[i + 1], 0) if i + 1 < len(words) else 0
        return (TENS[word] + unit, 2) if unit else (TENS[word], 1)
    for table in (TEENS, UNITS, DECADES):
        if word in table:
            return table[word], 1
    return 0, 0


def _tail(words: Sequence[str], i: int, below: int) -> tuple[int, int]:
    skip = 1 if i < len(words) and words[i] == "and" else 0
    value, used = _below_hundred(words, i + skip)
    return (value, used + skip) if used and value < below else (0, 0)


def _number_tail(words: Sequence[str], i: int) -> tuple[int, int]:
    value, used = _tail(words, i, 100)
    if used and value < 10 and i + used < len(words) and words[i + used] == "hundred":
        more, extra = _tail(words, i + used + 1, 100)
        return value * 100 + more, used + 1 + extra
    return value, used
