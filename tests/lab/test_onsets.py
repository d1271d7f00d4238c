from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from tests.lab.onsets import Pcm, Stretch, by_energy, by_spectrum
from tests.lab.voices import RATE_HZ, spoken

Detector = Callable[[Pcm], list[Stretch]]
BOTH = pytest.mark.parametrize("detector", [by_energy, by_spectrum])
LINES = [
    ("Hello.", "slt"),
    ("Sorry. What year was it built?", "slt"),
    ("Yes, I do.", "rms"),
    ("March.", "awb"),
    ("Stop.", "kal16"),
]


def on_a_line(piece: Pcm, noise_dbov: float | None) -> Pcm:
    """One second of line before and after."""
    line: npt.NDArray[np.float64] = np.concatenate((np.zeros(RATE_HZ), piece.astype(np.float64), np.zeros(RATE_HZ)))
    if noise_dbov is not None:
        line = line + np.random.default_rng(3).normal(0, 32768 * 10 ** (noise_dbov / 20), len(line))
    made: Pcm = np.clip(line, -32768, 32767).astype(np.int16)
    return made


@BOTH
@pytest.mark.parametrize(("text", "voice"), LINES)
@pytest.mark.parametrize(("noise_dbov", "within_ms"), [(None, 25), (-65, 45)])
def test_both_edges_are_found(detector: Detector, text: str, voice: str, noise_dbov: float | None, within_ms: int) -> None:
    piece = spoken(text, voice)
    found = detector(on_a_line(piece, noise_dbov))
    assert (found[0][0] - RATE_HZ) / 8 == pytest.approx(0, abs=within_ms)
    assert (found[-1][1] - RATE_HZ - len(piece)) / 8 == pytest.approx(0, abs=within_ms)


@BOTH
def test_a_line_without_speech_has_none(detector: Detector) -> None:
    assert detector(on_a_line(np.zeros(RATE_HZ, np.int16), None)) == []
    assert detector(np.zeros(100, np.int16)) == []


@BOTH
def test_a_click_is_no_speech(detector: Detector) -> None:
    click = np.zeros(RATE_HZ, np.int16)
    click[4000:4040] = 8000
    assert detector(on_a_line(click, None)) == []


@BOTH
def test_a_pause_parts_two_stretches(detector: Detector) -> None:
    word = spoken("March.", "awb")
    found = detector(on_a_line(np.concatenate((word, np.zeros(4000, np.int16), word)), None))
    assert len(found) == 2
