"""What a campaign day came to: ten numbers that must be 0, and why where they are not. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

ZEROES = (
    "voicemail_box_hits",
    "left_as_drop",
    "wrong_status",
    "undelivered",
    "delivered_twice",
    "out_of_order",
    "inert_calls",
    "transfers_without_summary",
    "password_leaks",
    "lines_stuck",
)


@dataclass(frozen=True)
class Visit:
    """One customer whom the dialer brought to the box.

    `outcome` is what the box told of the call, None where it was killed before it could. `truth`: the only outcomes that
    this customer's behaviour can mean, empty where it depends on words being understood. `written` is the last status that
    anybody wrote through the API on the call's log, None where nobody did; `log_status` and `lead_status` are what the
    dialer says at the end of the day; a lead that was called again speaks of its last call alone, None for the others.
    `moved`: in-group transfers that the dialer made of it.
    """

    call_id: str
    persona: str
    truth: tuple[str, ...] = ()
    outcome: str | None = None
    transferred: bool = False
    interrupted: bool = False
    written: str | None = None
    log_status: str = ""
    lead_status: str | None = ""
    moved: int = 0
    summaries: tuple[str, ...] = ()
    owes_callback: bool = False
    has_callback: bool = False
    owes_dnc: bool = False
    has_dnc: bool = False


@dataclass(frozen=True)
class Day:
    """Everything that is looked at when the day is over and the outbox had its time. `leaks`: where a password was found."""

    calls: int
    answered: int
    visits: list[Visit]
    seconds: float
    voicemail_box_hits: int = 0
    outbox_left: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    out_of_order: list[str] = field(default_factory=list)
    inert: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)


def wrong(visit: Visit, status_of: Callable[[str], str | None]) -> str:
    """Why the dialer's statuses of this call are not true; "" where they are."""
    if visit.outcome is None:
        if not visit.interrupted:
            return "the box told no outcome"
        return "" if visit.written == visit.log_status else f"{visit.log_status} is of nobody's writing"
    if visit.truth and visit.outcome not in (*visit.truth, "busy"):
        return f"outcome {visit.outcome}, which it cannot have been"
    expected = status_of("transferred" if visit.transferred or visit.moved else visit.outcome)
    if visit.log_status != expected:
        return f"the log says {visit.log_status or 'nothing'}, expected {expected}"
    if not visit.moved and visit.lead_status not in (expected, None):  # a transferred lead is somebody else's
        return f"the lead says {visit.lead_status or 'nothing'}, expected {expected}"
    return ""


def _undelivered(visit: Visit) -> list[str]:
    missing = []
    if visit.owes_callback and not visit.has_callback:
        missing.append(f"{visit.call_id}: no callback on the lead")
    if visit.owes_dnc and not visit.has_dnc:
        missing.append(f"{visit.call_id}: its number is not on the do-not-call list")
    return missing


def judge(day: Day, status_of: Callable[[str], str | None]) -> tuple[dict[str, Any], list[str]]:
    """The JSON of the day, and its problems in words. `status_of` is the site's table from outcome to status."""
    by_call = [(visit, wrong(visit, status_of)) for visit in day.visits]
    why: dict[str, list[str]] = {
        "left_as_drop": [v.call_id for v in day.visits if "DROP" in (v.log_status, "" if v.moved else v.lead_status)],
        "wrong_status": [f"{v.call_id} ({v.persona}): {reason}" for v, reason in by_call if reason],
        "undelivered": [*day.outbox_left, *(line for v in day.visits for line in _undelivered(v))],
        "delivered_twice": day.twice,
        "out_of_order": day.out_of_order,
        "inert_calls": day.inert,
        "transfers_without_summary": [
            v.call_id for v in day.visits if v.transferred and v.outcome != "busy" and not all(v.summaries or ("",))
        ],
        "password_leaks": day.leaks,
        "lines_stuck": day.stuck,
    }
    counts = {name: len(found) for name, found in why.items()} | {"voicemail_box_hits": day.voicemail_box_hits}
    data: dict[str, Any] = {"calls": day.calls, "answered": day.answered}
    data |= {name: counts[name] for name in ZEROES[:7]}
    data |= {"transfers": sum(v.moved for v in day.visits)}
    data |= {name: counts[name] for name in ZEROES[7:]}
    data |= {"seconds": round(day.seconds, 1), "by_persona": _by_persona(day.visits), "violations": day.violations}
    problems = [f"{name}: {line}" for name, found in why.items() for line in found]
    if day.voicemail_box_hits:
        problems.append(f"voicemail_box_hits: {day.voicemail_box_hits}")
    return data, problems + day.violations


def _by_persona(visits: list[Visit]) -> dict[str, dict[str, int]]:
    """How the calls of each persona ended, by the status in the dialer's log."""
    found: dict[str, Counter[str]] = {}
    for visit in visits:
        found.setdefault(visit.persona, Counter())[visit.log_status] += 1
    return {name: dict(counts.most_common()) for name, counts in sorted(found.items())}
