"""What a dialer is to the box, and the words the two share. Pure data and one Protocol."""

from __future__ import annotations

import enum
from typing import Protocol

import msgspec

from appliance.calls.events import Incoming


class DialerCall(msgspec.Struct, frozen=True):
    """One call as the dialer knows it. `call_id` is the dialer's own ("V1221347110000000010"); `lead_id` is in it."""

    call_id: str
    lead_id: int


class Lead(msgspec.Struct, frozen=True):
    """What the dialer knows of the person. `gmt_offset_h` is the lead's own zone, None where the dialer has none.

    `phone` has digits only, without the country's code. `fields` holds everything the dialer gave, by its own names.
    """

    lead_id: int
    phone: str
    status: str = ""
    first_name: str = ""
    last_name: str = ""
    gmt_offset_h: float | None = None
    comments: str = ""
    fields: dict[str, str] = {}


class Control(enum.Enum):
    """How a call is really ended or moved."""

    DONE = "done"  # the dialer does it and ends our leg itself: its BYE is on its way
    LEG = "leg"  # nothing to tell this dialer, or not of this call: end the leg
    REFER = "refer"  # send REFER to `Controlled.refer_to`
    GONE = "gone"  # the dialer has the call no more: the customer hung up. A normal outcome
    FAILED = "failed"  # not possible now; `Controlled.detail` says why, without secrets


ALREADY_SO = "already"
"""`Controlled.detail` of a DONE that changed nothing, where the dialer says so."""


class Controlled(msgspec.Struct, frozen=True):
    """`unclear`: it FAILED as far as we were told, and may have happened all the same."""

    how: Control
    detail: str = ""
    refer_to: str = ""
    unclear: bool = False


class EntryKind(enum.Enum):
    """What is owed to the dialer. Each is written at most once: looked up before it is tried again."""

    SETTLE = "settle"  # data: status, group: the call's log must say so; verified about 1 s after its end, else repaired
    # data: fields of the lead by the dialer's names, "comments" among them; "custom:NAME" is a custom field. "was" is no field:
    # the comments that ours are meant to replace, so that a late entry can tell whether somebody has written others since
    LEAD = "lead"
    DNC = "dnc"  # data: phone (where the dialer's lead has none), scope (a campaign id or SYSTEM_INTERNAL)
    CALLBACK = "callback"  # data: at (YYYY-MM-DD HH:MM:SS, dialer's time), status, comments, campaign; or remove: all go


class Entry(msgspec.Struct, frozen=True):
    """One line of the outbox. Lines with the same `lead_id` are delivered in the order of their ids, one at a time.

    `attempts` counts the tries so far; over 0 means that the write may have happened, so look first. `created_at` and
    `not_before` are seconds since 1970. `transferred` (SETTLE): the lead now is somebody else's, leave its status alone.
    """

    id: int
    kind: EntryKind
    call_id: str
    lead_id: int
    data: dict[str, str]
    created_at: float
    not_before: float = 0.0
    attempts: int = 0
    error: str = ""
    parked: bool = False
    transferred: bool = False


class OutboxCounts(msgspec.Struct, frozen=True):
    """`open` is all that is owed, `parked` is how many of it wait for an operator, `oldest_s` is for how long the oldest of
    the others has waited.

    `failing` says why the disk takes nothing ("" when all is well), `unwritten` how much only memory has because of it,
    `lost` how many were given up since the start because that was too much.
    """

    open: int = 0
    parked: int = 0
    oldest_s: float = 0.0
    failing: str = ""
    unwritten: int = 0
    lost: int = 0


class Delivery(enum.Enum):
    """What became of one try to deliver an entry."""

    DONE = "done"  # written now
    ALREADY = "already"  # the look-up shows that it is there
    SUPERSEDED = "superseded"  # somebody has set something newer: ours must not overwrite it
    LATER = "later"  # the dialer cannot be reached, or is not ready for it
    PARKED = "parked"  # can never succeed as it is (no such lead, no permission): an operator must look
    LOCKED = "locked"  # the dialer refused our password: nothing more is sent till an operator says so


class Delivered(msgspec.Struct, frozen=True):
    """`detail` says why, for an operator, without secrets."""

    what: Delivery
    detail: str = ""


class Health(msgspec.Struct, frozen=True):
    """`reachable` is None before the first request. `locked`: it refused our password, nothing is sent any more.

    `utc_offset_h` is the dialer's own zone, by its clock; None while it has not said so.
    """

    reachable: bool | None = None
    locked: bool = False
    detail: str = ""
    build: str = ""
    utc_offset_h: float | None = None


class Dialer(Protocol):
    """One dialer. The coroutines never raise for what the world does: each says what happened in its answer.

    They are bounded in time (seconds) and called from one asyncio loop, several at once. `identify` is pure and fast.
    """

    @property
    def health(self) -> Health: ...

    @property
    def can_transfer(self) -> bool:
        """Whether `transfer` can be asked for at all."""

    def identify(self, incoming: Incoming) -> DialerCall | None:
        """Whose call this is, by its headers; None for an unknown one: it is talked to, and never controlled."""

    async def find(self, incoming: Incoming) -> DialerCall | None:
        """The slow way, where the headers say nothing: ask the dialer who is on our lines."""

    async def lead(self, call: DialerCall) -> Lead | None:
        """None where there is none, or the dialer does not answer in time."""

    async def release(self, call: DialerCall, status: str) -> Controlled:
        """End the call with this status, before any BYE."""

    async def transfer(self, call: DialerCall | None, to: str, status: str, *, anybody: bool = False) -> Controlled:
        """Hand the caller to `to` (an in-group, a SIP URI). FAILED with detail "nobody" when no human is logged in there.

        `anybody`: do not look for one first, the caller may wait in the queue.
        """

    async def rescue(self, call: DialerCall, status: str) -> Controlled:
        """Send a customer who sits with nobody to a human's queue, with whatever the site has for that."""

    async def deliver(self, entry: Entry) -> Delivered:
        """Write what one entry owes, looking first where `entry.attempts` > 0."""

    async def capacity(self, lines: int, *, resume: bool = False) -> Controlled:
        """Ask for so many calls at once; 0 pauses, `resume` ends a pause. DONE, LEG (this dialer cannot be told), FAILED.

        Without `resume` a pause stays one: it may be an operator's.
        """

    async def stranded(self, ours: frozenset[str]) -> list[DialerCall]:
        """Calls that the dialer holds on our lines while no leg of ours has them (`ours`: ids of ours): voicemail, a crash."""

    async def probe(self) -> None:
        """Ask the dialer anything harmless, so that `health` is true while there is nothing else to ask."""

    def unlock(self) -> None:
        """An operator says that the password is right now: try again."""

    async def close(self) -> None: ...
