"""The two ways in which replies are worded: VICIdial's documentation is not what its source prints."""

from __future__ import annotations

import enum
from collections.abc import Sequence

BUILD = "250720-1841"
AGENT_BUILD = "250122-1010"
REMOTE_AGENT_BUILD = "240703-1657"
"""The first build with update_remote_agent."""


class Dialect(enum.Enum):
    SOURCE = "source"  # VICIDIAL.md Part II: a running dialer
    DOCS = "docs"  # AGENT_API.txt and NON-AGENT_API.txt

    def error(self, function: str, reason: str, data: str, *, dash: bool = False) -> str:
        """A line of the non-agent API that is no SUCCESS. `dash`: one of the few where the source has a dash too.

        Pipes around `data` belong to the source's form; the documentation has none.
        """
        head = f"{function} {reason}".strip()
        if self is Dialect.DOCS:
            return f"ERROR: {head} - {data.removeprefix('|').removesuffix('|')}\n"
        return f"ERROR: {head}{' - ' if dash else ': '}{data}\n"

    @property
    def transferred(self) -> str:
        return "transferred" if self is Dialect.DOCS else "transfer"

    @property
    def remote_agent_updated(self) -> str:
        return "USER HAS BEEN UPDATED" if self is Dialect.DOCS else "REMOTE AGENT HAS BEEN UPDATED"

    @property
    def call_columns(self) -> Sequence[str]:
        """The columns of callid_info with detail=YES."""
        if self is Dialect.DOCS:
            return ("call_id", "custtime", "call_date", "campaign_id", "list_id", "status", "user", "phone")
        return ("call_id", "custtime", "call_date", "phone", "call_type", "campaign_id", "list_id", "status", "user")

    @property
    def call_id_column(self) -> str:
        """The heading of the call's id in agent_status."""
        return "call_id" if self is Dialect.DOCS else "callerid"
