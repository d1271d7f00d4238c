"""Backends by name. Adding one is its file and one line here; a module is imported only when its backend is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib import metadata
from typing import cast

import msgspec

from appliance.engines.protocols import MakeMind, MakeRecognizer, MakeVad, MakeVoice
from appliance.errors import BackendError


class Backend(msgspec.Struct, frozen=True):
    """Where a backend's `make` is, and what it needs: `package` is its distribution ("" for none but our own)."""

    module: str
    package: str = ""


RECOGNIZERS = {
    "pocketsphinx": Backend("appliance.engines.recognizers.pocketsphinx", "pocketsphinx"),
    "null": Backend("appliance.engines.recognizers.null"),
}
VADS = {
    "pocketsphinx": Backend("appliance.engines.vads.pocketsphinx", "pocketsphinx"),
    "level": Backend("appliance.engines.vads.level"),
}
VOICES = {
    "flite": Backend("appliance.engines.voices.flite"),
    "tone": Backend("appliance.engines.voices.tone"),
}
MINDS = {
    "scripted": Backend("appliance.engines.minds.scripted"),
    "echo": Backend("appliance.engines.minds.echo"),
}


def recognizer(name: str) -> MakeRecognizer:
    """Raises BackendError when there is no such backend or it cannot be imported, and so does what is returned when the
    backend does not load. This holds for the others here too. A fault that the backend did not foresee is the cause.
    """
    return cast(MakeRecognizer, _make("recognizer", RECOGNIZERS, name))


def vad(name: str) -> MakeVad:
    return cast(MakeVad, _make("vad", VADS, name))


def voice(name: str) -> MakeVoice:
    return cast(MakeVoice, _make("voice", VOICES, name))


def mind(name: str) -> MakeMind:
    return cast(MakeMind, _make("mind", MINDS, name))


def described(kind: dict[str, Backend], name: str) -> str:
    """The backend's name with its package's version, as the status shows it: "pocketsphinx 5.1.1"."""
    package = kind[name].package
    return f"{name} {metadata.version(package)}" if package else name


def _make(kind: str, backends: dict[str, Backend], name: str) -> object:
    backend = backends.get(name)
    if backend is None:
        raise BackendError(f"engines.{kind}: there is no '{name}'", hint=f"choose one of {', '.join(sorted(backends))}")
    try:
        make: Callable[..., object] = importlib.import_module(backend.module).make
    except ModuleNotFoundError as error:
        if not backend.package or (error.name or "").startswith("appliance"):
            raise _unforeseen(kind, name, error) from error
        raise BackendError(
            f"engines.{kind}: '{name}' is not installed ({error})", hint=f"pip install {backend.package}"
        ) from None
    except Exception as error:  # the boundary of a foreign package
        raise _unforeseen(kind, name, error) from error

    def loaded(*args: object) -> object:
        try:
            return make(*args)
        except BackendError:
            raise
        except Exception as error:  # the boundary of a foreign package
            raise _unforeseen(kind, name, error) from error

    return loaded


def _unforeseen(kind: str, name: str, error: Exception) -> BackendError:
    why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    hint = "its files or its package may be damaged or of another version; the log of sidetone run has the traceback"
    return BackendError(f"engines.{kind}: '{name}' does not load ({why})", hint=hint)
