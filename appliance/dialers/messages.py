"""What the dialer's desk tells the daemon, and what it may be asked. Frozen, plain data."""

from __future__ import annotations

import msgspec

from appliance.calls import effects, events
from appliance.dialers.protocol import DialerCall, Lead


class Correlated(msgspec.Struct, frozen=True):
    """Whose call it is. `lead` is None where the dialer did not say in time, or has none."""

    call: str
    ref: DialerCall
    lead: Lead | None


class ReferWanted(msgspec.Struct, frozen=True):
    """This dialer transfers by REFER: send one, with `context` for whoever takes the call (at most 255 bytes), and tell
    `Desk.referred` what came of it."""

    call: str
    refer_to: str
    context: str


class LinesTold(msgspec.Struct, frozen=True):
    """The dialer was asked for so many calls at once and took it, or never will (an old one, one without such a thing)."""

    lines: int
    taken: bool


class Alarm(msgspec.Struct, frozen=True):
    """Something that an operator should know now."""

    kind: str
    message: str


class DeskHealth(msgspec.Struct, frozen=True):
    """See `api.wire.DialerHealth`."""

    reachable: bool | None = None
    locked: bool = False
    detail: str = ""
    lines: int | None = None
    outbox: int = 0
    outbox_parked: int = 0
    outbox_oldest_s: float = 0.0
    outbox_lost: int = 0


FromDesk = (
    Correlated
    | ReferWanted
    | LinesTold
    | Alarm
    | DeskHealth
    | events.Released
    | events.TransferFailed
    | events.CallbackSet
    | events.CallbackRefused
    | events.CallbackLost
)
ForDesk = effects.Release | effects.Transfer | effects.OptOut | effects.BookCallback
