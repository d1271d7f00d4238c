"""What can happen to a call. Frozen, plain data; built by the shell, handled by `Call.handle(event, now)`.

`now` is monotonic seconds. Audio time is counted in samples at 8 kHz from the first frame of the call's media.
"""

from __future__ import annotations

import enum

import msgspec


class Event(msgspec.Struct, frozen=True, tag=True):
    """One thing that happened to the call `call` (the switchboard's own id, unique within a run and readable)."""

    call: str


class Incoming(Event, frozen=True):
    """An INVITE arrived. `caller_name` and `caller_number` come from its From header.

    `ids` are the texts in which a dialer may have put its own id of the call, the most trusted first: the From name, the
    names in Remote-Party-ID and P-Asserted-Identity, the headers of `sip.id_headers`. From the network: believe nothing.
    """

    caller_name: str
    caller_number: str
    sip_call_id: str
    ids: tuple[str, ...] = ()


class MediaStarted(Event, frozen=True):
    """The call is confirmed and its first audio frame was exchanged. Audio time 0."""


class HungUp(Event, frozen=True):
    """The SIP leg is gone. `code` is the SIP status (200 for a BYE); `by_us` says who sent the BYE."""

    code: int
    reason: str
    by_us: bool


class Heard(Event, frozen=True):
    """The engines' verdict on one 20 ms frame of the caller.

    `text` is the transcript so far of the caller's current stretch of speech (lower case, changed words replaced),
    None when unchanged since the last row. `level_dbov` is the frame's RMS level, 0 = full scale, -127 = silence.
    `outbound_dbov` is the level of what we sent the caller in the same 20 ms.
    """

    at_samples: int
    speech: float
    level_dbov: float
    outbound_dbov: float
    text: str | None = None


class Transcribed(Event, frozen=True):
    """The recognizer's final text for the stretch of speech that `effects.Finalize(turn)` closed."""

    turn: int
    text: str


class Voiced(Event, frozen=True):
    """All audio of clause `clause` of `utterance` is synthesized: so many samples. Zero means it could not be."""

    utterance: int
    clause: int
    samples: int


class Played(Event, frozen=True):
    """How much of `utterance` has left for the caller, in samples; `finished` when nothing of it is left to play.

    `at_samples` is the audio time at the end of the last frame that left. Comes at least every 0.2 s while the utterance
    is played, for a sentence that stops half-way is noticed by these no longer coming.
    """

    utterance: int
    samples: int
    finished: bool
    at_samples: int


class Understanding(msgspec.Struct, frozen=True):
    """What the caller meant. `intent` is an id of the campaign (an answer, an objection, a built-in) or None.

    `slot` is the value of the asked question's slot, normalized to text ("yes", "no", "1987", "4155550123"), or None.
    """

    intent: str | None = None
    slot: str | None = None


class Understood(Event, frozen=True):
    """The mind's answer to `effects.Understand(request)`."""

    request: int
    understanding: Understanding


class Phrased(Event, frozen=True):
    """One clause of the mind's answer to `effects.Phrase(request)`; `last` closes it (its text may be empty)."""

    request: int
    text: str
    last: bool


class Engine(enum.Enum):
    SPEECH = "speech"
    MIND = "mind"


class EngineLost(Event, frozen=True):
    """The engine's process is gone; everything asked of it is lost."""

    engine: Engine


class EngineBack(Event, frozen=True):
    """The engine's process answers again and knows the campaign and this call."""

    engine: Engine


class StopAsked(Event, frozen=True):
    """The box must stop: say goodbye and end."""


class Released(Event, frozen=True):
    """The answer to `effects.Release` and to a `effects.Transfer` that went well.

    `by_dialer`: the dialer ends our leg itself, its BYE is on its way. Otherwise it is for us to hang up.
    """

    by_dialer: bool


class TransferFailed(Event, frozen=True):
    """Nobody took the caller. `nobody`: no human is logged in; otherwise it could not be done at all."""

    nobody: bool


class CallbackSet(Event, frozen=True):
    """The answer to `effects.BookCallback`: it is kept. `said` is the time in words: "Monday at ten in the morning"."""

    said: str


class CallbackRefused(Event, frozen=True):
    """The answer to `effects.BookCallback`: not at that time. `hours` in words: "between nine in the morning and eight in
    the evening"; "" where the time could not be understood."""

    hours: str


class CallbackLost(Event, frozen=True):
    """The answer to `effects.BookCallback`: nobody will keep it, so nothing may be promised."""


AnyEvent = (
    Incoming
    | MediaStarted
    | HungUp
    | Heard
    | Transcribed
    | Voiced
    | Played
    | Understood
    | Phrased
    | EngineLost
    | EngineBack
    | StopAsked
    | Released
    | TransferFailed
    | CallbackSet
    | CallbackRefused
    | CallbackLost
)
