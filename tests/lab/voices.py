"""The customers' voices: flite through its library, in process. None of them is the appliance's own default voice.

Rendering happens before a call starts and is cached per process and on disk, so that speaking costs no CPU in a call.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from tests.lab.faults import LabError

RATE_HZ = 8000
LEVEL_DBOV = -21.0
VOICES = ("rms", "awb", "kal16", "kal", "slt")

Pcm = npt.NDArray[np.int16]


class _Wave(ctypes.Structure):
    """flite's cst_wave (cst_wave.h)."""

    _fields_ = (
        ("type", ctypes.c_char_p),
        ("sample_rate", ctypes.c_int),
        ("num_samples", ctypes.c_int),
        ("num_channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    )


@functools.cache
def _flite() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libflite.so.1", ctypes.RTLD_GLOBAL)
        for part in ("usenglish", "cmulex"):
            ctypes.CDLL(f"libflite_{part}.so.1", ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise LabError(f"flite's library cannot be loaded: {error}", hint="apt-get install libflite1") from error
    library.flite_text_to_wave.restype = ctypes.POINTER(_Wave)
    library.flite_text_to_wave.argtypes = (ctypes.c_char_p, ctypes.c_void_p)
    library.delete_wave.argtypes = (ctypes.POINTER(_Wave),)
    library.flite_init()
    return library


@functools.cache
def _voice(name: str) -> int:
    if name not in VOICES:
        raise LabError(f"no voice is called '{name}'", hint=f"voices are {', '.join(VOICES)}")
    _flite()
    register = getattr(ctypes.CDLL(f"libflite_cmu_us_{name}.so.1", ctypes.RTLD_GLOBAL), f"register_cmu_us_{name}")
    register.restype = ctypes.c_void_p
    register.argtypes = (ctypes.c_char_p,)
    return int(register(None))


def at_line_level(pcm: npt.NDArray[np.float32]) -> Pcm:
    """Scale so that the loud half of the 20 ms frames has LEVEL_DBOV on average; never clips."""
    frames = pcm[: len(pcm) // 160 * 160].reshape(-1, 160)
    if not len(frames):
        return pcm.astype(np.int16)
    power = np.sort(np.mean(frames.astype(np.float64) ** 2, axis=1))[len(frames) // 2 :]
    level = float(np.sqrt(np.mean(power))) or 1.0
    gain = min(32768 * 10 ** (LEVEL_DBOV / 20) / level, 32000 / max(1.0, float(np.max(np.abs(pcm)))))
    scaled: Pcm = np.round(pcm * gain).astype(np.int16)
    return scaled


def trimmed(pcm: Pcm, floor: int = 200) -> Pcm:
    """Without the silence before and after the speech, so that a turn's times are those of its speech."""
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > floor)
    return pcm[loud[0] : loud[-1] + 1] if len(loud) else pcm[:0]


@functools.cache
def spoken(text: str, voice: str) -> Pcm:
    """`text` as 8 kHz speech at line level without surrounding silence. Cached. Raises LabError on an unknown voice."""
    key = hashlib.sha256(f"{voice}\n{text}".encode()).hexdigest()[:24]
    kept = Path(tempfile.gettempdir()) / "sidetone-lab-voices" / f"{key}.npy"
    if kept.exists():
        loaded: Pcm = np.load(kept)
        return loaded
    wave = _flite().flite_text_to_wave(text.encode(), _voice(voice))
    try:
        made = np.ctypeslib.as_array(wave.contents.samples, (wave.contents.num_samples,)).astype(np.float32)
        rate_hz = int(wave.contents.sample_rate)
    finally:
        _flite().delete_wave(wave)
    pcm = trimmed(at_line_level(soxr.resample(made, rate_hz, RATE_HZ)))
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(f".{np.random.default_rng().integers(1 << 40)}.npy")
    np.save(part, pcm)
    part.rename(kept)
    return pcm


def recorded(path: Path) -> Pcm:
    """A WAV file of any rate as 8 kHz mono, at its own level. Raises LabError where it cannot be read."""
    try:
        data, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise LabError(f"{path}: not a readable sound file ({error})") from error
    mono = soxr.resample(data.mean(axis=1), rate_hz, RATE_HZ)
    pcm: Pcm = np.clip(np.round(mono * 32767), -32768, 32767).astype(np.int16)
    return pcm
