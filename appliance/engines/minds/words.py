"""Words as the matcher compares them: lower case, no punctuation, contractions written out, hesitations dropped.

Pure. A recognizer writes "don't", a campaign's author "do not"; both must be the same words before anything is compared.
"""

from __future__ import annotations

import re
from functools import lru_cache

_CONTRACTIONS = {
    "won't": "will not",
    "can't": "can not",
    "cannot": "can not",
    "shan't": "shall not",
    "ain't": "is not",
    "let's": "let us",
    "gonna": "going to",
    "wanna": "want to",
    "gotta": "got to",
    "gimme": "give me",
    "dunno": "do not know",
    "y'all": "you all",
    "i'm": "i am",
    "it's": "it is",
    "dont": "do not",
    "im": "i am",
    "ok": "okay",
    "an": "a",
    "o.k": "okay",
}
_SUFFIXES = (("n't", " not"), ("'re", " are"), ("'ve", " have"), ("'ll", " will"), ("'d", " would"))
# "what's" is "what is"; after a noun ("the landlord's") the s is dropped by the tokenizer below.
_IS_AFTER = frozenset("that what who where how there here he she when why this".split())
_HESITATIONS = frozenset("uh um er erm ah eh hmm hm mm well like".split())
_NEAR = 0.9
_TOKEN = re.compile(r"[a-z]+(?:'[a-z]+)?|[0-9]+")
# "It may be", and no month.
_PERHAPS = re.compile(r"\bmay(?= (?:be|have|not|need|want)\b)")
_HUMMED = ((re.compile(r"\b(?:uh huh|mm hmm|mhm)\b"), "yes"), (re.compile(r"\bnuh uh\b"), "no"))
# "Why don't you take me off": a request, although it has a "not".
_POLITE = re.compile(r"\b(?:why do|can|could|would|will) not you\b")

NEGATORS = frozenset(("not", "never", "without"))
# Carry little meaning: a phrase is not recognized by them, nor missed for lack of them.
FUNCTION_WORDS = frozenset(
    "a an the i me my you your we us our it is am are be was were to of for in on at by with do does did so and or but if "
    "that this these those there will would can could might shall should have has had just please let as from then than".split()
)
# These may also be missing at a phrase's start.
LEADING_WORDS = FUNCTION_WORDS - {"have", "has", "had"}
# What people put around an answer without changing it.
PADDING = frozenset(
    "okay please thanks thank you so and oh just actually sir maam madam mister right now at the moment currently well "
    "honestly really look listen hey hi hello dear sorry i think guess".split()
)


def expand(word: str) -> str:
    """One lower-case word with its contraction written out: "don't" -> "do not"."""
    if word in _CONTRACTIONS:
        return _CONTRACTIONS[word]
    for suffix, full in _SUFFIXES:
        if word.endswith(suffix):
            return word.removesuffix(suffix) + full
    if word.endswith("'s"):
        stem = word.removesuffix("'s")
        return f"{stem} is" if stem in _IS_AFTER else stem
    return word


def tokens(text: str) -> tuple[str, ...]:
    """`text` as comparable words."""
    plain = text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    spaced = " ".join(expand(word) for word in _TOKEN.findall(plain))
    spaced = _PERHAPS.sub("might", _POLITE.sub("please", spaced))
    for hum, meant in _HUMMED:
        spaced = hum.sub(meant, spaced)
    return tuple(word.replace("'", "") for word in spaced.split() if word not in _HESITATIONS)


@lru_cache(maxsize=16384)
def likeness(a: str, b: str) -> float:
    """1 for the same word, a little less for one a recognizer easily confuses or inflects, else 0."""
    if a == b:
        return 1.0
    if min(len(a), len(b)) < 3 or a in NEGATORS or b in NEGATORS:
        return _NEAR if {a, b} == {"of", "off"} else 0.0
    if _stem(a) == _stem(b):
        return _NEAR
    long_enough = min(len(a), len(b)) >= 5 and a[0] == b[0]
    return _NEAR if long_enough and _within_one_edit(a, b) else 0.0


def _stem(word: str) -> str:
    for suffix in ("ing", "ed", "es", "s"):
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            return word.removesuffix(suffix).rstrip("e")
    return word.rstrip("e") if len(word) > 3 else word


def _within_one_edit(a: str, b: str) -> bool:
    if abs(len(a) - len(b)) > 1:
        return False
    if len(a) > len(b):
        a, b = b, a
    i = next((k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(a))
    return a[i:] == b[i + 1 :] or a[i + 1 :] == b[i + 1 :]


def weight(word: str) -> float:
    """How much a word says: function words little, negators much."""
    if word in NEGATORS:
        return 1.5
    return 0.25 if word in FUNCTION_WORDS else 1.0
