"""What a backend must be. At most four methods each; a backend is one file, and one line in `registry.py`.

The shapes are those of the engines that carry many calls: recognition streams are decoded as a batch, synthesis goes
clause by clause and yields audio as it comes, a mind advances all its requests step by step and can drop any of them.
All audio is 8 kHz s16le (`appliance.audio.formats`); what the model wants beyond that is the backend's front end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from appliance.calls.campaign import Campaign
from appliance.calls.effects import Act
from appliance.engines.wire import Clause, Meaning


class RecognizerStream(Protocol):
    """One call's ear."""

    def accept(self, pcm: bytes) -> None:
        """Take audio of the current stretch of speech. Cheap: decoding happens in `Recognizer.decode`."""

    def expect(self, question: str | None) -> None:
        """Bias from the next stretch of speech on towards answers to this question of the campaign."""

    def text(self) -> str:
        """The transcript so far, lower case, without punctuation."""

    def finish(self) -> str:
        """Decode what is pending, return the final text, and start a new stretch."""


class Recognizer(Protocol):
    """Speech to text for all calls at once."""

    def open(self) -> RecognizerStream:
        """A fresh stream."""

    def decode(self, streams: Sequence[RecognizerStream]) -> None:
        """Advance these streams of this recognizer over the audio they accepted, as one batch."""


class VadStream(Protocol):
    """One call's voice activity detector."""

    def probability(self, frame: bytes) -> float:
        """Probability of speech in this 20 ms frame, 0 to 1."""


class Vad(Protocol):
    """Voice activity detection."""

    def open(self) -> VadStream:
        """A fresh stream."""


class Voice(Protocol):
    """Text to speech."""

    def synthesize(self, clause: str) -> Iterator[bytes]:
        """The clause as 8 kHz s16le at line level (about -20 dBov RMS), in pieces as they are made.

        Stopping to iterate cancels the rest.
        """


class Mind(Protocol):
    """Understands and phrases for all calls at once. Requests are accepted at once and advanced by `step`."""

    def understand(self, call: str, request: int, question: str | None, text: str) -> None:
        """Find out what the caller meant; `step` yields one `Meaning`."""

    def phrase(self, call: str, request: int, acts: tuple[Act, ...]) -> None:
        """Put the acts into words; `step` yields `Clause`s."""

    def cancel(self, call: str, request: int | None) -> None:
        """Drop this request, or all of the call's and its history when None. Nothing of it is yielded any more."""

    def step(self) -> list[Meaning | Clause]:
        """Advance every request by about one token and return what became complete. Empty when there is nothing to do."""


class MakeRecognizer(Protocol):
    def __call__(self, campaign: Campaign) -> Recognizer: ...


class MakeVad(Protocol):
    def __call__(self) -> Vad: ...


class MakeVoice(Protocol):
    def __call__(self, voice: str) -> Voice:
        """`voice` is the backend's name of a speaker ("" for its default). Raises BackendError on an unknown one."""
        ...


class MakeMind(Protocol):
    def __call__(self, campaign: Campaign) -> Mind: ...
