"""Handing a caller over by REFER (RFC 3515): where to, and what became of it. Pure."""

from __future__ import annotations

import re
from urllib.parse import quote

import msgspec

PATIENCE_S = 20.0
"""A REFER without a final result for so long has failed: somebody waits on the line meanwhile."""
MAX_CONTEXT_BYTES = 255
"""A longer context would not fit into one packet with the rest of the REFER."""

ACCEPTED_CODE, TIMEOUT_CODE, BAD_TARGET_CODE, NO_CALL_CODE = 200, 408, 400, 481

_EXTENSION = re.compile(r"[A-Za-z0-9._*#+-]{1,64}")
_URI = re.compile(r"(?i:sips?):[A-Za-z0-9\[\]!~*'()&=+$/%:;@._-]{1,200}")


class Referred(msgspec.Struct, frozen=True):
    """How the REFER of `call` goes. `code` is a SIP status: of the transfer's target as the far end tells it, or of the
    REFER itself. `final`: nothing more comes; 2xx says that the caller is elsewhere now, anything else that they are
    still ours. Where the call ends before, `HungUp` comes alone."""

    call: str
    code: int
    final: bool

    @property
    def done(self) -> bool:
        return self.final and self.code // 100 == 2


def refer_target(to: str, registrar: str, context: str = "") -> str | None:
    """The Refer-To header for a SIP URI or an extension of the registrar's, in angle brackets; None when `to` is neither.

    `context` goes along for the one who takes the call as a User-to-User header (RFC 7433 section 4) in the URI, cut to
    MAX_CONTEXT_BYTES of UTF-8.
    """
    if _EXTENSION.fullmatch(to):
        uri = f"sip:{quote(to, safe='*+')}@{registrar}"
    elif _URI.fullmatch(to):
        uri = to
    else:
        return None
    whole = context.encode("utf-8", "replace")[:MAX_CONTEXT_BYTES].decode("utf-8", "ignore").encode()
    return f"<{uri}?User-to-User={whole.hex()}%3Bencoding%3Dhex>" if whole else f"<{uri}>"
