"""What can go wrong between a client and the scripts, by order of a test."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class FaultKind(enum.Enum):
    """Whether the write happens is part of the kind: a client cannot see it."""

    SLOW = "slow"  # written, and the reply comes `delay_s` later
    STATUS_500 = "status_500"  # not written, an empty reply of status 500
    HTML = "html"  # not written, a web server's error page of status 200
    EMPTY = "empty"  # not written, an empty reply of status 200
    TRUNCATED = "truncated"  # written, the first half of the reply
    CUT_BEFORE = "cut_before"  # not written, the connection ends
    CUT_AFTER = "cut_after"  # written, the connection ends without a reply

    @property
    def writes(self) -> bool:
        return self in (FaultKind.SLOW, FaultKind.TRUNCATED, FaultKind.CUT_AFTER)


PAGE = (
    "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1>"
    "<p>The proxy server received an invalid response.</p></body></html>\n"
)


@dataclass
class Fault:
    """`function` "" is all. `left` is how often yet, `until` till when; None for ever."""

    kind: FaultKind
    function: str = ""
    left: int | None = None
    until: float | None = None
    delay_s: float = 0.0

    def hits(self, function: str, now: float) -> bool:
        return self.function in ("", function) and self.left != 0 and (self.until is None or now < self.until)


@dataclass
class Faults:
    _armed: list[Fault] = field(default_factory=list)

    def add(self, fault: Fault) -> None:
        self._armed.append(fault)

    def clear(self) -> None:
        self._armed.clear()

    def pick(self, function: str, now: float) -> Fault | None:
        """The first that is for this request, which uses it up by one."""
        fault = next((armed for armed in self._armed if armed.hits(function, now)), None)
        if fault is not None and fault.left is not None:
            fault.left -= 1
        return fault
