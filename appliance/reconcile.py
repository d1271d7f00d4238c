"""Our journal against the dialer's log, call by call: what it should say by our dispositions, and what it says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Sequence

import msgspec

from appliance.calls.shadow import NO_OPINION, ShadowReport, shadow_report
from appliance.config.settings import Dialer
from appliance.dialers.vicidial.answers import CallInfo
from appliance.dialers.vicidial.client import Client
from appliance.store.transcript import CallRecord

PER_S = 5.0
"""Requests a second: the dialer's web server also serves its agents."""
NOT_YET = frozenset({"QUEUE", "INCALL"})
"""Of a call that is up, or whose human has not said yet how it ended."""
DIALERS_USERS = frozenset({"VDAD", "VDCL"})
"""Who a call belongs to before the 10 s tick; a repair leaves it at that."""


class Difference(msgspec.Struct, frozen=True):
    """`what` is "status", "missing", "campaign" or "user"; `ours` and `theirs` are the two values, `todo` what to do."""

    call_id: str
    started_at: str
    what: str
    ours: str
    theirs: str
    todo: str


class Reconciliation(msgspec.Struct, frozen=True):
    """`checked` calls were looked up, `agreed` of them are the same on both sides. Not looked up: `unknown` ones, whose id
    on the dialer was never known, `owed` ones, which are still in the outbox, and `shadow` ones."""

    checked: int
    agreed: int
    unknown: int
    owed: int
    shadow: int
    differences: list[Difference]


def expected_status(record: CallRecord, settings: Dialer) -> str:
    """What the dialer's log must say: as decided at the time, else by the table of today."""
    outcome = "transferred" if record.transferred else record.outcome or ""
    return record.status or settings.status_of(outcome) or ""


def compared(
    record: CallRecord, expected: str, found: CallInfo | None, campaign: str, users: Collection[str]
) -> list[Difference]:
    """One call. `users` are those of our lines. A call that came by an in-group keeps that in the place of the campaign."""
    call_id = record.dialer_call_id or ""

    def differs(what: str, ours: str, theirs: str, todo: str) -> Difference:
        return Difference(call_id, record.started_at, what, ours, theirs, todo)

    if found is None:
        return [
            differs("missing", expected, "", "the dialer has no log of it: was its database restored, is it another dialer?")
        ]
    differences = []
    if found.status in NOT_YET:
        todo = "the call is still up there: end it on the dialer's real-time screen"
        differences.append(differs("status", expected, found.status, todo))
    elif found.status != expected:
        todo = (
            "somebody has changed it since, or our write was lost: look at the lead, and at sidetone outbox --all;"
            " a DROP counts as abandoned till the hour is over"
        )
        differences.append(differs("status", expected, found.status, todo))
    if call_id[:1] in ("V", "M") and found.campaign != campaign:
        differences.append(differs("campaign", campaign, found.campaign, "is dialer.vicidial.campaign the remote agent's?"))
    if found.user not in DIALERS_USERS and found.user not in users:
        todo = "another agent's: is dialer.vicidial.agent_user the User Start, does capacity.lines cover all its lines?"
        differences.append(differs("user", ", ".join(users), found.user, todo))
    return differences


async def reconcile(
    client: Client, records: Sequence[CallRecord], settings: Dialer, *, users: Collection[str], owed: Collection[str]
) -> Reconciliation:
    """`owed`: the dialer's ids of calls whose status is still in the outbox. Raises VicidialError."""
    campaign = settings.vicidial.campaign if settings.vicidial is not None else ""
    told = [record for record in records if not record.shadow]
    known = _latest(told)
    due = [record for record in known if record.dialer_call_id not in owed]
    differences: list[Difference] = []
    agreed = 0
    async for record, found in _looked_up(client, due):
        new = compared(record, expected_status(record, settings), found, campaign=campaign, users=users)
        agreed += not new
        differences += new
    return Reconciliation(
        checked=len(due),
        agreed=agreed,
        unknown=sum(record.dialer_call_id is None for record in told),
        owed=len(known) - len(due),
        shadow=len(records) - len(told),
        differences=differences,
    )


async def shadowed(client: Client, records: Iterable[CallRecord], settings: Dialer) -> tuple[ShadowReport, int]:
    """Our statuses against the humans', for the calls of shadow mode; and how many have none of theirs yet."""
    rows = []
    waiting = 0
    async for record, found in _looked_up(client, _latest([record for record in records if record.shadow])):
        if found is None or found.status in NOT_YET:
            waiting += 1
            continue
        rows.append(("" if record.outcome == NO_OPINION else expected_status(record, settings), found.status))
    return shadow_report(rows), waiting


def _latest(records: Iterable[CallRecord]) -> list[CallRecord]:
    """Those with an id; the last of several with the same: a call can come back to us."""
    return list({record.dialer_call_id: record for record in records if record.dialer_call_id is not None}.values())


async def _looked_up(client: Client, records: Iterable[CallRecord]) -> AsyncIterator[tuple[CallRecord, CallInfo | None]]:
    loop = asyncio.get_running_loop()
    next_at = loop.time()
    for record in records:
        await asyncio.sleep(next_at - loop.time())
        next_at = max(next_at, loop.time() - 1 / PER_S) + 1 / PER_S
        yield record, await client.call_info(record.dialer_call_id or "")
