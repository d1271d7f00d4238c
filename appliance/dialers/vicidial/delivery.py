"""What is owed to a VICIdial, written at most once: looked up first, and never over what somebody has set since."""

from __future__ import annotations

import re
from typing import assert_never

from appliance.dialers.protocol import Delivered, Delivery, Entry, EntryKind
from appliance.dialers.vicidial.answers import CallInfo
from appliance.dialers.vicidial.client import Callback, Client, Told
from appliance.dialers.vicidial.fields import LeadChange, Status, lead_change
from appliance.dialers.vicidial.wire import Trouble, VicidialError

TRIES = 3  # for what may only need time: a log that is not written yet, a refusal that nobody has seen before

OPEN = frozenset(("", "NEW", "QUEUE", "INCALL", "PU", "NA", "XFER", "RAXFER", "DROP", "PDROP"))
"""Statuses that the dialer itself leaves on a call or a lead that nobody has given one (VICIDIAL_statuses.txt)."""

NO_LEAD = "the dialer has no such lead"
NEVER_AGAIN = frozenset(("DNC", "DNCL", "DNCC", "DNCCAR"))

_AT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")
_PHONE = re.compile(r"[0-9]{6,18}")


async def deliver(client: Client, entry: Entry, known: frozenset[str]) -> Delivered:
    """Try once. `known` are the statuses that the box gives, so that it may correct its own."""
    try:
        match entry.kind:
            case EntryKind.SETTLE:
                return await _settle(client, entry, known)
            case EntryKind.LEAD:
                return await _lead(client, entry)
            case EntryKind.DNC:
                return await _dnc(client, entry)
            case EntryKind.CALLBACK:
                return await _callback(client, entry)
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

    A crash between the two is mended by the next try, which finds the lead right and the log not.
    """
    status = Status(entry.data["status"])
    logged = await client.call_info(entry.call_id)
    if logged is None:
        return Delivered(_later_or_parked(entry), "the dialer has no log of this call")
    if logged.status not in OPEN | known | {status.name}:
        return Delivered(Delivery.SUPERSEDED, f"the call's log says {logged.status}")
    lead_done = await _settle_lead(client, entry, status, logged, known)
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


async def _settle_lead(client: Client, entry: Entry, status: Status, logged: CallInfo, known: frozenset[str]) -> Delivered:
    if entry.transferred:
        return Delivered(Delivery.ALREADY)
    lead = await client.lead(entry.lead_id)
    if lead is None:
        return Delivered(Delivery.PARKED, NO_LEAD)
    has = lead.get("status", "")
    if has == status.name:
        return Delivered(Delivery.ALREADY)
    if not _ours_to_change(has, logged.status, status.name, known):
        return Delivered(Delivery.SUPERSEDED, f"the lead's status is {has} by now")
    if await client.update_lead(entry.lead_id, status=status) is Told.GONE:
        return Delivered(Delivery.PARKED, NO_LEAD)
    return Delivered(Delivery.DONE, f"the lead's status was {has}")


def _ours_to_change(has: str, logged: str, wanted: str, known: frozenset[str]) -> bool:
    """Nobody has given the lead a status, or it still has the one that the box gave it for this very call.

    An opt-out is never taken back, and goes over everything but what only others write.
    """
    if has in NEVER_AGAIN or wanted in NEVER_AGAIN:
        return wanted in NEVER_AGAIN and has in OPEN | known | NEVER_AGAIN
    return has in OPEN or (has == logged and has in known)


async def _lead(client: Client, entry: Entry) -> Delivered:
    change = lead_change(entry.data)
    if not change.listed and not change.custom:
        return Delivered(Delivery.ALREADY, "nothing to write")
    if entry.attempts > 0:
        found = await _looked_up(client, entry.lead_id, change)
        if found.what is not Delivery.LATER:
            return found
    match await client.update_lead(entry.lead_id, change=change):
        case Told.GONE:
            return Delivered(Delivery.PARKED, NO_LEAD)
        case Told.PARTLY:
            found = await _looked_up(client, entry.lead_id, change)
            return Delivered(Delivery.DONE) if found.what is Delivery.ALREADY else found
    return Delivered(Delivery.DONE)


async def _looked_up(client: Client, lead_id: int, change: LeadChange) -> Delivered:
    """ALREADY, PARKED where the lead cannot have these fields, LATER where they are still to be written."""
    wanted = change.listed | change.custom
    has = await client.lead(lead_id, custom=bool(change.custom))
    if has is None:
        return Delivered(Delivery.PARKED, NO_LEAD)
    if missing := sorted(name for name in wanted if name not in has):
        return Delivered(Delivery.PARKED, f"the lead's list has no custom field {', '.join(missing)}")
    if all(has[name] == value for name, value in wanted.items()):
        return Delivered(Delivery.ALREADY)
    return Delivered(Delivery.LATER, "not all of it is on the lead")


async def _dnc(client: Client, entry: Entry) -> Delivered:
    """No look-up: the dialer itself looks before it adds."""
    phone = entry.data["phone"]
    if not _PHONE.fullmatch(phone):
        return Delivered(Delivery.PARKED, "the call's phone number is not known")
    told = await client.add_dnc_phone(phone, entry.data["scope"])
    return Delivered(Delivery.ALREADY if told is Told.ALREADY else Delivery.DONE)


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


async def _is_kept(client: Client, lead_id: int, callback: Callback) -> bool:
    return any(kept.at == callback.at and kept.campaign == callback.campaign for kept in await client.callbacks(lead_id))
