"""The recognizer pocketsphinx with the English model of its wheel, biased by a language model made from the campaign.

Front end: every line is brought to one band and level (`telephone_band`). The model was trained on 16 kHz speech: call
audio is resampled once, and steady noise is laid under it, because exact silence above 4 kHz is unlike anything it knows.
One decoder per call: its search state is the stream. Decoding holds the GIL, so it has a process of its own.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np
import pocketsphinx
import soxr

from appliance.audio.formats import RATE_HZ
from appliance.calls.campaign import Campaign
from appliance.engines.protocols import RecognizerStream
from appliance.engines.recognizers import expected, ngram
from appliance.engines.recognizers.telephone_band import TelephoneBand
from appliance.errors import BackendError

_MODEL_HZ = 16000
_FILL_DBOV = -55.0
_ANY = "-"  # the search used when no question was asked
# The cepstral mean of telephone speech in this front end, measured over four voices; the model's own is wideband's.
_TELEPHONE_CMN = "54.7,4.9,-17.9,8.3,-9.1,-19.7,-3.2,-16.1,-4.4,-6.7,-18.2,-3.7,-9.5"
_SEARCH = {"lw": 9.5, "fwdflat": False, "bestpath": False, "cmn": "live", "cmninit": _TELEPHONE_CMN, "loglevel": "FATAL"}


class _MemoryFile:
    """A file that only this process sees: pocketsphinx reads by path, and a killed process must leave nothing behind."""

    def __init__(self, name: str, text: str) -> None:
        descriptor = os.memfd_create(name)
        weakref.finalize(self, os.close, descriptor)
        self.path = f"/proc/self/fd/{descriptor}"
        Path(self.path).write_text(text, encoding="utf-8")


class _Language:
    """The campaign's vocabulary and one model per question."""

    def __init__(self, campaign: Campaign) -> None:
        common = resources.files(__package__).joinpath("common_words.txt").read_text().split()
        groups = expected.groups(campaign)
        wanted = {word for sentences in groups.values() for words, _ in sentences for word in words} | set(common)
        known, lines = _pronunciations(wanted)
        self.dictionary = _MemoryFile("words.dict", lines)
        fillers = {word: 1 / (rank + 20) for rank, word in enumerate(common) if word in known}
        counts = {
            name: ngram.count((words, weight) for words, weight in sentences if known.issuperset(words))
            for name, sentences in groups.items()
        }
        self.models: dict[str, _MemoryFile] = {}
        for question in (_ANY, *(q.id for q in campaign.questions)):
            parts = [(counts[name], share) for name, share in expected.shares(campaign, question).items()]
            text = ngram.arpa(parts, fillers, expected.filler_share(campaign, question))
            self.models[question] = _MemoryFile(f"{question}.arpa", text)


def _pronunciations(wanted: set[str]) -> tuple[set[str], str]:
    """The words of `wanted` that the model's dictionary has, and their lines."""
    known: set[str] = set()
    lines: list[str] = []
    with Path(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict")).open(encoding="utf-8") as dictionary:
        for line in dictionary:
            word = line.split(None, 1)[0].partition("(")[0]
            if word in wanted:
                lines.append(line)
                known.add(word)
    return known, "".join(lines)


class PocketsphinxStream:
    """One call's ear. Implements `protocols.RecognizerStream`."""

    def __init__(self, decoder: pocketsphinx.Decoder, language: _Language) -> None:
        self._decoder = decoder
        self._language = language
        self._loaded: set[str] = set()
        self._search = _ANY
        self._pending = bytearray()
        self._speaking = False
        self._text = ""
        self._line = TelephoneBand()
        self._noise = np.random.default_rng(0)
        self._resampler = soxr.ResampleStream(RATE_HZ, _MODEL_HZ, 1, dtype="float32", quality="HQ")

    def accept(self, pcm: bytes) -> None:
        self._pending += pcm

    def expect(self, question: str | None) -> None:
        self._search = question if question in self._language.models else _ANY

    def text(self) -> str:
        return self._text

    def advance(self, last: bool = False) -> None:
        """Decode what was accepted. Takes about 0.07 of the audio's length on one core."""
        pcm, self._pending = bytes(self._pending), bytearray()
        if not pcm and not (last and self._speaking):
            return
        if not self._speaking:
            self._activate()
            self._decoder.start_utt()
            self._speaking = True
        wide = self._resampler.resample_chunk(self._line.take(pcm), last=last)
        filled = wide + self._noise.normal(0, 32768 * 10 ** (_FILL_DBOV / 20), len(wide))
        if len(filled):
            self._decoder.process_raw(np.clip(filled, -32768, 32767).astype("<i2").tobytes())
        found = self._decoder.hyp()
        self._text = found.hypstr if found else ""

    def finish(self) -> str:
        self.advance(last=True)
        if not self._speaking:
            return ""
        self._decoder.end_utt()
        found = self._decoder.hyp()
        self._speaking, self._text = False, ""
        self._resampler.clear()
        return found.hypstr if found else ""

    def _activate(self) -> None:
        """Searches are loaded when first needed: a call asks few questions before it ends, and most end early."""
        if self._search not in self._loaded:
            config, log_math = self._decoder.get_config(), self._decoder.get_logmath()
            path = self._language.models[self._search].path
            self._decoder.add_lm(self._search, pocketsphinx.NGramModel(config, log_math, path))
            self._loaded.add(self._search)
        self._decoder.activate_search(self._search)


class PocketsphinxRecognizer:
    """Implements `protocols.Recognizer`."""

    def __init__(self, campaign: Campaign) -> None:
        pocketsphinx.set_loglevel("FATAL")
        self._language = _Language(campaign)
        self._new_decoder()  # a broken installation shows now, not at the first call

    def open(self) -> PocketsphinxStream:
        return PocketsphinxStream(self._new_decoder(), self._language)

    def decode(self, streams: Sequence[RecognizerStream]) -> None:
        for stream in streams:
            if isinstance(stream, PocketsphinxStream):
                stream.advance()

    def _new_decoder(self) -> pocketsphinx.Decoder:
        model = pocketsphinx.get_model_path("en-us/en-us")
        config = pocketsphinx.Config(hmm=model, lm=None, dict=self._language.dictionary.path, **_SEARCH)
        try:
            return pocketsphinx.Decoder(config)
        except RuntimeError as error:
            hint = "reinstall its package: pip install --force-reinstall pocketsphinx"
            raise BackendError(f"recognizer pocketsphinx: {error}", hint=hint) from None


def make(campaign: Campaign) -> PocketsphinxRecognizer:
    """See `protocols.MakeRecognizer`."""
    return PocketsphinxRecognizer(campaign)
