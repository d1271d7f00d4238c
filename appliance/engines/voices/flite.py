"""The voice flite, in process through libflite's C interface (flite/flite.h 2.2)."""

from __future__ import annotations

import ctypes
import re
import threading
from collections.abc import Iterator

import numpy as np

from appliance.engines.voices.line import for_the_line, pieces
from appliance.errors import BackendError

SPEAKERS = ("slt", "rms", "awb", "kal16", "kal")
_HINT = "install flite's library: apt install libflite1"
_SAYABLE = re.compile(r"[^ -~]+")  # flite reads 8-bit text of no stated encoding
_MAX_CHARACTERS = 2000


class _Wave(ctypes.Structure):
    """`cst_wave` of flite/cst_wave.h."""

    _fields_ = (
        ("type", ctypes.c_char_p),
        ("sample_rate", ctypes.c_int),
        ("num_samples", ctypes.c_int),
        ("num_channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_int16)),
    )


class FliteVoice:
    """Implements `protocols.Voice`. A clause is made whole (0.02 of its length on one core), then yielded in pieces."""

    def __init__(self, speaker: str) -> None:
        self._flite = _library("libflite.so.1")
        library = _library(f"libflite_cmu_us_{speaker}.so.1")
        self._flite.flite_text_to_wave.restype = ctypes.POINTER(_Wave)
        self._flite.flite_text_to_wave.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
        self._flite.delete_wave.restype = None
        self._flite.delete_wave.argtypes = [ctypes.POINTER(_Wave)]
        register = getattr(library, f"register_cmu_us_{speaker}")
        register.restype = ctypes.c_void_p
        register.argtypes = [ctypes.c_char_p]
        self._flite.flite_init()
        self._voice: int | None = register(None)
        if not self._voice:
            raise BackendError(f"voice flite: speaker '{speaker}' does not load", hint=_HINT)
        self._lock = threading.Lock()  # a cst_voice keeps its utterance in itself

    def synthesize(self, clause: str) -> Iterator[bytes]:
        """Nothing sayable in `clause` yields nothing."""
        text = _SAYABLE.sub(" ", clause).strip()[:_MAX_CHARACTERS]
        return pieces(self._made(text)) if any(c.isalnum() for c in text) else iter(())

    def _made(self, text: str) -> bytes:
        with self._lock:
            wave = self._flite.flite_text_to_wave(text.encode("ascii"), self._voice)
        if not wave:
            return b""
        try:
            found = wave.contents
            if found.num_samples <= 0:
                return b""
            samples = np.ctypeslib.as_array(found.samples, (found.num_samples,)).astype(np.float32) / np.float32(32768)
            return for_the_line(samples, found.sample_rate)
        finally:
            self._flite.delete_wave(wave)


def _library(name: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise BackendError(f"voice flite: {error}", hint=_HINT) from None


def make(voice: str) -> FliteVoice:
    """See `protocols.MakeVoice`; the default speaker is slt."""
    if voice and voice not in SPEAKERS:
        raise BackendError(f"voice flite: no speaker '{voice}'", hint=f"engines.speaker is one of {', '.join(SPEAKERS)}")
    return FliteVoice(voice or SPEAKERS[0])
