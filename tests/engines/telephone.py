"""Speech as a telephone leaves it, and the campaign the engine tests use."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from appliance.audio.formats import FRAME_BYTES, RATE_HZ
from appliance.calls.campaign import Campaign

ROOT = Path(__file__).parents[2]
SPEECH = ROOT.parent / "shared" / "speech"


def home_insurance() -> Campaign:
    path = ROOT / "appliance" / "campaigns" / "home_insurance.toml"
    return Campaign.model_validate(tomllib.loads(path.read_text()))


def through_telephone(samples: npt.NDArray[np.float64], noise_dbov: float = -55.0, seed: int = 1) -> bytes:
    """8 kHz samples (full scale 1) band-passed 300-3400 Hz, at -22 dBov, with noise and 0.3 s of it around, through mu-law."""
    size = 2 * len(samples)
    hz = np.fft.rfftfreq(size, 1 / RATE_HZ)
    band = np.clip((hz - 200) / 150, 0, 1) * np.clip((3500 - hz) / 150, 0, 1)
    speech = np.fft.irfft(np.fft.rfft(samples, size) * band)[: len(samples)]
    active = speech[np.abs(speech) > np.abs(speech).max() * 0.05]
    speech *= 10 ** (-22 / 20) / np.sqrt(np.mean(active**2))
    edge = np.zeros(RATE_HZ * 3 // 10)
    line = np.concatenate([edge, speech, edge])
    line += np.random.default_rng(seed).normal(0, 10 ** (noise_dbov / 20), len(line))
    line = np.clip(line, -1, 1)
    law = np.round(np.sign(line) * np.log1p(255 * np.abs(line)) / np.log(256) * 127) / 127
    decoded = np.sign(law) * (256 ** np.abs(law) - 1) / 255
    pcm: bytes = (decoded * 32767).astype("<i2").tobytes()
    return pcm


def frames(pcm: bytes) -> list[bytes]:
    return [pcm[i : i + FRAME_BYTES] for i in range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES)]


def samples_of(pcm: bytes) -> npt.NDArray[np.float64]:
    return np.frombuffer(pcm, "<i2").astype(np.float64) / 32768
