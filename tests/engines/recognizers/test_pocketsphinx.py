"""Accuracy floors on synthetic callers and, where the folder is, on recorded digits; each through a telephone."""

from __future__ import annotations

import difflib
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from appliance.audio.formats import RATE_HZ
from appliance.engines.minds.numbers import digit_string
from appliance.engines.minds.scripted import Reader
from appliance.engines.recognizers.pocketsphinx import PocketsphinxRecognizer, make
from appliance.engines.voices import flite
from tests.engines.telephone import SPEECH, home_insurance, samples_of, through_telephone

CAMPAIGN = home_insurance()
READER = Reader(CAMPAIGN)
# Not the campaign's own wordings, but what people make of them. (question, said, intent, slot)
HELD_OUT: list[tuple[str, str, str | None, str | None]] = [
    ("owner", "yes i do", None, "yes"),
    ("owner", "no", None, "no"),
    ("owner", "well we own our home yes", None, "yes"),
    ("owner", "no i'm renting at the moment", None, "no"),
    ("owner", "please take me off your calling list", "opt_out", None),
    ("owner", "stop calling me", "opt_out", None),
    ("owner", "i want to talk to a real person", "human", None),
    ("owner", "not interested thanks", "not_interested", None),
    ("owner", "who am i speaking with please", "who_is_this", None),
    ("insured", "yes it is", None, "yes"),
    ("renewal", "in june", None, "june"),
    ("renewal", "i don't know", None, "unknown"),
    ("renewal", "march third", None, "march"),
    ("renewal", "the first of may", None, "may"),
    ("phone", "i don't want to give it", None, "refused"),
    ("phone", "you already have it", None, "this number"),
    ("year_built", "nineteen eighty seven", None, "1987"),
    ("year_built", "it was built in two thousand five", None, "2005"),
    ("claims", "no claims", None, "no"),
    ("phone", "four one five five five five zero one two three", None, "4155550123"),
]
SPEAKERS = ("rms", "awb")


@pytest.fixture(scope="module")
def recognizer() -> PocketsphinxRecognizer:
    return make(CAMPAIGN)


def heard(recognizer: PocketsphinxRecognizer, question: str, pcm: bytes) -> str:
    stream = recognizer.open()
    stream.expect(question)
    for i in range(0, len(pcm), 1600):
        stream.accept(pcm[i : i + 1600])
        recognizer.decode([stream])
    return stream.finish()


def test_a_synthetic_caller_is_understood(recognizer: PocketsphinxRecognizer) -> None:
    wrong: list[str] = []
    for speaker in SPEAKERS:
        voice = flite.make(speaker)
        for question, said, intent, slot in HELD_OUT:
            spoken = samples_of(b"".join(voice.synthesize(said)))
            text = heard(recognizer, question, through_telephone(spoken))
            found = READER.understand(question, text)
            if (found.intent, found.slot) != (intent, slot):
                wrong.append(f"{speaker}: {said!r} heard as {text!r}")
    total = len(SPEAKERS) * len(HELD_OUT)
    assert len(wrong) <= 0.25 * total, f"{len(wrong)} of {total}:\n" + "\n".join(wrong)


@pytest.mark.skipif(not SPEECH.is_dir(), reason=f"no recorded speech at {SPEECH}")
def test_other_talk_does_not_end_a_call(recognizer: PocketsphinxRecognizer) -> None:
    """Read sentences have none of the campaign's intents; above all they must not opt anyone out."""
    folder = SPEECH / "read"
    items = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    short = [folder / item["wav"] for item in items if item["length_s"] < 8][:12]
    texts = [heard(recognizer, "owner", recording(path)) for path in short]
    urgent = [text for text in texts if READER.understand(None, text).intent in ("opt_out", "human")]
    assert len(urgent) <= 1, urgent


@pytest.mark.skipif(not SPEECH.is_dir(), reason=f"no recorded speech at {SPEECH}")
def test_recorded_digits_are_heard_as_digits(recognizer: PocketsphinxRecognizer) -> None:
    """A floor against breakage, not a goal: these digits are clipped single words and hard for this recognizer."""
    folder = SPEECH / "digits"
    items = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()][::9]
    right = total = 0
    for item in items:
        found = digit_string(heard(recognizer, "phone", recording(folder / item["wav"])).split())
        blocks = difflib.SequenceMatcher(None, found, item["expect"], autojunk=False).get_matching_blocks()
        right += sum(block.size for block in blocks)
        total += len(item["expect"])
    assert right >= 0.5 * total, f"{right} of {total}"


def recording(path: Path) -> bytes:
    samples, rate_hz = soundfile.read(path)
    mono = samples if samples.ndim == 1 else samples[:, 0]
    return through_telephone(np.asarray(soxr.resample(mono, rate_hz, RATE_HZ), np.float64))
