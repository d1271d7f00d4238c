"""What the daemon tells its subscribers: JSON, one message a line, over a Unix socket.

JSON lines and not the engines' msgpack: there are a few messages a second, no audio, and a shell script or a person with
`socat` must be able to read them: echo '{"type":"GetStatus"}' | socat -t2 - UNIX-CONNECT:/run/sidetone/api.sock
A reader ignores keys it does not know, so that keys can be added. Times are seconds of the call's audio; instants are
UTC in ISO 8601. Who may connect is decided by the socket's mode.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import msgspec

from appliance.errors import ApiError

MAX_LINE_BYTES = 1024 * 1024
MAX_ALARMS = 20


class Message(msgspec.Struct, frozen=True, tag=True):
    """Base of everything on the wire; the key "type" holds the class's name."""


# Parts of messages ---------------------------------------------------------------------------------------------------


class RegistrationState(enum.StrEnum):
    OFF = "off"
    TRYING = "trying"
    REGISTERED = "registered"
    REFUSED = "refused"
    LOST = "lost"


class Registration(msgspec.Struct, frozen=True):
    """`detail` says why, in words for an operator; "" when all is well."""

    state: RegistrationState = RegistrationState.OFF
    detail: str = ""


class ActiveCall(msgspec.Struct, frozen=True):
    """A call that is up. `state` is the core's word for what is going on ("listening", "speaking", ...).

    `dialer_call_id` is the dialer's own id of it, "" where that is not known (yet).
    """

    call: str
    caller_name: str
    caller_number: str
    started_at: str
    state: str
    dialer_call_id: str = ""


class EngineHealth(msgspec.Struct, frozen=True):
    """`engine` is "speech" or "mind"; `backends` names what it runs, `restarts` counts since the daemon started."""

    engine: str
    up: bool
    backends: dict[str, str]
    restarts: int = 0


class Media(msgspec.Struct, frozen=True):
    """Counts since the daemon started, in frames of 20 ms.

    late: over 5 ms behind the clock. underrun: silence was sent in the middle of an utterance. overrun: the caller's
    audio came and had no room. path: how long a frame of the caller is with us, from the media clock's beat that brought
    it to the call logic having dealt with it.
    """

    late_frames: int = 0
    underruns: int = 0
    overruns: int = 0
    path_p50_ms: float = 0.0
    path_p99_ms: float = 0.0
    path_max_ms: float = 0.0


class StoreHealth(msgspec.Struct, frozen=True):
    """`detail` says what fails while not healthy; `lost` counts what could not be kept for later (rows and seconds)."""

    healthy: bool = True
    detail: str = ""
    lost_rows: int = 0
    lost_audio_s: float = 0.0


class DialerHealth(msgspec.Struct, frozen=True):
    """`kind` is "vicidial", "pbx" or "queue". `reachable` is None before its API was asked for the first time, and where it
    has none. `locked`: it refused our password; nothing is sent till a restart or `sidetone outbox retry`.

    `lines` is how many calls the dialer was last asked for, None where it cannot be told. `outbox` counts what is owed to
    it, `outbox_parked` what can never be delivered as it is; `outbox_oldest_s` is how long the oldest has waited;
    `outbox_lost` counts what was given up since the start, for no disk took it.
    `mailbox` counts voicemails in the phone's box: each is a customer who met nobody.
    """

    kind: str = "pbx"
    reachable: bool | None = None
    locked: bool = False
    detail: str = ""
    lines: int | None = None
    shadow: bool = False
    outbox: int = 0
    outbox_parked: int = 0
    outbox_oldest_s: float = 0.0
    outbox_lost: int = 0
    mailbox: int = 0


# From the daemon -----------------------------------------------------------------------------------------------------


class Status(Message, frozen=True):
    """Everything at one moment. First message of a subscription; what follows are changes to it.

    `alarms` are the last MAX_ALARMS since the daemon started, the newest first. `refused_invites` counts
    the calls of strangers, which the box never takes.
    """

    version: str
    started_at: str
    lines: int
    draining: bool
    registration: Registration
    calls: list[ActiveCall]
    engines: list[EngineHealth]
    media: Media
    store: StoreHealth
    dialer: DialerHealth = DialerHealth()
    alarms: list[Alarm] = []
    refused_invites: int = 0

    def as_json(self) -> dict[str, Any]:
        """As plain data for `json.dumps`."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data


class RegistrationChanged(Message, frozen=True):
    registration: Registration


class CallStarted(Message, frozen=True):
    call: str
    caller_name: str
    caller_number: str
    started_at: str


class TurnHappened(Message, frozen=True):
    """See `calls.effects.TurnTaken`; `who` is "caller" or "agent"."""

    call: str
    who: str
    text: str
    start_s: float
    end_s: float
    gap_ms: float | None
    cut: bool


class CallEnded(Message, frozen=True):
    """Sent when the files are complete. `recording` and `transcript` are paths, None where there is none."""

    call: str
    outcome: str
    slots: dict[str, str]
    duration_s: float
    recording: str | None
    transcript: str | None
    transferred: bool = False


class EngineChanged(Message, frozen=True):
    engine: EngineHealth


class MediaChanged(Message, frozen=True):
    media: Media


class StoreChanged(Message, frozen=True):
    store: StoreHealth


class DialerChanged(Message, frozen=True):
    dialer: DialerHealth


class Alarm(Message, frozen=True):
    """Something that an operator should know now. `kind` names it ("voicemail", "api_down", "outbox_old", "locked", ...)."""

    kind: str
    message: str
    at: str


class DrainStarted(Message, frozen=True):
    """No new calls; running ones may take `limit_s`."""

    limit_s: float


class FellBehind(Message, frozen=True):
    """Last message to a subscriber that read too slowly: `missed` messages were dropped. Subscribe again."""

    missed: int


class Accepted(Message, frozen=True):
    """The request is being carried out."""


class Refused(Message, frozen=True):
    """The request was not understood or not possible. The daemon closes the connection after it."""

    message: str
    hint: str = ""


# To the daemon -------------------------------------------------------------------------------------------------------


class GetStatus(Message, frozen=True):
    """Answered by one `Status`."""


class Subscribe(Message, frozen=True):
    """Answered by a `Status`, then every `Change` as it happens."""


class RetryOutbox(Message, frozen=True):
    """Try again what was parked, and after a refused password everything. Answered by `Accepted`."""


class Drain(Message, frozen=True):
    """Take no new calls, let running ones end, stop. `limit_s` None: the settings' limit. Answered by `Accepted`."""

    limit_s: float | None = None


Change = (
    RegistrationChanged
    | CallStarted
    | TurnHappened
    | CallEnded
    | EngineChanged
    | MediaChanged
    | StoreChanged
    | DialerChanged
    | Alarm
    | DrainStarted
)
FromDaemon = Status | Change | FellBehind | Accepted | Refused
ToDaemon = GetStatus | Subscribe | Drain | RetryOutbox

_encoder = msgspec.json.Encoder()
_M = TypeVar("_M")


def pack(message: Message) -> bytes:
    """One message as it goes on the socket."""
    return _encoder.encode(message) + b"\n"


class Unpacker(Generic[_M]):
    """Bytes in any pieces -> whole messages. Raises ApiError on a line that is none, or is over MAX_LINE_BYTES."""

    def __init__(self, decoder: msgspec.json.Decoder[_M]) -> None:
        self._decoder = decoder
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[_M]:
        self._buffer += data
        while (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            try:
                yield self._decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as e:
                raise ApiError(f"not a message: {e}") from None
        if len(self._buffer) > MAX_LINE_BYTES:
            raise ApiError(f"a line of more than {MAX_LINE_BYTES} bytes")


def from_daemon() -> Unpacker[FromDaemon]:
    return Unpacker(msgspec.json.Decoder(FromDaemon))


def to_daemon() -> Unpacker[ToDaemon]:
    return Unpacker(msgspec.json.Decoder(ToDaemon))
