"""Whose call an INVITE is, by the texts that came with it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from appliance.dialers.protocol import DialerCall

# CALLER_ID_NAME_CODES of VICIdial: V dialled by it, Y inbound, J to a closer, M dialled by hand; then mddHHMMSS and the
# lead's id in ten digits. Nine digits of time, so it never tells the date alone (the month has one).
CALL_ID = re.compile(r"[VYJM][0-9]{19}")
LEAD = slice(10, 20)


def dialer_call(ids: Iterable[str]) -> DialerCall | None:
    """The first of `ids` that is a call id of VICIdial, the most trusted being first; None where none is."""
    for candidate in ids:
        call_id = candidate.strip()
        if CALL_ID.fullmatch(call_id) and (lead_id := int(call_id[LEAD])) > 0:
            return DialerCall(call_id, lead_id)
    return None
