"""What daemon and workers say to each other: length-prefixed msgpack over Unix sockets.

A frame is a 4-byte big-endian length and one message. Only bytes and plain structs travel, so a worker can later sit
on another machine. A worker serves one daemon; when the connection ends, it forgets every call.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import msgspec

from appliance.calls.campaign import Campaign
from appliance.calls.effects import Act
from appliance.calls.events import Understanding

MAX_MESSAGE_BYTES = 16 * 1024 * 1024


class Message(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Base of everything on the wire."""


# Both workers --------------------------------------------------------------------------------------------------------


class Load(Message, frozen=True):
    """First message on a connection: the campaign, as JSON of `Campaign`. Answered by `Ready` or `Failed`."""

    campaign_json: bytes

    @classmethod
    def of(cls, campaign: Campaign) -> Load:
        return cls(campaign.model_dump_json().encode())

    def campaign(self) -> Campaign:
        return Campaign.model_validate_json(self.campaign_json)


class Ready(Message, frozen=True):
    """The worker serves. `backends` names what it runs, for the log and the status: {"recognizer": "pocketsphinx 5.1.1"}."""

    backends: dict[str, str]


class Failed(Message, frozen=True):
    """The worker cannot serve; it exits after this. The operator sees `message` and `hint`."""

    message: str
    hint: str


class OpenCall(Message, frozen=True):
    call: str


class CloseCall(Message, frozen=True):
    call: str


# To the speech worker ------------------------------------------------------------------------------------------------


class Frames(Message, frozen=True):
    """One tick: every active call's frame of 20 ms (320 bytes of 8 kHz s16le). `seq` counts ticks; the answer repeats it."""

    seq: int
    frames: list[tuple[str, bytes]]


class ExpectNext(Message, frozen=True):
    """Bias recognition of `call` towards what `question` (a campaign id) can be answered with."""

    call: str
    question: str | None


class FinalizeTurn(Message, frozen=True):
    call: str
    turn: int


class Speak(Message, frozen=True):
    call: str
    utterance: int
    clause: int
    text: str


class StopSpeaking(Message, frozen=True):
    """Drop what is not yet synthesized of `utterance`."""

    call: str
    utterance: int


class Render(Message, frozen=True):
    """Synthesize a line for the daemon to keep (`effects.Prompt`); answered by `Rendered`."""

    name: str
    text: str


# From the speech worker ----------------------------------------------------------------------------------------------


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One call in one tick; see `events.Heard`."""

    call: str
    speech: float
    level_dbov: float
    text: str | None


class Rows(Message, frozen=True):
    seq: int
    rows: list[Row]


class Final(Message, frozen=True):
    call: str
    turn: int
    text: str


class Audio(Message, frozen=True):
    """A piece of a clause as 8 kHz s16le, any length; `last` closes the clause."""

    call: str
    utterance: int
    clause: int
    pcm: bytes
    last: bool


class Rendered(Message, frozen=True):
    name: str
    pcm: bytes


# To the mind worker --------------------------------------------------------------------------------------------------


class Ask(Message, frozen=True):
    """Understand what the caller said; answered by `Meaning`."""

    call: str
    request: int
    question: str | None
    text: str


class Compose(Message, frozen=True):
    """Put acts into words; answered by `Clause`s, the last of them marked."""

    call: str
    request: int
    acts: tuple[Act, ...]


class Cancel(Message, frozen=True):
    call: str
    request: int


# From the mind worker ------------------------------------------------------------------------------------------------


class Meaning(Message, frozen=True):
    call: str
    request: int
    understanding: Understanding


class Clause(Message, frozen=True):
    call: str
    request: int
    text: str
    last: bool


ToSpeech = Load | OpenCall | CloseCall | Frames | ExpectNext | FinalizeTurn | Speak | StopSpeaking | Render
FromSpeech = Ready | Failed | Rows | Final | Audio | Rendered
ToMind = Load | OpenCall | CloseCall | Ask | Compose | Cancel
FromMind = Ready | Failed | Meaning | Clause

_HEAD = struct.Struct(">I")
_encoder = msgspec.msgpack.Encoder()


def pack(message: Message) -> bytes:
    """One message as it goes on the socket."""
    body = _encoder.encode(message)
    return _HEAD.pack(len(body)) + body


class Unpacker:
    """Bytes in any pieces -> whole messages of `kind` (one of the unions above).

    Raises msgspec.DecodeError on a body that is no such message and ValueError on a length over MAX_MESSAGE_BYTES:
    the connection is then of no more use.
    """

    def __init__(self, kind: Any) -> None:
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        self._buffer += data
        while len(self._buffer) >= _HEAD.size:
            (length,) = _HEAD.unpack_from(self._buffer)
            if length > MAX_MESSAGE_BYTES:
                raise ValueError(f"message of {length} bytes, at most {MAX_MESSAGE_BYTES} allowed")
            end = _HEAD.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_HEAD.size : end])
            del self._buffer[:end]
            yield self._decoder.decode(body)
