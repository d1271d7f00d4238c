"""The recognizer's own process, and the messages between it and the speech worker.

Why a process: pocketsphinx holds the interpreter lock while it decodes; in the worker's process that delayed the 20 ms
rows by up to a quarter of a second. Here nothing waits but text. If decoding falls behind real time nothing is dropped:
chunks grow, which is cheaper per second of audio, and the lag is measured and reported.
"""

from __future__ import annotations

import logging
import os
import selectors
import socket
import sys
import time

import msgspec

from appliance.calls.campaign import Campaign
from appliance.engines import registry
from appliance.engines.protocols import Recognizer, RecognizerStream
from appliance.engines.wire import Failed, Message, Unpacker, pack
from appliance.errors import BackendError

log = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 18
_NICENESS = 5  # text may be late, frames may not


class Begin(Message, frozen=True):
    """First message: which backend to load for which campaign. Answered by `Listening` or `Failed`."""

    recognizer: str
    campaign_json: bytes


class OpenStream(Message, frozen=True):
    stream: int


class CloseStream(Message, frozen=True):
    stream: int


class Bias(Message, frozen=True):
    stream: int
    question: str | None


class Listen(Message, frozen=True):
    """Audio of a stretch of speech. `sent_s` is the sender's monotonic clock (one machine, one clock)."""

    stream: int
    sent_s: float
    pcm: bytes


class Finish(Message, frozen=True):
    stream: int
    turn: int


class Listening(Message, frozen=True):
    """The recognizer is loaded. `backend` is its name and version."""

    backend: str


class Text(Message, frozen=True):
    """The transcript so far, sent when it changed."""

    stream: int
    text: str


class Finished(Message, frozen=True):
    stream: int
    turn: int
    text: str


class Lag(Message, frozen=True):
    """How far decoding was behind at most since the last report, when that was over half a second."""

    worst_s: float


ToEar = Begin | OpenStream | CloseStream | Bias | Listen | Finish
FromEar = Listening | Failed | Text | Finished | Lag

_REPORT_LAG_S = 0.5


class Ear:
    """Applies messages to the streams of one recognizer. `answer` sends."""

    def __init__(self, recognizer: Recognizer) -> None:
        self._recognizer = recognizer
        self._streams: dict[int, RecognizerStream] = {}
        self._told: dict[int, str] = {}
        self._waiting: set[int] = set()
        self._oldest_s: float | None = None

    def take(self, message: OpenStream | CloseStream | Bias | Listen | Finish) -> list[Message]:
        """What is to be answered at once. A message for a stream that was closed is late, and dropped."""
        if isinstance(message, OpenStream):
            self._streams[message.stream] = self._recognizer.open()
            return []
        stream = self._streams.get(message.stream)
        if stream is None:
            return []
        match message:
            case CloseStream():
                self._forget(message.stream)
            case Bias():
                stream.expect(message.question)
            case Listen():
                stream.accept(message.pcm)
                self._waiting.add(message.stream)
                self._oldest_s = message.sent_s if self._oldest_s is None else self._oldest_s
            case Finish():
                self._waiting.discard(message.stream)
                self._told.pop(message.stream, None)
                return [Finished(message.stream, message.turn, stream.finish())]
        return []

    def decode(self, now: float) -> list[Message]:
        """Decode all that waits as one batch."""
        lag_s = now - self._oldest_s if self._oldest_s is not None else 0.0
        self._oldest_s = None
        waiting, self._waiting = sorted(self._waiting), set()
        if waiting:
            self._recognizer.decode([self._streams[i] for i in waiting])
        out: list[Message] = [Lag(lag_s)] if lag_s > _REPORT_LAG_S else []
        for i in waiting:
            text = self._streams[i].text()
            if text != self._told.get(i, ""):
                self._told[i] = text
                out.append(Text(i, text))
        return out

    def _forget(self, stream: int) -> None:
        del self._streams[stream]
        self._told.pop(stream, None)
        self._waiting.discard(stream)


def serve(connection: socket.socket) -> None:
    """Serve one speech worker until it is gone."""
    unpacker = Unpacker(ToEar)
    ear: Ear | None = None
    poll = selectors.DefaultSelector()
    poll.register(connection, selectors.EVENT_READ)
    while True:
        data = connection.recv(_CHUNK_BYTES)
        if not data:
            return
        for message in unpacker.feed(data):
            if isinstance(message, Begin):
                ear, answer = _load(message)
                connection.sendall(pack(answer))
                if ear is None:
                    return
            elif ear is not None:
                for answer in ear.take(message):
                    connection.sendall(pack(answer))
        if ear is not None and not poll.select(0):  # first take all that has come, then decode it as one batch
            out = ear.decode(time.monotonic())
            if out:
                connection.sendall(b"".join(map(pack, out)))


def _load(begin: Begin) -> tuple[Ear | None, Message]:
    try:
        campaign = Campaign.model_validate_json(begin.campaign_json)
        ear = Ear(registry.recognizer(begin.recognizer)(campaign))
        return ear, Listening(registry.described(registry.RECOGNIZERS, begin.recognizer))
    except BackendError as error:
        if error.__cause__ is not None:
            log.error("%s", error.message, exc_info=error.__cause__)
        return None, Failed(error.message, error.hint)


def main() -> None:
    """`python -m appliance.engines.ear FD`: serve on the inherited socket FD."""
    os.nice(_NICENESS)
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        try:
            serve(connection)
        except (ConnectionError, KeyboardInterrupt, msgspec.DecodeError):
            return  # the worker is gone, or being stopped: nothing is left to do here


if __name__ == "__main__":
    main()
