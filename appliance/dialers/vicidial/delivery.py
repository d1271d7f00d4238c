"""What is owed to a VICIdial, written at most once: looked up first, and never over what somebody has set since."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import assert_never

from appliance.dialers.protocol import Delivered, Delivery, Entry, EntryKind
from appliance.dialers.vicidial.answers import CallInfo
from appliance.dialers.vicidial.client import Callback, Client, Told
from appliance.dialers.vicidial.fields import LeadChange, Status, clean, lead_change
from appliance.dialers.vicidial.wire import Trouble, VicidialError

TRIES = 3  # for what may only need time: a log that is not written yet, a refusal that nobody has seen before

LATE_S = 60.0  # an entry that is older may meet what somebody has written since

UNDERWAY = frozenset(("", "NEW", "QUEUE", "INCALL", "PU", "NA"))
OPEN = UNDERWAY | {"XFER", "RAXFER", "DROP", "PDROP"}
"""Statuses that the dialer itself leaves on a call that reached us and that nobody has given one (VICIDIAL_statuses.txt).

Its others (AB, B, AA, ADC, ADCT, N ...) are of calls that reached nobody: on a lead they are always another call's.
"""

NO_LEAD = "the dialer has no such lead"
NEVER_AGAIN = frozenset(("DNC", "DNCL", "DNCC", "DNCCAR"))
WAS = "was"
REMOVE = "remove"
STANDING = frozenset(("ACTIVE", "LIVE"))  # callbacks that are still to be made

_AT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")
_PHONE = re.compile(r"[0-9]{6,18}")
_NO_DIGIT = re.compile(r"[^0-9]")


async def deliver(client: Client, entry: Entry, known: frozenset[str], now: float) -> Delivered:
    """Try once. `known` are the statuses that the box gives, so that it may correct its own. `now`: seconds since 1970."""
    try:
        match entry.kind:
            case EntryKind.SETTLE:
                return await _settle(client, entry, known)
            case EntryKind.LEAD:
                return await _lead(client, entry, now)
            case EntryKind.DNC:
                return await _dnc(client, entry)
            case EntryKind.CALLBACK:
                return await (_uncalled if REMOVE in entry.data else _callback)(client, entry)
            case _:
                assert_never(entry.kind)
    except VicidialError as error:
        return Delivered(_after(error.trouble, entry), error.message)
    except (KeyError, ValueError) as error:
        return Delivered(Delivery.PARKED, f"the entry itself is wrong: {error}")


def _after(trouble: Trouble, entry: Entry) -> Delivery:
    match trouble:
        case Trouble.LOCKED:
            return Delivery.LOCKED
        case Trouble.UNREACHABLE | Trouble.UNCLEAR | Trouble.SHUT:
            return Delivery.LATER
        case Trouble.REFUSED:
            return _later_or_parked(entry)
        case Trouble.FORBIDDEN | Trouble.TOO_OLD | Trouble.READ_ONLY:
            return Delivery.PARKED
        case _:
            assert_never(trouble)


def _later_or_parked(entry: Entry) -> Delivery:
    return Delivery.LATER if entry.attempts + 1 < TRIES else Delivery.PARKED


async def _settle(client: Client, entry: Entry, known: frozenset[str]) -> Delivered:
    """The lead first, then the log: the log's old status is what tells whether the lead still has this call's.

    A crash between the two is mended by the next try, which finds the lead right and the log not. An opt-out is written to
    the lead whatever its log says, or where it has none.
    """
    status = Status(entry.data["status"])
    logged = await client.call_info(entry.call_id)
    lead_done = None
    if status.name in NEVER_AGAIN:
        lead_done = await _never_again(client, entry.lead_id, status)
        if lead_done.what is Delivery.PARKED:
            return lead_done
    if logged is None:
        return Delivered(_later_or_parked(entry), "the dialer has no log of this call")
    if logged.status not in OPEN | known | {status.name}:
        return lead_done or Delivered(Delivery.SUPERSEDED, f"the call's log says {logged.status}")
    lead_done = lead_done or await _settle_lead(client, entry, status, logged, known)
    if lead_done.what is Delivery.PARKED:
        return lead_done
    if logged.status == status.name:
        return lead_done
    told = await client.update_log_entry(logged.campaign or entry.data["group"], entry.call_id, status)
    if told is Told.GONE:
        return Delivered(_later_or_parked(entry), "the dialer finds no log entry of this call to correct")
    if lead_done.what is Delivery.SUPERSEDED:
        return lead_done
    return Delivered(Delivery.DONE, f"the call's log said {logged.status}")


async def _never_again(client: Client, lead_id: int, status: Status) -> Delivered:
    """Over whatever the lead has, a human's word and a newer call's too: only an opt-out is as good."""
    lead = await client.lead(lead_id)
    if lead is None:
        return Delivered(Delivery.PARKED, NO_LEAD)
    has = lead.get("status", "")
    if has in NEVER_AGAIN:
        return Delivered(Delivery.ALREADY)
    if await client.update_lead(lead_id, status=status) is Told.GONE:
        return Delivered(Delivery.PARKED, NO_LEAD)
    return Delivered(Delivery.DONE, f"the lead's status was {has}")


async def _settle_lead(client: Client, entry: Entry, status: Status, logged: CallInfo, known: frozenset[str]) -> Delivered:
    if entry.transferred:
        return Delivered(Delivery.ALREADY)
    lead = await client.lead(entry.lead_id)
    if lead is None:
        return Delivered(Delivery.PARKED, NO_LEAD)
    has = lead.get("status", "")
    if has == status.name:
        return Delivered(Delivery.ALREADY)
    if has in NEVER_AGAIN or not _of_this_call(has, logged.status, known):
        return Delivered(Delivery.SUPERSEDED, f"the lead's status is {has} by now")
    if await client.update_lead(entry.lead_id, status=status) is Told.GONE:
        return Delivered(Delivery.PARKED, NO_LEAD)
    return Delivered(Delivery.DONE, f"the lead's status was {has}")


def _of_this_call(has: str, logged: str, known: frozenset[str]) -> bool:
    """Whether the lead's status is the one that this call gave it: not a human's, and not one of a newer call.

    The dialer writes the two together, so they are the same, or the call is not over in its log yet. A lead that was dialled
    again has the newer call's. VICIdial does not tell of a lead's last call in a way that could be compared with ours (its
    last_local_call_time is by the lead's clock of now); where that call ended as ours, in a DROP, what our caller said is
    the better word anyway.
    """
    if has == logged:
        return has in OPEN | known
    return logged in UNDERWAY and has in OPEN


async def _lead(client: Client, entry: Entry, now: float) -> Delivered:
    change = lead_change({name: value for name, value in entry.data.items() if name != WAS})
    if not change.listed and not change.custom:
        return Delivered(Delivery.ALREADY, "nothing to write")
    late = entry.attempts > 0 or now - entry.created_at > LATE_S
    return await _lead_late(client, entry, change) if late else await _write_lead(client, entry.lead_id, change)


async def _lead_late(client: Client, entry: Entry, change: LeadChange) -> Delivered:
    """Looked at first: it may be there, and the comments may be what somebody else has written since."""
    has = await client.lead(entry.lead_id, custom=bool(change.custom))
    found = _compared(has, change)
    if found.what is not Delivery.LATER or has is None:
        return found
    comments = change.listed.get("comments")
    if comments is None or clean(has["comments"]) in ("", comments, clean(entry.data.get(WAS, ""))):
        return await _write_lead(client, entry.lead_id, change)
    rest = LeadChange({name: value for name, value in change.listed.items() if name != "comments"}, change.custom)
    written = await _write_lead(client, entry.lead_id, rest)
    if written.what in (Delivery.DONE, Delivery.ALREADY):
        return Delivered(Delivery.SUPERSEDED, "somebody has written other comments since")
    return written


async def _write_lead(client: Client, lead_id: int, change: LeadChange) -> Delivered:
    if not change.listed and not change.custom:
        return Delivered(Delivery.ALREADY)
    match await client.update_lead(lead_id, change=change):
        case Told.GONE:
            return Delivered(Delivery.PARKED, NO_LEAD)
        case Told.PARTLY:
            found = _compared(await client.lead(lead_id, custom=True), change)
            return Delivered(Delivery.DONE) if found.what is Delivery.ALREADY else found
    return Delivered(Delivery.DONE)


def _compared(has: Mapping[str, str] | None, change: LeadChange) -> Delivered:
    """ALREADY, PARKED where the lead cannot have these fields, LATER where they are still to be written."""
    wanted = change.listed | change.custom
    if has is None:
        return Delivered(Delivery.PARKED, NO_LEAD)
    if missing := sorted(name for name in wanted if name not in has):
        return Delivered(Delivery.PARKED, f"the lead's list has no custom field {', '.join(missing)}")
    if all(has[name] == value for name, value in wanted.items()):
        return Delivered(Delivery.ALREADY)
    return Delivered(Delivery.LATER, "not all of it is on the lead")


async def _dnc(client: Client, entry: Entry) -> Delivered:
    """No look-up: the dialer itself looks before it adds."""
    phone = await _phone_of(client, entry)
    if not _PHONE.fullmatch(phone):
        return Delivered(Delivery.PARKED, "the call's phone number is not known")
    told = await client.add_dnc_phone(phone, entry.data["scope"])
    return Delivered(Delivery.ALREADY if told is Told.ALREADY else Delivery.DONE)


async def _phone_of(client: Client, entry: Entry) -> str:
    """The number that the dialer dials: a caller's own can be withheld, or have a prefix that its list does not match.

    The entry's where there is no such lead, or it may not be asked for: that is no reason not to write an opt-out.
    """
    lead = None
    if entry.lead_id > 0:
        try:
            lead = await client.lead(entry.lead_id)
        except VicidialError as error:
            if _after(error.trouble, entry) is not Delivery.PARKED:
                raise
    phone = _NO_DIGIT.sub("", lead.get("phone_number", "")) if lead is not None else ""
    return phone if _PHONE.fullmatch(phone) else entry.data["phone"]


async def _callback(client: Client, entry: Entry) -> Delivered:
    """Read back: VICIdial answers that it is added also where it did not understand the time."""
    callback = Callback(entry.data["at"], entry.data["campaign"], entry.data.get("comments", ""))
    if not _AT.fullmatch(callback.at):
        raise ValueError("the callback's time is not YYYY-MM-DD HH:MM:SS")
    if entry.attempts > 0 and await _is_kept(client, entry.lead_id, callback):
        return Delivered(Delivery.ALREADY)
    told = await client.update_lead(entry.lead_id, status=Status(entry.data["status"]), callback=callback)
    if told is Told.GONE:
        return Delivered(Delivery.PARKED, NO_LEAD)
    if told is Told.PARTLY:
        return Delivered(Delivery.PARKED, f"the dialer keeps no callback for the campaign {callback.campaign}")
    if await _is_kept(client, entry.lead_id, callback):
        return Delivered(Delivery.DONE)
    return Delivered(Delivery.PARKED, "the dialer said yes and did not keep the callback's time")


async def _uncalled(client: Client, entry: Entry) -> Delivered:
    """Nobody is to call the lead again: none of its callbacks stays, whoever booked it."""
    if not await _standing(client, entry.lead_id):
        return Delivered(Delivery.ALREADY)
    if await client.remove_callbacks(entry.lead_id) is Told.GONE:
        return Delivered(Delivery.PARKED, NO_LEAD)
    if await _standing(client, entry.lead_id):
        return Delivered(_later_or_parked(entry), "the dialer said yes and did not remove the callback")
    return Delivered(Delivery.DONE)


async def _standing(client: Client, lead_id: int) -> bool:
    return any(kept.status in STANDING for kept in await client.callbacks(lead_id))


async def _is_kept(client: Client, lead_id: int, callback: Callback) -> bool:
    return any(kept.at == callback.at and kept.campaign == callback.campaign for kept in await client.callbacks(lead_id))
