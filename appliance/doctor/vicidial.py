"""VICIdial's two APIs: do they answer, may our user do what the box needs, and does the dialer have what the settings name?

Every probe is such that it cannot change anything, whatever the answer: reads, and writes about what cannot exist. In shadow
mode there are only reads.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from appliance.config.settings import Vicidial
from appliance.dialers.protocol import Control, Dialer, DialerCall
from appliance.dialers.vicidial.client import IMPOSSIBLE_CALL, IMPOSSIBLE_STATUS, Client, Stage, Told
from appliance.dialers.vicidial.dialer import OLDEST_BUILD, line_users
from appliance.dialers.vicidial.wire import Api, Trouble, VicidialError
from appliance.doctor import box
from appliance.doctor.findings import Finding, Level

IMPOSSIBLE_LEAD = 4_294_967_295
"""The last number that vicidial_list.lead_id (INT UNSIGNED) can have."""
SHORT_PHONE = "123"
"""add_dnc_phone takes no number of fewer than 6 digits."""
ACTIVE_TODO = "set it INACTIVE (Admin, Remote Agents), wait a minute, and run the doctor again"

_DEAD = (Trouble.UNREACHABLE, Trouble.UNCLEAR, Trouble.LOCKED, Trouble.SHUT)


class ApiReport(NamedTuple):
    """`busy`: the remote agent is active, so that a phone that registers to test would meet customers."""

    findings: list[Finding]
    busy: bool


class Probe(NamedTuple):
    """What the box needs a function for, and how to ask for it without doing anything."""

    function: str
    used_for: str
    ask: Callable[[], Awaitable[object]]


async def examine_api(client: Client, settings: Vicidial, lines: int, *, running: bool, shadow: bool = False) -> ApiReport:
    """Stops at the first sign of a refused password. `lines` is how many the box takes, `running` whether it does now.

    With `shadow`, `client` is one that is read only.
    """
    found = _Findings()
    if not await _versions(client, found):
        return ApiReport(found.all, False)
    if not await _password(client, settings, found):
        return ApiReport(found.all, False)
    await _permissions(client, settings, found)
    busy = await _remote_agent(client, settings, lines, found, running=running, shadow=shadow)
    await _groups(client, settings, found)
    return ApiReport(found.all, busy)


async def rescue(dialer: Dialer, strays: Sequence[DialerCall], status: str) -> list[Finding]:
    """Send on the customers who came in the middle of a test call."""
    findings = []
    for stray in strays:
        done = await dialer.rescue(stray, status)
        if done.how in (Control.DONE, Control.GONE):
            told = "was sent to a human" if done.how is Control.DONE else "has hung up"
            findings.append(Finding("rescue", Level.WARN, f"the customer of {stray.call_id} {told}", ACTIVE_TODO))
        else:
            todo = "they are in the phone's voicemail: take the call over on the dialer's real-time screen"
            found = f"the customer of {stray.call_id} could not be sent on: {done.detail}"
            findings.append(Finding("rescue", Level.FAIL, found, todo))
    return findings


class _Findings:
    def __init__(self) -> None:
        self.all: list[Finding] = []

    def add(self, check: str, level: Level, found: str, todo: str = "") -> None:
        self.all.append(Finding(check, level, found, todo))

    def trouble(self, check: str, error: VicidialError, todo: str = "") -> None:
        self.add(check, Level.FAIL, error.message, todo or error.hint)


async def _versions(client: Client, found: _Findings) -> bool:
    """Both scripts answer without a login; this is also where the clocks are compared."""
    for api, check in ((Api.AGENT, "agent API"), (Api.ADMIN, "non-agent API")):
        asked_at = time.time()
        try:
            version = await client.version(api)
        except VicidialError as error:
            key = "agent_path" if api is Api.AGENT else "admin_path"
            found.trouble(check, error, f"is dialer.vicidial.url right, and {key}? open it in a browser: it must say VERSION")
            return False
        found.add(check, Level.PASS, f"version {version.version}, build {version.build}")
        if api is Api.ADMIN:
            old = version.build < OLDEST_BUILD
            if old:
                todo = (
                    "update VICIdial, or pause and resume the remote agent by hand and set dialer.vicidial.manage_lines = false"
                )
                found.add("build", Level.WARN, f"before {OLDEST_BUILD} there is no update_remote_agent", todo)
            # The answer has whole seconds: on average half of one is missing.
            found.all.append(box.clock(version.epoch_s + 0.5, (asked_at + time.time()) / 2))
    return True


async def _password(client: Client, settings: Vicidial, found: _Findings) -> bool:
    """One request with the password. A second wrong one would be a step towards the lock-out after ten."""
    try:
        await client.agent_status(settings.agent_user)
    except VicidialError as error:
        if error.trouble in _DEAD:
            found.trouble("password", error)
            return False
    found.add("password", Level.PASS, f"{settings.user} is let in")
    return True


def _probes(client: Client, settings: Vicidial) -> list[Probe]:
    no_status = IMPOSSIBLE_STATUS
    probes = [
        Probe(
            "ra_call_control",
            "end and transfer calls",
            lambda: client.control(IMPOSSIBLE_CALL, Stage.HANGUP, no_status),  # no such call: nothing is ended
        ),
        Probe("agent_status", "find whose call it is, and stranded ones", lambda: client.agent_status(settings.agent_user)),
        Probe("logged_in_agents", "see whether a human is there to transfer to", client.logged_in_agents),
        Probe("callid_info", "verify the outcome", lambda: client.call_info(IMPOSSIBLE_CALL)),
        Probe("lead_all_info", "know who is on the line", lambda: client.lead(IMPOSSIBLE_LEAD)),
        Probe("lead_callback_info", "verify callbacks", lambda: client.callbacks(IMPOSSIBLE_LEAD)),
        Probe("campaigns_list", "the doctor", client.campaigns),
        Probe("update_lead", "statuses, summaries, callbacks", lambda: client.update_lead(IMPOSSIBLE_LEAD, status=no_status)),
        Probe(
            "update_log_entry",
            "repair the outcome",
            lambda: client.update_log_entry(settings.campaign, IMPOSSIBLE_CALL, no_status),
        ),
        Probe("add_dnc_phone", "opt-outs", lambda: client.add_dnc_phone(SHORT_PHONE, settings.dnc_scope)),
    ]
    if settings.manage_lines:  # with no field to change it is refused, if it is permitted at all
        probes.append(Probe("update_remote_agent", "pause, resume, capacity", client.update_remote_agent))
    return probes


async def _permissions(client: Client, settings: Vicidial, found: _Findings) -> None:
    for probe in _probes(client, settings):
        check = f"permission {probe.function}"
        try:
            await probe.ask()
        except VicidialError as error:
            if error.trouble is Trouble.FORBIDDEN:
                found.trouble(check, error)
            elif error.trouble is Trouble.READ_ONLY:
                told = f"not asked for: shadow mode writes nothing; needed without it for: {probe.used_for}"
                found.add(check, Level.SKIP, told)
            elif error.trouble is Trouble.TOO_OLD:
                found.add(check, Level.WARN, f"this build does not know it; needed for: {probe.used_for}", error.hint)
            elif error.trouble in _DEAD:
                found.trouble(check, error)
                if error.trouble is Trouble.LOCKED:
                    return
            else:  # refused for what was asked, as it should be
                found.add(check, Level.PASS, f"granted; needed for: {probe.used_for}")
        else:
            found.add(check, Level.PASS, f"granted; needed for: {probe.used_for}")


async def _remote_agent(
    client: Client, settings: Vicidial, lines: int, found: _Findings, *, running: bool, shadow: bool
) -> bool:
    """Is it there, and does it take calls exactly when somebody is here to take them?"""
    check, user = "remote agent", settings.agent_user
    try:
        if settings.manage_lines and not shadow and await client.update_remote_agent() is Told.GONE:
            todo = "dialer.vicidial.agent_user is the User Start of the remote agent (Admin, Remote Agents): is it there?"
            found.add(check, Level.FAIL, f"there is no remote agent whose User Start is {user}", todo)
            return False
        rows = await client.logged_in_agents()
    except VicidialError as error:
        found.add(check, Level.SKIP, f"cannot be asked for: {error.message}")
        return False
    ours = line_users(user, lines)
    active = [row for row in rows if row.user in ours and row.status != "PAUSED"]
    if shadow and active:
        todo = f"in shadow mode the box is only given copies of other people's calls: {ACTIVE_TODO}"
        found.add(check, Level.FAIL, f"{user} is ACTIVE in shadow mode: its customers would meet silence", todo)
    elif not active and shadow:
        found.add(check, Level.PASS, f"{user} takes no calls (INACTIVE), as it should be in shadow mode")
    elif not active and running:
        todo = "set it ACTIVE (Admin, Remote Agents) when calls are wanted; do the users of its lines exist?"
        found.add(check, Level.WARN, f"{user} takes no calls (INACTIVE) while the box is ready for them", todo)
    elif not active:
        found.add(check, Level.PASS, f"{user} takes no calls (INACTIVE), as it should be while the box does not run")
    elif not running:
        told = f"{user} is ACTIVE with {len(active)} lines while nobody takes calls: customers go to the phone's voicemail"
        found.add(check, Level.FAIL, told, ACTIVE_TODO)
    elif len(active) < lines:
        todo = "set its Number of Lines, and create the users of the further ones; the box asks for fewer under load"
        found.add(check, Level.WARN, f"{user} has {len(active)} lines, capacity.lines is {lines}", todo)
    else:
        found.add(check, Level.PASS, f"{user} is ACTIVE with {len(active)} lines")
    return bool(active)


async def _groups(client: Client, settings: Vicidial, found: _Findings) -> None:
    try:
        rows = await client.campaigns()
    except VicidialError as error:
        found.add("campaign", Level.SKIP, f"cannot be asked for: {error.message}")
    else:
        row = next((row for row in rows if row and row[0].strip() == settings.campaign), None)
        if row is None:
            found.add("campaign", Level.FAIL, f"there is no campaign {settings.campaign}", "check dialer.vicidial.campaign")
        elif len(row) > 2 and row[2].strip() in ("N", "NO", "INACTIVE"):
            found.add("campaign", Level.WARN, f"{settings.campaign} is not active", "activate it: Admin, Campaigns")
        else:
            found.add("campaign", Level.PASS, f"{settings.campaign} is there")
    named = {key: getattr(settings, key) for key in ("transfer_to", "overflow_to", "rescue_to")}
    if not named["transfer_to"]:
        todo = "set dialer.vicidial.transfer_to: without it nobody is handed to a human, nor saved from the voicemail"
        found.add("in-groups", Level.WARN, "no in-group is set", todo)
    for key, group in named.items():
        if not group:
            continue
        try:
            there = await client.has_group(group)
        except VicidialError as error:
            found.add(f"in-group {group}", Level.SKIP, f"cannot be asked for: {error.message}")
            continue
        if there:
            found.add(f"in-group {group}", Level.PASS, f"is there ({key})")
        else:
            found.add(f"in-group {group}", Level.FAIL, "does not exist", f"check dialer.vicidial.{key}")
