"""Does this sentence mean one of these phrases? Word overlap in order, tolerant of a recognizer's slips. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from appliance.engines.minds.words import LEADING_WORDS, NEGATORS, PADDING, likeness, tokens, weight

_MAX_GAP_WORDS = 2
# Words that may stand between a negation and what it denies: "I do NOT want you to | take me off the list".
_BRIDGE = frozenset(
    "want need wish ask asking asked trying going like would you them to be been really say said saying get".split()
)
# "Do not call" is an order, "we do not call" and "I did not call" are not.
_NOT_ORDERED = frozenset("i we they he she did does".split())


class Phrase(msgspec.Struct, frozen=True):
    """A wording, ready for comparison."""

    label: str
    words: tuple[str, ...]
    content: frozenset[str]
    optional: int
    weight: float

    @classmethod
    def of(cls, label: str, wording: str) -> Phrase:
        """The first `optional` words ("can I", "I want to") say nothing where two others do, and count nothing."""
        words = tokens(wording)
        content = frozenset(w for w in words if weight(w) >= 1.0) or frozenset(words)
        leading = next((i for i, w in enumerate(words) if w not in LEADING_WORDS), 0)
        optional = leading if len(content) >= 2 else 0
        return cls(label, words, content, optional, sum(map(weight, words[optional:])))

    @property
    def needed(self) -> float:
        """The share of its weight that must be heard. The fewer words carry it, the less may be missing."""
        return (0.99, 0.95, 0.8, 0.72)[min(len(self.content), 4) - 1]


class Match(msgspec.Struct, frozen=True):
    """`score` 0..1 is the share of the phrase that was heard; `at` are the positions of its words in the sentence.

    `whole`: every word of the phrase was heard, the optional ones too.
    """

    label: str
    score: float
    at: frozenset[int]
    whole: bool

    def explains_more_than(self, other: Match) -> bool:
        """True when this is heard whole and uses every word of the other reading, and more."""
        return self.whole and self.at > other.at


def vocabulary(phrases: Iterable[Phrase]) -> frozenset[str]:
    """All telling words of `phrases`."""
    return frozenset(word for phrase in phrases for word in phrase.content)


def present(heard: Sequence[str], words: Iterable[str]) -> frozenset[str]:
    """Those of `words` that `heard` has, or something like them."""
    said = frozenset(heard)
    return frozenset(word for word in words if word in said or any(likeness(word, other) for other in said))


def best_match(
    heard: Sequence[str], phrases: Sequence[Phrase], found: frozenset[str] | None = None, *, around: int = 0
) -> Match | None:
    """The phrase that fits `heard` best, None when none fits. Among equals: the most words, then the earliest in the list.

    `found` is `present(heard, vocabulary(phrases))` of these or more phrases, where it is known already. `around` is how
    many other telling words a phrase of one word bears: more than none where an answer of that kind is awaited.
    """
    have = found if found is not None else present(heard, vocabulary(phrases))
    best: Match | None = None
    for phrase in phrases:
        if len(phrase.content & have) * 2 <= len(phrase.content):
            continue
        match = _align(phrase, heard, around)
        if match and (best is None or (match.score * len(match.at), match.score) > (best.score * len(best.at), best.score)):
            best = match
    return best


def _align(phrase: Phrase, heard: Sequence[str], around: int) -> Match | None:
    """The heaviest in-order alignment with no gap over _MAX_GAP_WORDS; None when it is too light or means something else."""
    best_weight = 0.0
    best_at: tuple[int, ...] = ()
    # ends[j]: heaviest chain whose last matched word is heard[j]
    ends: dict[int, tuple[float, tuple[int, ...]]] = {}
    for n, word in enumerate(phrase.words):
        worth = weight(word) if n >= phrase.optional else 0.0
        grown: dict[int, tuple[float, tuple[int, ...]]] = {}
        for j, other in enumerate(heard):
            like = likeness(word, other)
            if not like:
                continue
            before = [ends[k] for k in range(max(0, j - 1 - _MAX_GAP_WORDS), j) if k in ends]
            base = max(before, key=lambda chain: (chain[0], len(chain[1]))) if before else (0.0, ())
            grown[j] = (base[0] + worth * like, (*base[1], j))
        for j, chain in grown.items():
            if j not in ends or chain[0] > ends[j][0]:
                ends[j] = chain
                if chain[0] > best_weight:
                    best_weight, best_at = chain
    score = best_weight / phrase.weight
    if score < phrase.needed or not _negations_agree(phrase, heard, best_at):
        return None
    if _another_sense(phrase, heard, best_at) or _lost_in_talk(phrase, heard, best_at, around):
        return None
    return Match(phrase.label, score, frozenset(best_at), whole=len(best_at) == len(phrase.words))


def _negations_agree(phrase: Phrase, heard: Sequence[str], at: tuple[int, ...]) -> bool:
    """Every negation of the phrase was heard, and none was heard that it does not have."""
    start = at[0]
    while start > 0 and heard[start - 1] in _BRIDGE:
        start -= 1
    span = heard[max(0, start - 1) : at[-1] + 1]
    wanted = sum(1 for w in phrase.words if w in NEGATORS)
    return sum(1 for w in span if w in NEGATORS) == wanted


def _another_sense(phrase: Phrase, heard: Sequence[str], at: tuple[int, ...]) -> bool:
    """The words are there, but with a subject ("WE do not call") or another verb ("I do not want to GIVE it")."""
    before = heard[max(0, at[0] - 1) : at[0]]
    if phrase.words[:2] == ("do", "not") and "me" not in phrase.words and _NOT_ORDERED.intersection(before):
        return True
    if not NEGATORS.intersection(phrase.words):
        return False
    return any(heard[i - 1] == "to" and _telling(heard[i]) for i in range(at[0] + 1, at[-1]) if i not in at)


def _telling(word: str) -> bool:
    return weight(word) >= 1.0 and word not in PADDING and word not in ("no", "yes")


def _lost_in_talk(phrase: Phrase, heard: Sequence[str], at: tuple[int, ...], around: int) -> bool:
    """One telling word counts only where little else is said: "agent", not "my cousin was an agent in Ohio"."""
    if len(phrase.content) > 1 or len(phrase.words) > 3:
        return False
    rest = sum(1 for i, w in enumerate(heard) if i not in at and _telling(w))
    return rest > max(around, 0 if len(phrase.words) == 1 else 2)
