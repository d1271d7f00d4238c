"""The rows of VICIdial's answers as plain data: pure. What does not fit is None, never half a row."""

from __future__ import annotations

import re

import msgspec

from appliance.dialers.vicidial.replies import Reply, Shape

_LEAD = (
    "status|user|vendor_lead_code|source_id|list_id|gmt_offset_now|phone_code|phone_number|title|first_name|middle_initial|"
    "last_name|address1|address2|address3|city|state|province|postal_code|country_code|gender|date_of_birth|alt_phone|email|"
    "security_phrase|comments|called_count|last_local_call_time|rank|owner|entry_list_id|lead_id"
).split("|")
_STATUS = (
    "status|callerid|lead_id|campaign_id|calls_today|full_name|user_group|user_level|pause_code|real_time_sub_status|"
    "phone_number|vendor_lead_code|session_id"
).split("|")
_CALL = "call_id|custtime|call_date|phone|call_type|campaign_id|list_id|status|user".split("|")
_CALLBACK = (
    "lead_id|callback_type|recipient|callback_status|lead_status|callback_date|entry_date|user|list_id|campaign_id|"
    "user_group|customer_timezone|customer_time|comments"
).split("|")
_AGENT = "user|campaign_id|session_id|status|lead_id|callerid|calls_today|full_name|user_group|user_level".split("|")
_BUILD = re.compile(r"[0-9]{6}-[0-9]{4}")
_OFFSET_MOST_H = 14.0


class Version(msgspec.Struct, frozen=True):
    """`build` is yymmdd-HHMM, so two compare as text; `utc_offset_h` is the dialer's zone now, None from old builds.

    `epoch_s` is its clock, seconds since 1970.
    """

    version: str
    build: str
    utc_offset_h: float | None
    epoch_s: int


class AgentStatus(msgspec.Struct, frozen=True):
    """One line of the remote agent, or one agent. `sub_status` is DEAD when the customer has hung up."""

    user: str
    status: str
    call_id: str
    sub_status: str
    phone: str


class Agent(msgspec.Struct, frozen=True):
    """Somebody who is logged in, remote agents among them."""

    user: str
    status: str
    call_id: str
    sub_status: str


class CallInfo(msgspec.Struct, frozen=True):
    """What the call's log says. `campaign` is an in-group for inbound calls."""

    call_id: str
    campaign: str
    status: str
    user: str


class CallbackInfo(msgspec.Struct, frozen=True):
    """`at` is YYYY-MM-DD HH:MM:SS of the dialer's clock, zeros where it did not understand the date it was given."""

    at: str
    campaign: str
    status: str


def version(reply: Reply) -> Version | None:
    """`VERSION: 2.14-202|BUILD: 250720-1841|DATE: ...|EPOCH: ...|DST: 0|TZ: 0.00|TZNOW: 0.00|`"""
    if reply.shape is not Shape.ROWS:
        return None
    said = {name.strip(): value.strip() for name, _, value in (part.partition(":") for part in reply.rows[0])}
    if not said.get("VERSION") or not _BUILD.fullmatch(said.get("BUILD", "")):
        return None
    epoch = said.get("EPOCH", "")
    if not re.fullmatch(r"[0-9]{9,11}", epoch):
        return None  # cut off: its zone would be missing as well
    return Version(said["VERSION"][:40], said["BUILD"], offset_h(said.get("TZNOW", "")), int(epoch))


def offset_h(text: str) -> float | None:
    """Hours from UTC, None where `text` is not one."""
    try:
        hours = float(text)
    except ValueError:
        return None
    return hours if abs(hours) <= _OFFSET_MOST_H else None


def agent_status(reply: Reply, user: str) -> AgentStatus | None:
    row = _only_row(reply, _STATUS, free="full_name")
    if row is None:
        return None
    call_id = row.get("callerid") or row.get("call_id", "")
    return AgentStatus(user, row.get("status", ""), call_id, row.get("real_time_sub_status", ""), row.get("phone_number", ""))


def agents(reply: Reply) -> list[Agent] | None:
    """Rows that do not fit are left out; None where it is no table at all."""
    if reply.shape is not Shape.ROWS:
        return None
    names, rows = _table(reply.rows, _AGENT)
    found = [fitted for row in rows if (fitted := _fit(names, row, "full_name")) is not None]
    if rows and not found:
        return None
    return [
        Agent(row.get("user", ""), row.get("status", ""), row.get("callerid", ""), row.get("sub_status", "")) for row in found
    ]


def lead(reply: Reply, lead_id: int) -> dict[str, str] | None:
    """All fields by their names, custom ones too. None unless the row is of `lead_id`."""
    row = _only_row(reply, _LEAD, free="comments")
    return row if row is not None and row.get("lead_id") == str(lead_id) else None


def call_info(reply: Reply, call_id: str) -> CallInfo | None:
    row = _only_row(reply, _CALL, free="")
    if row is None or row.get("call_id") != call_id:
        return None
    return CallInfo(call_id, row.get("campaign_id", ""), row.get("status", ""), row.get("user", ""))


def callbacks(reply: Reply, lead_id: int) -> list[CallbackInfo] | None:
    if reply.shape is not Shape.ROWS:
        return None
    names, rows = _table(reply.rows, _CALLBACK)
    found = [fitted for row in rows if (fitted := _fit(names, row, "comments")) is not None]
    mine = [row for row in found if row.get("lead_id") == str(lead_id)]
    return [
        CallbackInfo(row.get("callback_date", ""), row.get("campaign_id", ""), row.get("callback_status", "")) for row in mine
    ] or None


def _only_row(reply: Reply, known: list[str], free: str) -> dict[str, str] | None:
    """The one row of the answer. Where a text in it has newlines, the lines are put together again."""
    if reply.shape is not Shape.ROWS:
        return None
    names, rows = _table(reply.rows, known)
    return _fit(names, tuple(" ".join("|".join(row) for row in rows).split("|")), free)


def _table(rows: tuple[tuple[str, ...], ...], known: list[str]) -> tuple[list[str], tuple[tuple[str, ...], ...]]:
    """Names of the columns, and the rows. The header counts where it is sent: the columns' order differs by build."""
    first = [name.strip() for name in rows[0]]
    if 2 * len(set(known) & set(first)) > len(known):
        return first, rows[1:]
    return known, rows


def _fit(names: list[str], row: tuple[str, ...], free: str) -> dict[str, str] | None:
    """`row` by the names; a text with "|" in it, in the column `free`, is put together again."""
    names = names[:-1] if names[-1:] == [""] else names
    extra = len(row) - len(names)
    if extra == 1 and row[-1] == "" and free != names[-1]:
        row, extra = row[:-1], 0
    if extra > 0 and free in names:
        at = names.index(free)
        row = (*row[:at], "|".join(row[at : at + extra + 1]), *row[at + extra + 1 :])
    if len(row) != len(names):
        return None
    return {name: value.strip() for name, value in zip(names, row, strict=True)}
