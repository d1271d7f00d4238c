"""A trigram language model from weighted sentences, as ARPA text. Pure.

Witten-Bell smoothing (Witten and Bell 1991), interpolated, written as the equivalent back-off model.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

_START, _END = "<s>", "</s>"
_ORDER = 3
_NEVER_LOG10 = -99.0

Gram = tuple[str, ...]


Counts = dict[int, dict[Gram, float]]


def arpa(parts: Iterable[tuple[Counts, float]], fillers: Mapping[str, float], filler_share: float) -> str:
    """A model of `parts` (what `count` gave, and its weight) with `filler_share` of the unigram mass spread over `fillers`.

    Fillers (word -> weight) are words a caller may say that no sentence has: without them, other talk is forced into the
    sentences' words.
    """
    counts: Counts = {n: defaultdict(float) for n in range(1, _ORDER + 1)}
    for part, weight in parts:
        for n, grams in part.items():
            target = counts[n]
            for gram, value in grams.items():
                target[gram] += value * weight
    followers = {n: _followers(counts[n]) for n in range(1, _ORDER + 1)}
    unigrams = _unigrams(counts[1], fillers, filler_share)
    probability: dict[Gram, float] = dict(unigrams)
    for n in range(2, _ORDER + 1):
        for gram, count in counts[n].items():
            total, kinds = followers[n][gram[:-1]]
            probability[gram] = (count + kinds * probability[gram[1:]]) / (total + kinds)
    return _text(counts, followers, probability)


def count(sentences: Iterable[tuple[Sequence[str], float]]) -> Counts:
    """Weighted counts of the grams of `sentences` (words, weight), ready to be mixed by `arpa`."""
    counts: Counts = {n: defaultdict(float) for n in range(1, _ORDER + 1)}
    for words, weight in sentences:
        padded = (_START, *words, _END)
        for n in counts:
            for i in range(len(padded) - n + 1):
                counts[n][padded[i : i + n]] += weight
    return counts


def _followers(counts: Mapping[Gram, float]) -> dict[Gram, tuple[float, int]]:
    """History -> (weight of what follows it, kinds of words that follow it)."""
    out: dict[Gram, tuple[float, int]] = {}
    for gram, count in counts.items():
        total, kinds = out.get(gram[:-1], (0.0, 0))
        out[gram[:-1]] = (total + count, kinds + 1)
    return out


def _unigrams(counts: Mapping[Gram, float], fillers: Mapping[str, float], share: float) -> dict[Gram, float]:
    seen = {gram: count for gram, count in counts.items() if gram != (_START,)}
    total, filler_total = sum(seen.values()), sum(fillers.values())
    out = {gram: count / total * (1 - share) for gram, count in seen.items()}
    for word, weight in fillers.items():
        out[(word,)] = out.get((word,), 0.0) + weight / filler_total * share
    return out


def _text(
    counts: Mapping[int, Mapping[Gram, float]],
    followers: Mapping[int, Mapping[Gram, tuple[float, int]]],
    probability: Mapping[Gram, float],
) -> str:
    single: list[Gram] = sorted(g for g in probability if len(g) == 1)
    grams: dict[int, list[Gram]] = {1: [(_START,), *single]}
    grams |= {n: sorted(counts[n]) for n in range(2, _ORDER + 1)}
    lines = ["\\data\\", *(f"ngram {n}={len(grams[n])}" for n in grams), ""]
    for n, group in grams.items():
        lines.append(f"\\{n}-grams:")
        for gram in group:
            value = probability.get(gram)
            log = _NEVER_LOG10 if value is None or gram == (_START,) else math.log10(value)
            line = f"{log:.4f}\t{' '.join(gram)}"
            if n < _ORDER and gram in followers[n + 1]:
                total, kinds = followers[n + 1][gram]
                line += f"\t{math.log10(kinds / (total + kinds)):.4f}"
            elif n < _ORDER:
                line += "\t0.0000"
            lines.append(line)
        lines.append("")
    return "\n".join([*lines, "\\end\\", ""])
