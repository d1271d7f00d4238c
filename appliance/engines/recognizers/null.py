"""The recognizer that hears nothing: for media benches, where recognition must cost no CPU."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.calls.campaign import Campaign
from appliance.engines.protocols import RecognizerStream


class NullStream:
    """Implements `protocols.RecognizerStream`."""

    def accept(self, pcm: bytes) -> None:
        pass

    def expect(self, question: str | None) -> None:
        pass

    def text(self) -> str:
        return ""

    def finish(self) -> str:
        return ""


class NullRecognizer:
    """Implements `protocols.Recognizer`."""

    def open(self) -> NullStream:
        return NullStream()

    def decode(self, streams: Sequence[RecognizerStream]) -> None:
        pass


def make(campaign: Campaign) -> NullRecognizer:
    """See `protocols.MakeRecognizer`."""
    return NullRecognizer()
