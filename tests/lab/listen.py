"""The customers' ears: what did the agent just say? Words by pocketsphinx, held against the campaign's own sentences.

The agent says little beyond its campaign, so a bigram model of those sentences is enough: every one of the shipped
campaign's sentences, spoken by flite through mu-law, is matched, at about 6 % of one core while the agent talks.
Listening runs in a process of its own with low priority, because decoding would make the customers' audio late.
"""

from __future__ import annotations

import collections
import contextlib
import difflib
import functools
import itertools
import math
import multiprocessing
import os
import re
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pocketsphinx
import soxr

from appliance.calls.campaign import Campaign, clauses
from tests.lab.voices import RATE_HZ, Pcm

MODEL_HZ = 16000
LEAD_IN = np.zeros(RATE_HZ // 4, np.float32)  # without silence before it, the recognizer loses the first word
QUIET = 8  # samples up to this are the line's silence
LONGEST_S = 5.0  # of one stretch of speech; what was said last decides the answer
DISCOUNT = 0.3
ENOUGH = 0.5  # share of a sentence's words that must have been heard, a misheard one counting as much as it is alike
ALIKE = 0.6
_DIGITS = "zero one two three four five six seven eight nine".split()


def tokens(text: str) -> list[str]:
    return re.sub(r"[^a-z' ]+", " ", text.lower()).split()


def sentences_of(campaign: Campaign) -> list[str]:
    """Everything the agent can say, clause by clause, each once."""
    return list(dict.fromkeys(clause for line in campaign.verbatim() for clause in clauses(line)))


def bigrams(sentences: Iterable[Sequence[str]], extra: Sequence[str] = ()) -> str:
    """An ARPA bigram model with absolute discounting. `extra` are words that may come anywhere."""
    unigram: collections.Counter[str] = collections.Counter(extra)
    bigram: collections.Counter[tuple[str, str]] = collections.Counter()
    for sentence in sentences:
        padded = ["<s>", *sentence, "</s>"]
        unigram.update(padded[1:])
        bigram.update(itertools.pairwise(padded))
    before: collections.Counter[str] = collections.Counter()
    kinds: collections.Counter[str] = collections.Counter()
    for (first, _), count in bigram.items():
        before[first] += count
        kinds[first] += 1
    total = sum(unigram.values())
    out = ["\\data\\", f"ngram 1={len(unigram) + 1}", f"ngram 2={len(bigram)}", "", "\\1-grams:"]
    for word in ("<s>", *unigram):
        probability = -99.0 if word == "<s>" else math.log10(unigram[word] / total)
        backoff = math.log10(DISCOUNT * kinds[word] / before[word]) if before[word] else 0.0
        out.append(f"{probability:.4f} {word} {backoff:.4f}")
    out += ["", "\\2-grams:"]
    out += [f"{math.log10((n - DISCOUNT) / before[a]):.4f} {a} {b}" for (a, b), n in bigram.items()]
    return "\n".join([*out, "", "\\end\\", ""])


class Found(NamedTuple):
    score: float
    start: int
    end: int
    sentence: str


@functools.cache
def _unlike(word: str, other: str) -> float:
    """0 for the same word, 1 for another, less for one that is spelled much like it: it was misheard for it."""
    alike = 1.0 if word == other else difflib.SequenceMatcher(None, word, other, autojunk=False).ratio()
    return 1 - alike if alike >= ALIKE else 1.0


def _best_fit(sentence: Sequence[str], heard: Sequence[str]) -> tuple[float, int, int]:
    """The stretch of `heard` nearest to `sentence` in word edits: (share of words right, start, end)."""
    # (edits, where the stretch began, negative: of two that fit alike, the later one leaves more to the sentence before)
    above = [(0.0, -at) for at in range(len(heard) + 1)]
    for row, word in enumerate(sentence, 1):
        here = [(float(row), 0)]
        for at, other in enumerate(heard, 1):
            edits, began = above[at - 1]
            changed = edits + _unlike(word, other)
            here.append(min((changed, began), (above[at][0] + 1, above[at][1]), (here[-1][0] + 1, here[-1][1])))
        above = here
    end = min(range(len(heard) + 1), key=lambda at: (above[at][0], -at))
    edits, began = above[end]
    return 1 - edits / len(sentence), -began, end


def understand(heard: str, sentences: Sequence[str]) -> list[str]:
    """The sentences of the closed set that were said, in order. Empty where nothing of it was recognized."""
    said = heard.split()
    found = [Found(*_best_fit(tokens(sentence), said), sentence) for sentence in sentences]
    kept: list[Found] = []
    for one in sorted(
        (f for f in found if f.score >= ENOUGH), key=lambda f: (f.score * (f.end - f.start), f.score), reverse=True
    ):
        if all(one.end <= other.start or one.start >= other.end for other in kept):
            kept.append(one)
    return [one.sentence for one in sorted(kept, key=lambda f: f.start)]


class Ear:
    """Recognizes one stretch of speech at a time, each by itself: the same audio is the same words, and decoded once."""

    def __init__(self, sentences: Sequence[str]) -> None:
        self._sentences = sentences
        lexicon = pocketsphinx.Decoder(lm=None, loglevel="FATAL")
        known = [[word for word in tokens(s) if lexicon.lookup_word(word) is not None] for s in sentences]
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "campaign.arpa"
            model.write_text(bigrams((k for k in known if k), _DIGITS))
            self._decoder = pocketsphinx.Decoder(lm=str(model), cmn="batch", loglevel="FATAL")
        self._known: dict[bytes, tuple[str, list[str]]] = {}

    def hear(self, pcm: bytes) -> tuple[str, list[str]]:
        """8 kHz s16le of one stretch of the agent's speech -> (raw words, sentences of the campaign)."""
        audio = np.frombuffer(pcm, "<i2")
        loud = np.flatnonzero(np.abs(audio) > QUIET)
        if not len(loud):
            return "", []
        audio = audio[loud[0] : loud[-1] + 1][-int(LONGEST_S * RATE_HZ) :]
        key = audio.tobytes()
        if key not in self._known:
            self._known[key] = self._recognize(audio)
        return self._known[key]

    def _recognize(self, audio: Pcm) -> tuple[str, list[str]]:
        wide = soxr.resample(np.concatenate((LEAD_IN, audio.astype(np.float32), LEAD_IN)), RATE_HZ, MODEL_HZ)
        self._decoder.start_utt()
        self._decoder.process_raw(np.clip(wide, -32768, 32767).astype("<i2").tobytes(), full_utt=True)
        self._decoder.end_utt()
        hypothesis = self._decoder.hyp()
        raw = hypothesis.hypstr if hypothesis else ""
        return raw, understand(raw, self._sentences)


def _serve(pipe: Connection, sentences: Sequence[str]) -> None:
    os.nice(10)
    ear = Ear(sentences)
    pipe.send(None)
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            call, pcm = pipe.recv()
            pipe.send((call, *ear.hear(pcm)))


class Heard(NamedTuple):
    call: str
    raw: str
    sentences: list[str]


class Ears:
    """The listening process: ask with `listen`, take answers with `answers`."""

    def __init__(self, campaign: Path) -> None:
        sentences = sentences_of(Campaign.model_validate(tomllib.loads(campaign.read_text())))
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, sentences), daemon=True)
        self._process.start()
        theirs.close()
        self._pipe.recv()

    def listen(self, call: str, pcm: bytes) -> None:
        self._pipe.send((call, pcm))

    def answers(self) -> list[Heard]:
        """What has been recognized since the last call. Does not wait."""
        ready: list[Heard] = []
        while self._pipe.poll():
            ready.append(Heard(*self._pipe.recv()))
        return ready

    def close(self) -> None:
        self._pipe.close()
        self._process.terminate()
        self._process.join(5)
