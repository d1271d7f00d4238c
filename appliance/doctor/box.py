"""The box's own side: files, names, clock, what is still owed to the dialer, and what the journal says of past calls. Pure
but for `resolved`."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from appliance.dialers.courier import OLD_S
from appliance.doctor.findings import Finding, Level
from appliance.store.transcript import CallRecord

CLOCK_WARN_S = 2.0
CLOCK_FAIL_S = 30.0
ENOUGH_CALLS = 5


def resolved(check: str, host: str, key: str) -> Finding:
    """Does the name `host`, which the settings have under `key`, lead to an address?"""
    try:
        found = socket.getaddrinfo(host, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
    except OSError as e:
        todo = f"is {key} right? ask the name server of this box: getent hosts {host}"
        return Finding(check, Level.FAIL, f"{host} has no address: {e.strerror or e}", todo)
    addresses = sorted({str(address[4][0]) for address in found})
    return Finding(check, Level.PASS, host if addresses == [host] else f"{host} is {', '.join(addresses)}")


def clock(theirs_s: float, ours_s: float) -> Finding:
    """The dialer's clock against ours, both in seconds since 1970 at the same moment."""
    off_s = theirs_s - ours_s
    found = f"the dialer's clock is {abs(off_s):.1f} s {'ahead of' if off_s > 0 else 'behind'} ours"
    todo = "callbacks and repairs go by the time: set up NTP on both (timedatectl set-ntp true)"
    if abs(off_s) > CLOCK_FAIL_S:
        return Finding("clock", Level.FAIL, found, todo)
    if abs(off_s) > CLOCK_WARN_S:
        return Finding("clock", Level.WARN, found, todo)
    return Finding("clock", Level.PASS, found)


def correlation(calls: Sequence[CallRecord]) -> Finding:
    """Did past calls say whose they were? A test call cannot show it: only the auto dialer puts its id into the From name."""
    if not calls:
        found = "no call was taken yet; the first real one shows whether its From name has the dialer's id"
        return Finding("correlation", Level.SKIP, found, "run the doctor again after the first calls")
    known = [call for call in calls if call.dialer_call_id is not None]
    found = f"of the last {len(calls)} calls, {len(known)} said whose they were"
    if len(known) == len(calls):
        return Finding("correlation", Level.PASS, found)
    todo = (
        "calls without the dialer's id are talked to, but their outcome cannot be told: does the dial plan or a trunk"
        " replace the caller's name? have the dialer send the id in a header and name it in sip.id_headers"
    )
    enough = len(calls) >= ENOUGH_CALLS
    return Finding("correlation", Level.FAIL if enough and not known else Level.WARN, found, todo)


def outbox(waiting: int, parked: int, oldest_s: float) -> Finding:
    """What is owed to the dialer and not delivered."""
    if parked:
        found = f"{parked} of {waiting + parked} entries can never be delivered as they are"
        return Finding("outbox", Level.FAIL, found, "see why: sidetone outbox; mend it, then: sidetone outbox retry")
    if waiting and oldest_s > OLD_S:
        found = f"{waiting} entries wait, the oldest for {oldest_s / 60:.0f} minutes"
        return Finding("outbox", Level.WARN, found, "the running sidetone delivers them: start it, and see sidetone outbox")
    return Finding("outbox", Level.PASS, f"{waiting} entries wait" if waiting else "nothing is owed to the dialer")
