"""What every backend promises, asked of every backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pytest

from appliance.audio.formats import FRAME_BYTES, RATE_HZ, SILENCE
from appliance.audio.levels import level_dbov
from appliance.calls.effects import Act, ActKind
from appliance.engines import registry
from appliance.engines.protocols import Mind, Recognizer, Vad, Voice
from appliance.engines.voices.line import PIECE_SAMPLES
from appliance.engines.wire import Clause, Meaning
from appliance.errors import BackendError
from tests.engines.telephone import frames, home_insurance, samples_of, through_telephone

T = TypeVar("T")
CAMPAIGN = home_insurance()


@pytest.fixture(scope="module")
def speech() -> bytes:
    spoken = b"".join(registry.voice("flite")("rms").synthesize("Yes, I own my home."))
    return through_telephone(samples_of(spoken))


@pytest.fixture(scope="module", params=sorted(registry.RECOGNIZERS))
def recognizer(request: pytest.FixtureRequest) -> Recognizer:
    return loaded(lambda: registry.recognizer(request.param)(CAMPAIGN))


@pytest.fixture(scope="module", params=sorted(registry.VADS))
def vad(request: pytest.FixtureRequest) -> Vad:
    def make() -> Vad:
        return registry.vad(request.param)()

    return loaded(make)


@pytest.fixture(scope="module", params=sorted(registry.VOICES))
def voice(request: pytest.FixtureRequest) -> Voice:
    return loaded(lambda: registry.voice(request.param)(""))


@pytest.fixture(params=sorted(registry.MINDS))
def mind(request: pytest.FixtureRequest) -> Mind:
    return loaded(lambda: registry.mind(request.param)(CAMPAIGN))


def loaded(make: Callable[[], T]) -> T:
    """The backend, or a skip where an optional one is not installed. The defaults are never skipped."""
    try:
        return make()
    except BackendError as error:
        if "not installed" in error.message:
            pytest.skip(error.message)
        raise


def test_a_recognizer_gives_lower_case_words_and_starts_afresh(recognizer: Recognizer, speech: bytes) -> None:
    stream = recognizer.open()
    stream.expect("owner")
    for frame in frames(speech):
        stream.accept(frame)
        recognizer.decode([stream])
    partial, final = stream.text(), stream.finish()
    assert (partial == "") == (final == "")
    assert set(final) <= set("abcdefghijklmnopqrstuvwxyz' ")
    assert stream.text() == ""
    assert stream.finish() == ""


def test_streams_do_not_hear_each_other(recognizer: Recognizer, speech: bytes) -> None:
    one, other = recognizer.open(), recognizer.open()
    one.accept(speech)
    recognizer.decode([one, other])
    assert other.text() == ""
    assert other.finish() == ""


def test_finish_decodes_what_is_pending(recognizer: Recognizer, speech: bytes) -> None:
    stepwise, at_once = recognizer.open(), recognizer.open()
    stepwise.accept(speech)
    recognizer.decode([stepwise])
    at_once.accept(speech)
    assert at_once.finish() == stepwise.finish()


def test_a_recognizer_takes_any_question(recognizer: Recognizer) -> None:
    stream = recognizer.open()
    for question in (None, "owner", "no_such_question", None):
        stream.expect(question)
        stream.accept(SILENCE * 3)
        recognizer.decode([stream])
        stream.finish()


def test_a_vad_hears_speech_and_not_silence(vad: Vad, speech: bytes) -> None:
    stream = vad.open()
    quiet = [stream.probability(SILENCE) for _ in range(50)]
    loud = [stream.probability(frame) for frame in frames(speech)]
    assert max(quiet) < 0.5 < max(loud)
    assert all(0.0 <= p <= 1.0 for p in quiet + loud)


def test_a_vad_calls_line_noise_no_speech(vad: Vad) -> None:
    noise = np.random.default_rng(3).normal(0, 32768 * 10 ** (-50 / 20), RATE_HZ * 4).astype("<i2").tobytes()
    stream = vad.open()
    assert max(stream.probability(frame) for frame in frames(noise)) < 0.5


def test_a_vad_refuses_frames_of_other_lengths(vad: Vad) -> None:
    with pytest.raises(ValueError, match=str(FRAME_BYTES)):
        vad.open().probability(b"\0" * 10)


def test_a_voice_speaks_at_line_level_in_small_pieces(voice: Voice) -> None:
    made = list(voice.synthesize("Do you own your home?"))
    pcm = b"".join(made)
    assert all(0 < len(piece) <= 2 * PIECE_SAMPLES for piece in made)
    assert 0.5 < len(pcm) / 2 / RATE_HZ < 4.0
    assert abs(level_dbov(pcm) + 20) < 3.5
    assert np.abs(samples_of(pcm)).max() < 0.95


def test_a_voice_starts_and_ends_softly(voice: Voice) -> None:
    samples = samples_of(b"".join(voice.synthesize("Thank you.")))
    assert max(abs(samples[0]), abs(samples[-1])) < 0.01


def test_a_voice_takes_the_same_time_for_the_same_words(voice: Voice) -> None:
    lengths = {len(b"".join(voice.synthesize("Okay."))) for _ in range(3)}
    assert max(lengths) - min(lengths) <= 2 * RATE_HZ // 20


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_a_voice_says_nothing_for_nothing(voice: Voice, text: str) -> None:
    assert b"".join(voice.synthesize(text)) == b""


@pytest.mark.parametrize("text", ["na\u00efve caf\u00e9 \U0001f600", "a" * 5000, "<speak>&amp;</speak>", "\x00 hello"])
def test_a_voice_takes_any_text(voice: Voice, text: str) -> None:
    pieces = [piece for _, piece in zip(range(3), voice.synthesize(text), strict=False)]
    assert all(len(piece) % 2 == 0 for piece in pieces)


def test_an_unknown_speaker_is_an_error_with_a_hint() -> None:
    for name in registry.VOICES:
        with pytest.raises(BackendError) as caught:
            registry.voice(name)("nobody")
        assert caught.value.hint


def drained(mind: Mind) -> list[Meaning | Clause]:
    out: list[Meaning | Clause] = []
    while step := mind.step():
        out += step
    return out


def test_a_mind_answers_each_request_once(mind: Mind) -> None:
    mind.understand("a", 1, "owner", "yes i do")
    mind.understand("b", 1, None, "who is this")
    mind.phrase("a", 2, (Act(ActKind.ACKNOWLEDGE), Act(ActKind.ASK, "insured")))
    out = drained(mind)
    assert sorted((m.call, m.request) for m in out if isinstance(m, Meaning)) == [("a", 1), ("b", 1)]
    clauses = [c for c in out if isinstance(c, Clause)]
    assert [c.last for c in clauses] == [False] * (len(clauses) - 1) + [True]
    assert mind.step() == []


def test_a_mind_drops_what_is_cancelled(mind: Mind) -> None:
    mind.understand("a", 1, "owner", "yes")
    mind.understand("a", 2, "owner", "no")
    mind.phrase("b", 3, (Act(ActKind.SORRY),))
    mind.phrase("b", 4, (Act(ActKind.SORRY),))
    mind.cancel("a", 1)
    mind.cancel("b", None)
    mind.cancel("nobody", 9)
    assert {(m.call, m.request) for m in drained(mind)} == {("a", 2)}


def test_a_mind_takes_unknown_references(mind: Mind) -> None:
    mind.understand("a", 1, "no_such_question", "yes")
    mind.phrase("a", 2, (Act(ActKind.ASK, "no_such_question"),))
    mind.phrase("a", 3, ())
    out = drained(mind)
    assert sum(isinstance(m, Meaning) for m in out) == 1
    assert sum(c.last for c in out if isinstance(c, Clause)) == 2
